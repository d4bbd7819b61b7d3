"""Several transformers over one Spark DataFrame, each with its own columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raydp_ml.base import folds_case
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import quoted
from raydp_ml.exchange.projections import joined_projections, only_projections, sees_projections
from raydp_ml.exchange.schema import is_vector
from raydp_ml.exchange.sql_text import select
from raydp_ml.spark_jobs.expressions import number
from raydp_ml.transformers.base import RESERVED, check_outputs_differ

__all__ = ["Part", "side_by_side"]


@dataclass(frozen=True)
class Part:
    """One of the transformers.

    Attributes
    ----------
    name : str
    columns : sequence of str
    apply : callable
        What is done to a DataFrame with these columns.
    weight : float or None
        Of what comes out.
    """

    name: str
    columns: Sequence[str]
    apply: Callable[[Any], Any]
    weight: float | None = None


def side_by_side(
    df: Any,
    features: Sequence[str],
    parts: Sequence[Part],
    prefixed: Callable[[list[tuple[str, np.ndarray]]], Sequence[str]],
) -> tuple[Any, list[list[str]]]:
    """Let each part replace its columns, and put what they make next to each other.

    Nothing is joined: see `_beside` and `_one_after_the_other`.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    features : sequence of str
        The columns that are replaced; all others pass through.
    parts : sequence of Part
    prefixed : callable
        scikit-learn's: gets each part's name with the names that it gave its outputs, and returns
        their final names, all in one.

    Returns
    -------
    df : pyspark.sql.DataFrame
        The outputs stand where the first of the features stood.
    made : list of list of str
        The names that each part gave its outputs.
    """
    replaced = set(features)
    passing = [name for name in df.columns if name not in replaced]
    tag = _free_tag(df.columns)
    outputs = [_Outputs(part, f"{tag}out_{place}_") for place, part in enumerate(parts)]
    current, left = _beside(df, passing, outputs)
    if left:
        current = _one_after_the_other(current, df.columns, passing, left, f"{tag}in_")
    pairs = [(item.part.name, np.asarray(item.names, dtype=object)) for item in outputs]
    final = [str(name) for name in prefixed(pairs)] if pairs else []
    _check_free(final, passing, df)
    kept = [name for item in outputs for name in item.kept]
    in_place = [f"{quoted(k)} AS {quoted(n)}" for k, n in zip(kept, final, strict=True)]
    texts: list[str] = []
    for name in df.columns:
        if name not in replaced:
            texts.append(quoted(name))
        else:
            texts += in_place
            in_place = []
    return select(current, *texts), [item.names for item in outputs]


class _Outputs:
    """What a part makes, under the names that it gives and those by which it is held meanwhile."""

    def __init__(self, part: Part, prefix: str) -> None:
        self.part, self._prefix = part, prefix
        self.names: list[str] = []
        self.kept: list[str] = []

    def apply(self, ready: Any, held: Sequence[str]) -> Any:
        """Apply the part, and set its outputs aside.

        Parameters
        ----------
        ready : pyspark.sql.DataFrame
            With the columns of the part.
        held : sequence of str
            The other columns, which stay.
        """
        result = self.part.apply(ready)
        known = set(held)
        self.names = [name for name in result.columns if name not in known]
        self.kept = [f"{self._prefix}{index}" for index in range(len(self.names))]
        scale = ""
        if self.part.weight is not None:
            _check_scalable(result, self.names)
            scale = f" * {number(self.part.weight)}"
        pairs = zip(self.names, self.kept, strict=True)
        texts = [f"{quoted(name)}{scale} AS {quoted(kept)}" for name, kept in pairs]
        return select(result, *map(quoted, held), *texts)


def _beside(
    df: Any, passing: Sequence[str], outputs: Sequence[_Outputs]
) -> tuple[Any, list[_Outputs]]:
    """Add the outputs of parts that are projections, and return the parts that are others.

    On each other, projections would cost the square of the parts; together, they are one a level.
    Parts that turn out to be others are applied once more, where their outputs can be kept.
    """
    if not sees_projections(df):
        return df, list(outputs)
    projections, left = [], []
    for item in outputs:
        ready = select(df, *map(quoted, passing), *map(quoted, item.part.columns))
        made = item.apply(ready, passing)
        if only_projections(df, made):
            projections.append(select(made, *map(quoted, item.kept)))
        else:
            left.append(item)
    return (joined_projections(df, projections) if projections else df), left


def _one_after_the_other(
    df: Any, columns: Sequence[str], passing: Sequence[str], parts: Sequence[_Outputs], tag: str
) -> Any:
    """Give each part the outputs of those before it and the inputs of those after it, set aside."""
    needed = {name for item in parts for name in item.part.columns}
    aside = {name: f"{tag}{index}" for index, name in enumerate(columns) if name in needed}
    done = [name for name in df.columns if name not in set(columns)]
    renamed = (f"{quoted(name)} AS {quoted(held)}" for name, held in aside.items())
    held = [*passing, *done, *aside.values()]
    current = select(df, *map(quoted, [*passing, *done]), *renamed)
    for item in parts:
        inputs = (f"{quoted(aside[name])} AS {quoted(name)}" for name in item.part.columns)
        current = item.apply(select(current, *map(quoted, held), *inputs), held)
        held += item.kept
    return current


def _check_free(names: Sequence[str], passing: Sequence[str], df: Any) -> None:
    """Raise `SchemaError` for outputs that would take a name."""
    fold = str.lower if folds_case(df) else str
    folded = {fold(name) for name in passing}
    taken = sorted(name for name in set(names) if fold(name) in folded)
    if taken:
        raise SchemaError(
            f"The outputs {taken} would take the names of other columns that pass through. Rename "
            f"those (df.withColumnRenamed({taken[0]!r}, ...)) or drop them."
        )
    check_outputs_differ(names, df)


def _check_scalable(result: Any, names: Sequence[str]) -> None:
    vectors = [name for name in names if is_vector(result.schema[name].dataType)]
    if vectors:
        raise SchemaError(
            f"transformer_weights cannot scale the vectors {vectors} in Spark. Choose columns as "
            "the output of that transformer (sparse_output=False, encode='onehot-dense')."
        )


def _free_tag(columns: Sequence[str]) -> str:
    """Return a prefix that no column has, since transformers may be nested."""
    depth = 0
    while any(name.startswith(f"{RESERVED}part{depth}_") for name in columns):
        depth += 1
    return f"{RESERVED}part{depth}_"
