"""Evaluation sets as ``fit`` is given them; each mistake gets its remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raydp_ml.base import is_spark, kind_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import InMemory, Values


def spark_eval_sets(eval_set: object) -> list[tuple[DataFrame, str | None]]:
    """Turn each way to give evaluation frames into pairs (DataFrame, label or None)."""
    if eval_set is None:
        return []
    if isinstance(eval_set, tuple) and len(eval_set) == 2 and isinstance(eval_set[1], str):
        return [eval_set]
    pairs: list[tuple[DataFrame, str | None]] = []
    for item in eval_set if isinstance(eval_set, (list, tuple)) else [eval_set]:
        df, label = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
        if not is_spark(df) or not (label is None or isinstance(label, str)):
            raise TypeError(
                "With a Spark DataFrame, eval_set is a DataFrame, or a list of DataFrames or of "
                f"pairs (DataFrame, label column). Got {_shown(item)} instead. "
                'As in eval_set=[(valid, "label")].'
            )
        pairs.append((df, label))
    return pairs


def memory_eval_sets(eval_set: object) -> list[tuple[InMemory, Values]]:
    """Check that evaluation sets in memory are a list of pairs (X, y)."""
    if eval_set is None:
        return []
    sets: Sequence[Any] = eval_set if isinstance(eval_set, (list, tuple)) else [eval_set]
    for item in sets:
        # (A list may stand for a pair, as in XGBoost.)
        pair = isinstance(item, (list, tuple)) and len(item) == 2
        if not pair or kind_of(item[0]) == "spark":
            raise TypeError(
                "With data in memory, eval_set is a list of pairs (X, y) in memory. Got "
                f"{_shown(item)} in it. As in eval_set=[(X_valid, y_valid)]."
            )
    return list(sets)


def _shown(item: object) -> str:
    if isinstance(item, tuple):
        return f"({', '.join(type(part).__name__ for part in item)})"
    return type(item).__name__
