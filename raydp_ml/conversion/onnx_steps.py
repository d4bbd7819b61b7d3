"""What each transformer is in an ONNX graph: scikit-learn's own operations, on doubles."""

from __future__ import annotations

from functools import partial, reduce, singledispatch
from typing import Any

import numpy as np
import pandas as pd
from sklearn import compose, decomposition, impute, pipeline, preprocessing
from sklearn.feature_selection import SelectorMixin

from raydp_ml.conversion.onnx_nodes import Features, Nodes
from raydp_ml.conversion.onnx_tables import (
    MISSING_TEXTS,
    category_tables,
    gathered,
    interpolated,
    one_hot,
)

__all__ = ["refuse", "write_step"]

_FUNCTIONS = {
    np.abs: "Abs",
    np.ceil: "Ceil",
    np.exp: "Exp",
    np.floor: "Floor",
    np.log: "Log",
    np.negative: "Neg",
    np.sqrt: "Sqrt",
}


def write_step(step: Any, nodes: Nodes, given: Features) -> Features:
    """Write the nodes of a fitted transformer, and return the features that it makes.

    Raises
    ------
    TypeError
        If it is none of those that are known here, or has a parameter that is not.
    """
    if step is None or isinstance(step, str):  # "passthrough"
        return given
    if type(step).__module__.partition(".")[0] not in {"raydp_ml", "sklearn"}:
        raise refuse(step)
    return _write(step, nodes, given)


def refuse(step: Any, why: str | None = None) -> TypeError:
    """Return the error of what is not converted."""
    if why is not None:
        return TypeError(
            f"{type(step).__name__} with {why} is not converted to ONNX. Leave that step out of "
            "what is converted, and take it before the graph."
        )
    known = sorted(cls.__name__ for cls in _write.registry if cls is not object)
    return TypeError(
        f"{type(step).__module__}.{type(step).__name__} is not converted to ONNX. raydp_ml's "
        f"models of boosted trees are, and these: {known}."
    )


@singledispatch
def _write(step: Any, nodes: Nodes, given: Features) -> Features:
    raise refuse(step)


# ----------------------------------------------------------------- steps that hold others


@_write.register(pipeline.Pipeline)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    for _, part in step.steps:
        given = write_step(part, nodes, given)
    return given


@_write.register(pipeline.FeatureUnion)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    made = Features(())
    for name, part in step.transformer_list:
        if not (isinstance(part, str) and part == "drop"):
            made = made.beside(_weighted(step, name, nodes, write_step(part, nodes, given)))
    return made


@_write.register(compose.ColumnTransformer)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    made = Features(())
    for name, part, _ in step.transformers_:
        places = list(step._transformer_to_input_indices[name])
        if places and not (isinstance(part, str) and part == "drop"):
            some = write_step(part, nodes, given.picked(nodes, places))
            made = made.beside(_weighted(step, name, nodes, some))
    return made


def _weighted(step: Any, name: str, nodes: Nodes, made: Features) -> Features:
    weight = (step.transformer_weights or {}).get(name)
    if weight is None:
        return made
    scaled = nodes.add("Mul", made.numbers(nodes), nodes.constant(float(weight)))
    return Features.of(scaled, made.count)


# ----------------------------------------------------------------- scalers


def _applied(nodes: Nodes, given: Features, *operations: tuple[str, Any]) -> Features:
    """Apply operations with one number for each feature, or None where there is nothing to do."""
    x = given.numbers(nodes)
    for kind, values in operations:
        if values is not None:
            x = nodes.add(kind, x, nodes.constant(np.asarray(values, dtype=np.float64)))
    return Features.of(x, given.count)


def _clipped(nodes: Nodes, given: Features, low: float, high: float) -> Features:
    return _applied(nodes, given, ("Max", low), ("Min", high))


@_write.register(preprocessing.StandardScaler)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    mean = step.mean_ if step.with_mean else None
    return _applied(nodes, given, ("Sub", mean), ("Div", step.scale_ if step.with_std else None))


@_write.register(preprocessing.MinMaxScaler)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    made = _applied(nodes, given, ("Mul", step.scale_), ("Add", step.min_))
    return _clipped(nodes, made, *step.feature_range) if step.clip else made


@_write.register(preprocessing.MaxAbsScaler)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    made = _applied(nodes, given, ("Div", step.scale_))
    return _clipped(nodes, made, -1.0, 1.0) if step.clip else made


@_write.register(preprocessing.RobustScaler)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    center = step.center_ if step.with_centering else None
    return _applied(
        nodes, given, ("Sub", center), ("Div", step.scale_ if step.with_scaling else None)
    )


