"""Look-ups in an ONNX graph: categories, bins and piecewise linear functions."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from raydp_ml.conversion.onnx_nodes import Nodes

__all__ = ["MISSING_TEXTS", "category_tables", "gathered", "interpolated", "one_hot"]

MISSING_TEXTS = ("None", "nan", "<NA>")
"""What onnxruntime makes of missing values in columns of strings: it writes them out."""

_ML = "ai.onnx.ml"


def category_tables(encoder: Any) -> list[np.ndarray]:
    """Return what a fitted encoder makes of each category, by asking it.

    Parameters
    ----------
    encoder : OneHotEncoder, OrdinalEncoder or TargetEncoder

    Returns
    -------
    list of ndarray of shape (n_categories + 1, n_outputs)
        For each feature; the last row is that of unknown values. Where those are an error, it holds
        zeros of a one-hot encoding, else NaN.
    """
    categories = encoder.categories_
    names = getattr(encoder, "feature_names_in_", range(len(categories)))
    unknown = [_unknown(values) for values in categories]
    asks = getattr(encoder, "handle_unknown", "ignore") != "error"
    widths = getattr(encoder, "_n_features_outs", None)
    tables, start = [], 0
    for place, values in enumerate(categories):
        rows = list(values)
        if asks and unknown[place] is not None:
            rows.append(unknown[place])
        frame = pd.DataFrame(
            {
                name: pd.Series(rows if of == place else [other[0]] * len(rows), dtype=other.dtype)
                for of, (name, other) in enumerate(zip(names, categories, strict=True))
            }
        )
        made = _asked(encoder, frame)
        width = widths[place] if widths is not None else made.shape[1] // len(categories)
        if widths is None and getattr(encoder, "target_type_", None) == "multiclass":
            width = len(encoder.classes_)
        table = made[:, start : start + width]
        start += width
        if len(table) == len(values):
            last = np.full((1, width), 0.0 if widths is not None else np.nan)
            table = np.concatenate([table, last])
        tables.append(table)
    return tables


def _asked(encoder: Any, frame: pd.DataFrame) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the unknown values
        given = frame if hasattr(encoder, "feature_names_in_") else _plain(frame)
        made = encoder.transform(given)
    return np.asarray(made.toarray() if hasattr(made, "toarray") else made, dtype=np.float64)


def _plain(frame: pd.DataFrame) -> np.ndarray:
    """Return a frame as an array, whose columns keep their types where they differ."""
    return frame.to_numpy() if len(set(frame.dtypes)) == 1 else frame.to_numpy(dtype=object)


def _unknown(categories: np.ndarray) -> Any:
    """Return a value that is no category; None where there is none."""
    if categories.dtype.kind in "UO":
        if all(isinstance(value, str) or value != value or value is None for value in categories):
            return "".join(value for value in categories if isinstance(value, str)) + "?"
        return None
    if categories.dtype.kind == "b":
        return None
    return np.nanmax(categories) + 1


def gathered(
    nodes: Nodes, column: str, text: bool, categories: np.ndarray, table: np.ndarray
) -> str:
    """Look a column's values up.

    Parameters
    ----------
    nodes : Nodes
    column : str
        Of shape (n, 1).
    text : bool
        Whether it holds strings.
    categories : ndarray of shape (k,)
    table : ndarray of shape (k + 1, n_outputs)

    Returns
    -------
    str
        The matrix of shape (n, n_outputs), of doubles.
    """
    unknown = len(categories)
    if text:
        place_of = {value: place for place, value in enumerate(categories.tolist())}
        known = {v: place for v, place in place_of.items() if isinstance(v, str)}
        missing = {str(v): place for v, place in place_of.items() if not isinstance(v, str)}
        if missing:
            # None and NaN, of which the one stands for the other where that is no category.
            either = next(iter(missing.values()))
            known = {**dict.fromkeys(MISSING_TEXTS, either), **missing, **known}
        places = nodes.add(
            "LabelEncoder",
            column,
            domain=_ML,
            keys_strings=list(known),
            values_int64s=list(known.values()),
            default_int64=unknown,
        )
    else:
        numbers = categories.astype(np.float64)
        hits = nodes.add("Equal", column, nodes.constant(numbers[None]))
        if np.isnan(numbers).any():
            gap = nodes.add("And", nodes.add("IsNaN", column), nodes.constant(np.isnan(numbers)))
            hits = nodes.add("Or", hits, gap)
        # Behind the last category, what is always found.
        always = nodes.add("Equal", column, column)
        always = nodes.add("Or", always, nodes.add("Not", always))
        found = nodes.cast(nodes.add("Concat", hits, always, axis=1), np.int64)
        places = nodes.add("ArgMax", found, axis=1, keepdims=1)
    flat = nodes.add("Squeeze", places, nodes.constant(np.array([1])))
    return nodes.add("Gather", nodes.constant(table), flat, axis=0)


def one_hot(nodes: Nodes, places: str, count: int) -> str:
    """Return a column of places, of shape (n, 1), as one column of zeros and ones for each."""
    flat = nodes.add("Squeeze", places, nodes.constant(np.array([1])))
    return nodes.add("Gather", nodes.constant(np.eye(count)), flat, axis=0)


def interpolated(nodes: Nodes, x: str, xs: np.ndarray, ys: np.ndarray) -> str:
    """Interpolate as `numpy.interp` does.

    Parameters
    ----------
    nodes : Nodes
    x : str
        Of shape (n, 1).
    xs, ys : ndarray of shape (k,)
        `xs` do not fall.
    """
    reached = nodes.add("GreaterOrEqual", x, nodes.constant(xs[None]))
    axes = nodes.constant(np.array([1]))
    count = nodes.add("ReduceSum", nodes.cast(reached, np.int64), axes, keepdims=1)
    place = nodes.add("Sub", count, nodes.constant(1))
    place = nodes.add("Max", place, nodes.constant(0))
    place = nodes.add("Min", place, nodes.constant(len(xs) - 2))
    widths = np.diff(xs)
    slopes = np.divide(np.diff(ys), widths, out=np.zeros(len(widths)), where=widths > 0)
    slope, left, low = (
        nodes.add("Gather", nodes.constant(np.ascontiguousarray(values)), place)
        for values in (slopes, xs, ys)
    )
    made = nodes.add("Add", nodes.add("Mul", slope, nodes.add("Sub", x, left)), low)
    after = nodes.add("GreaterOrEqual", x, nodes.constant(xs[-1:]))
    made = nodes.add("Where", after, nodes.constant(ys[-1:][None]), made)
    before = nodes.add("Less", x, nodes.constant(xs[:1]))
    return nodes.add("Where", before, nodes.constant(ys[:1][None]), made)
