"""What is given beside X: names of columns, and evaluation sets; each mistake gets its remedy."""

from __future__ import annotations

from typing import Any

from raydp_ml.base import kind_of


def require_column_name(value: Any, what: str, columns: list[str]) -> None:
    """Raise `TypeError` for anything but a name (or None) beside a Spark DataFrame.

    Parameters
    ----------
    value : object
        What was given as a column.
    what : str
        The argument.
    columns : list of str
        Of the DataFrame.
    """
    if value is None or isinstance(value, str):
        return
    raise TypeError(
        f"With a Spark DataFrame, {what} is the name of one of its columns. Got "
        f"{type(value).__name__} instead. {_remedy(value, what, columns)}"
    )


def _remedy(value: Any, what: str, columns: list[str]) -> str:
    root = type(value).__module__.partition(".")[0]
    if root == "pyspark" and type(value).__name__ == "Column":
        return (
            f"Make it a column of the DataFrame first, df.withColumn({what!r}, ...), and pass "
            f"{what}={what!r}."
        )
    if kind_of(value) == "spark":
        return f"Join it to the DataFrame first, and pass the column's name: {what}={what!r}."
    names = value if isinstance(value, (list, tuple)) else []
    if names and all(isinstance(name, str) for name in names):
        if len(names) == 1:
            return f"Pass the name itself: {what}={names[0]!r}."
        return (
            "Several columns are one column of arrays: df.withColumn("
            f"{what!r}, functions.array(*{list(names)})), and {what}={what!r}."
        )
    name = getattr(value, "name", None)
    known = repr(name) if isinstance(name, str) and name in columns else "the name of its column"
    return (
        "The rows of a Spark DataFrame have no order that values beside it could follow: pass "
        f"{what}={known}."
    )


def spark_eval_sets(eval_set: Any) -> list[tuple[Any, str | None]]:
    """Turn each way to give evaluation frames into pairs (DataFrame, label or None)."""
    if eval_set is None:
        return []
    if isinstance(eval_set, tuple) and len(eval_set) == 2 and isinstance(eval_set[1], str):
        return [eval_set]
    pairs: list[tuple[Any, str | None]] = []
    for item in eval_set if isinstance(eval_set, (list, tuple)) else [eval_set]:
        df, label = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
        if kind_of(df) != "spark" or not (label is None or isinstance(label, str)):
            raise TypeError(
                "With a Spark DataFrame, eval_set is a DataFrame, or a list of DataFrames or of "
                f"pairs (DataFrame, label column). Got {_shown(item)} instead. "
                'As in eval_set=[(valid, "label")].'
            )
        pairs.append((df, label))
    return pairs


def memory_eval_sets(eval_set: Any) -> list[tuple[Any, Any]]:
    """Check that evaluation sets in memory are a list of pairs (X, y)."""
    if eval_set is None:
        return []
    for item in eval_set if isinstance(eval_set, (list, tuple)) else [eval_set]:
        # (A list may stand for a pair, as in XGBoost.)
        pair = isinstance(item, (list, tuple)) and len(item) == 2
        if not pair or kind_of(item[0]) == "spark":
            raise TypeError(
                "With data in memory, eval_set is a list of pairs (X, y) in memory. Got "
                f"{_shown(item)} in it. As in eval_set=[(X_valid, y_valid)]."
            )
    return list(eval_set)


def _shown(item: Any) -> str:
    if isinstance(item, tuple):
        return f"({', '.join(type(part).__name__ for part in item)})"
    return type(item).__name__
