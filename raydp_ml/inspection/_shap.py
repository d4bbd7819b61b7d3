"""`shap_explanation`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.base import is_spark, kind_of
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import quoted
from raydp_ml.exchange.frames import named_table
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.exchange.sql_text import select

if TYPE_CHECKING:
    import shap

    from raydp_ml.exchange.data_kinds import Data


def shap_explanation(model: Any, X: Data, *, max_rows: int = 10_000) -> shap.Explanation:
    """Explain rows for the plots of the package shap (extra ``[shap]``).

    Parameters
    ----------
    model : estimator
        A fitted one with a method ``explain``. Of a Pipeline the last step, and X what the steps
        before it make: ``shap_explanation(pipe[-1], pipe[:-1].transform(df))``.
    X : Spark DataFrame, or any in-memory kind that ``explain`` takes
        The rows to explain.
    max_rows : int, default=10_000
        Rows of a Spark DataFrame are collected up to so many.

    Returns
    -------
    shap.Explanation
        Its `values` have shape (n_samples, n_features) or, for several classes or targets,
        (n_samples, n_features, n_outputs), and its `base_values` (n_samples,) or (n_samples,
        n_outputs).

    Raises
    ------
    SchemaError
        If the DataFrame has more rows than `max_rows`; and as ``explain``.
    ImportError
        Without the package shap.

    Examples
    --------
    >>> import shap  # doctest: +SKIP
    >>> explanation = shap_explanation(model, df.sample(0.01, seed=0))  # doctest: +SKIP
    >>> shap.plots.beeswarm(explanation)  # doctest: +SKIP
    """
    try:
        import shap
    except ImportError as error:
        raise ImportError(
            "shap_explanation needs the package shap. Install it: pip install raydp_ml[shap]"
        ) from error
    if is_spark(X):
        found, data = _collected(model, X, max_rows)
    else:
        found, data = model.explain(X), _in_memory(model, X)
    found = np.moveaxis(found, 1, -1) if found.ndim == 3 else found
    names = getattr(model, "feature_names_in_", None)
    return shap.Explanation(
        values=found[:, :-1],
        base_values=found[:, -1],
        data=data,
        feature_names=None if names is None else list(names),
    )


def _collected(model: Any, df: Any, max_rows: int) -> tuple[np.ndarray, np.ndarray]:
    require_batch(df)
    explained = model.explain(df)
    names = model._column_names
    cells = [f"{quoted(name)} AS c{i}" for i, name in enumerate(names)]
    last = quoted(explained.columns[-1])
    rows = select(explained, *cells, f"{last} AS found").limit(max_rows + 1).collect()
    if len(rows) > max_rows:
        raise SchemaError(
            f"The DataFrame has more than {max_rows:,} rows, of which all would be collected. Pass "
            "a sample (df.sample(...), df.limit(...)), or a greater max_rows."
        )
    if not rows:
        raise SchemaError("The DataFrame has no rows. Check the filters and joins before it.")
    columns = [[row[i] for row in rows] for i in range(len(names))]
    return np.array([row["found"] for row in rows]), _side_by_side(model, columns)


def _in_memory(model: Any, X: Any) -> np.ndarray:
    kind = kind_of(X)
    if kind == "array" or not hasattr(model, "feature_names_in_"):
        return np.asarray(X.toarray() if hasattr(X, "toarray") else X)
    table = named_table(X, kind)
    return _side_by_side(model, [table.column(name).to_pylist() for name in model._column_names])


def _side_by_side(model: Any, columns: list[list[Any]]) -> np.ndarray:
    """Return columns as a matrix of the features, with a column for each element of vectors."""
    parts: list[np.ndarray] = []
    for feature, values in zip(model._layout.features, columns, strict=True):
        if feature.kind == "category":
            parts.append(np.array(values, dtype=object)[:, None])
            continue
        if feature.kind == "vector":
            nothing = [None] * feature.width
            values = [nothing if value is None else list(value) for value in values]
        parts.append(np.array(values, dtype=float).reshape(len(values), feature.width))
    kinds = {part.dtype.kind for part in parts}
    dtype = object if "O" in kinds else float
    return np.concatenate([part.astype(dtype) for part in parts], axis=1)