@_write.register(preprocessing.Normalizer)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    x = given.numbers(nodes)
    axes = nodes.constant(np.array([1]))
    if step.norm == "max":
        norm = nodes.add("ReduceMax", nodes.add("Abs", x), axes, keepdims=1)
    else:
        squares = nodes.add("Mul", x, x) if step.norm == "l2" else nodes.add("Abs", x)
        norm = nodes.add("ReduceSum", squares, axes, keepdims=1)
        norm = nodes.add("Sqrt", norm) if step.norm == "l2" else norm
    # Such rows scikit-learn leaves as they are.
    tiny = nodes.add("Less", norm, nodes.constant(10 * np.finfo(np.float64).eps))
    norm = nodes.add("Where", tiny, nodes.constant(1.0), norm)
    return Features.of(nodes.add("Div", x, norm), given.count)


# ----------------------------------------------------------------- functions of numbers


@_write.register(preprocessing.Binarizer)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    above = nodes.add("Greater", given.numbers(nodes), nodes.constant(float(step.threshold)))
    return Features.of(nodes.cast(above, np.float64), given.count)


@_write.register(preprocessing.FunctionTransformer)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    if step.func is None:
        return given
    x, one = given.numbers(nodes), nodes.constant(1.0)
    if step.func in _FUNCTIONS:
        made = nodes.add(_FUNCTIONS[step.func], x)
    elif step.func is np.log1p:
        made = nodes.add("Log", nodes.add("Add", x, one))
    elif step.func is np.expm1:
        made = nodes.add("Sub", nodes.add("Exp", x), one)
    elif step.func is np.square:
        made = nodes.add("Mul", x, x)
    else:
        raise refuse(step, f"func={step.func!r}")
    return Features.of(made, given.count)


@_write.register(preprocessing.PolynomialFeatures)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    powers = step.powers_.astype(np.float64)
    x = nodes.add("Unsqueeze", given.numbers(nodes), nodes.constant(np.array([1])))
    raised = nodes.add("Pow", x, nodes.constant(powers[None]))
    axes = nodes.constant(np.array([2]))
    return Features.of(nodes.add("ReduceProd", raised, axes, keepdims=0), len(powers))


@_write.register(preprocessing.PowerTransformer)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    x, made = given.numbers(nodes), []
    one = nodes.constant(1.0)
    for place, power in enumerate(step.lambdas_):
        column = nodes.columns(x, [place])
        if step.method == "box-cox":
            made.append(_raised(nodes, nodes.add("Log", column), power))
            continue
        # Yeo and Johnson (2000); each side computes with what is harmless on the other.
        size = nodes.add("Log", nodes.add("Add", nodes.add("Abs", column), one))
        below = nodes.add("Neg", _raised(nodes, size, 2 - power))
        is_below = nodes.add("Less", column, nodes.constant(0.0))
        made.append(nodes.add("Where", is_below, below, _raised(nodes, size, power)))
    powered = Features.of(nodes.joined(made), given.count)
    return write_step(step._scaler, nodes, powered) if step.standardize else powered


def _raised(nodes: Nodes, logarithm: str, power: float) -> str:
    """Return (x**power - 1) / power from the logarithm of x."""
    if abs(power) < np.spacing(1.0):
        return logarithm
    scaled = nodes.constant(float(power))
    grown = nodes.add("Exp", nodes.add("Mul", logarithm, scaled))
    return nodes.add("Div", nodes.add("Sub", grown, nodes.constant(1.0)), scaled)


@_write.register(preprocessing.QuantileTransformer)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    if step.output_distribution != "uniform":
        raise refuse(step, f"output_distribution={step.output_distribution!r}")
    if len(step.references_) < 2:
        raise refuse(step, "n_quantiles=1")
    x, made = given.numbers(nodes), []
    half = nodes.constant(0.5)
    references = step.references_
    for place, quantiles in enumerate(step.quantiles_.T):
        column = nodes.columns(x, [place])
        # From both ends, since there may be equal quantiles.
        up = interpolated(nodes, column, quantiles, references)
        turned = nodes.add("Neg", column)
        down = interpolated(nodes, turned, -quantiles[::-1], -references[::-1])
        share = nodes.add("Mul", half, nodes.add("Sub", up, down))
        made.append(_at_the_ends(nodes, column, quantiles, share))
    return Features.of(nodes.joined(made), given.count)


