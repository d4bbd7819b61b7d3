"""Columns of a frame in memory that are named beside it, and are no features then."""

from __future__ import annotations

from typing import Any

from raydp_ml.base import has_names, kind_of, no_names
from raydp_ml.exchange.columns import check_exists, check_unique
from raydp_ml.transformers.pipeline_fit import NAMING, in_pipeline, named_for_steps

__all__ = ["taken_out"]


def taken_out(X: Any, y: Any, **params: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Take the columns that are named out of data in memory.

    Parameters
    ----------
    X : pandas or polars DataFrame, or what scikit-learn turns into an array
    y, **params
        The arguments beside it.

    Returns
    -------
    X : same kind
        The features.
    y, params
        With the columns in the place of their names.

    Raises
    ------
    ValueError
        If X has no names, or a Pipeline is being fitted, whose next step would not have the column.
    SchemaError
        If there is no such column, or there are two.
    """
    given = {"y": y, **params}
    names = {what: given[what] for what in ("y", *NAMING) if isinstance(given.get(what), str)}
    kind = kind_of(X)
    if not has_names(X, kind):
        for name in names.values():
            raise no_names(X, name)
        return X, y, params
    columns = list(X.columns)
    named = [*names.values(), *named_for_steps().intersection(columns)]
    if not named:
        return X, y, params
    if in_pipeline():
        raise ValueError(
            f"The columns {sorted(set(named))} are given by name. In memory the steps of a "
            "Pipeline hand on features alone, so that its last one would not find them. Pass them "
            "as arrays, and X without them; or pass a Spark DataFrame (raydp_ml.to_spark)."
        )
    check_unique(columns)
    for what, name in names.items():
        check_exists(name, columns, what)
    given |= {what: X[name] for what, name in names.items()}
    rest = X.drop(named) if kind == "polars" else X.drop(columns=named)
    return rest, given.pop("y"), given