def _at_the_ends(nodes: Nodes, column: str, quantiles: np.ndarray, share: str) -> str:
    low, high = nodes.constant(quantiles[:1]), nodes.constant(quantiles[-1:])
    share = nodes.add("Where", nodes.add("Equal", column, high), nodes.constant([[1.0]]), share)
    return nodes.add("Where", nodes.add("Equal", column, low), nodes.constant([[0.0]]), share)


@_write.register(preprocessing.KBinsDiscretizer)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    x, made = given.numbers(nodes), []
    for place, edges in enumerate(step.bin_edges_):
        inner = nodes.constant(np.asarray(edges[1:-1], dtype=np.float64)[None])
        reached = nodes.add("GreaterOrEqual", nodes.columns(x, [place]), inner)
        axes = nodes.constant(np.array([1]))
        bins = nodes.add("ReduceSum", nodes.cast(reached, np.int64), axes, keepdims=1)
        count = len(edges) - 1
        ordinal = step.encode == "ordinal"
        made.append(nodes.cast(bins, np.float64) if ordinal else one_hot(nodes, bins, count))
    width = given.count if step.encode == "ordinal" else int(sum(step.n_bins_))
    return Features.of(nodes.joined(made), width)


# ----------------------------------------------------------------- matrices and selections


@_write.register(decomposition.PCA)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    axes = step.components_.T
    scale = None
    if step.whiten:
        scale = np.sqrt(step.explained_variance_)
        least = np.finfo(scale.dtype).eps
        scale = np.maximum(scale, least)
    made = _turned(nodes, given, axes)
    return _applied(nodes, made, ("Sub", np.float64(step.mean_) @ axes), ("Div", scale))


@_write.register(decomposition.TruncatedSVD)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    return _turned(nodes, given, step.components_.T)


def _turned(nodes: Nodes, given: Features, axes: np.ndarray) -> Features:
    matrix = nodes.constant(np.asarray(axes, dtype=np.float64))
    return Features.of(nodes.add("MatMul", given.numbers(nodes), matrix), axes.shape[1])


@_write.register(SelectorMixin)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    return given.picked(nodes, step.get_support(indices=True).tolist())


# ----------------------------------------------------------------- categories, missing values


@_write.register(preprocessing.OneHotEncoder)
@_write.register(preprocessing.OrdinalEncoder)
@_write.register(preprocessing.TargetEncoder)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    tables = category_tables(step)
    made = []
    for place, (categories, table) in enumerate(zip(step.categories_, tables, strict=True)):
        ((column, _, text),) = given.picked(nodes, [place]).parts
        made.append(gathered(nodes, column, text, categories, table))
    return Features.of(nodes.joined(made), sum(table.shape[1] for table in tables))


@_write.register(impute.SimpleImputer)
def _(step: Any, nodes: Nodes, given: Features) -> Features:
    kept = np.arange(given.count)
    if not step.keep_empty_features:
        kept = np.flatnonzero([value == value for value in step.statistics_])  # NaN: it is empty
    made = Features(())
    for place in kept.tolist():
        ((column, _, text),) = given.picked(nodes, [place]).parts
        gap = _is_missing(nodes, column, text, step.missing_values)
        value = step.statistics_[place]
        if gap is not None:
            filler = nodes.constant(np.array([[value]], object if text else np.float64))
            column = nodes.add("Where", gap, filler, column)
        made = made.beside(Features(((column, 1, text),)))
    return made if step.indicator_ is None else made.beside(_gaps(step.indicator_, nodes, given))


@_write.register(impute.MissingIndicator)
def _gaps(step: Any, nodes: Nodes, given: Features) -> Features:
    made = []
    for place in step.features_.tolist():
        ((column, _, text),) = given.picked(nodes, [place]).parts
        gap = _is_missing(nodes, column, text, step.missing_values)
        if gap is None:
            raise refuse(step, "columns of another kind than what is missing")
        made.append(nodes.cast(gap, np.float64))
    return Features.of(nodes.joined(made), len(made)) if made else Features(())


def _is_missing(nodes: Nodes, column: str, text: bool, missing: Any) -> str | None:
    """Return which values are missing; None where there are no such values in the column."""
    if pd.isna(missing):
        if not text:
            return nodes.add("IsNaN", column)
        gaps = (nodes.add("Equal", column, nodes.constant([[word]])) for word in MISSING_TEXTS)
        return reduce(partial(nodes.add, "Or"), gaps)
    if isinstance(missing, str) != text:
        return None
    value = np.array([[missing]], dtype=object if text else np.float64)
    return nodes.add("Equal", column, nodes.constant(value))
