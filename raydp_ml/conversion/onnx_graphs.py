"""`to_onnx`: fitted models and Pipelines as ONNX graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import pipeline
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from raydp_ml.conversion.feature_kinds import feature_kinds
from raydp_ml.conversion.onnx_nodes import Features, Nodes, as_labels, import_onnx
from raydp_ml.conversion.onnx_steps import refuse, write_step

if TYPE_CHECKING:
    import onnx

__all__ = ["to_onnx"]

_OPSETS = {"": 21, "ai.onnx.ml": 3}
_IR_VERSION = 10


def to_onnx(estimator: Any) -> onnx.ModelProto:
    """Return a fitted model, transformer or Pipeline as an ONNX graph.

    It needs the extra ``[onnx]``. The input is a tensor of float32 of shape (n, n_features) named
    ``X``. Where all features are categories of strings, it is a tensor of strings; where some are,
    each feature is an input of its own of shape (n, 1), by its name. Outputs are ``prediction``
    (of shape (n,), or (n, n_outputs) for several targets) and, of classifiers, ``probability`` of
    shape (n, n_classes); or, of transformers, ``transformed``, of doubles.

    Parameters
    ----------
    estimator : estimator or transformer of raydp_ml, or scikit-learn's Pipeline of such
        What to convert; it has to be fitted.

    Returns
    -------
    onnx.ModelProto
        ``onnx.save(graph, path)`` writes it. Opset 21, which onnxruntime 1.18 and newer read.

    Raises
    ------
    TypeError
        For what is not converted: categories of XGBoost, linear boosters, PyTorch's networks
        (``torch.onnx.export`` takes those of ``to_torch``), texts, functions of one's own.
    ValueError
        Where each feature is an input of its own and one has the name of an output, or none.
    sklearn.exceptions.NotFittedError
        Before ``fit``.
    ImportError
        Without the extra.

    Notes
    -----
    Transformers compute in double precision with the numbers of single precision that the graph is
    given, and trees compare in single precision: as on a Spark DataFrame, and as in memory on
    ``X.astype(numpy.float64)``. A graph raises no errors: a category that was not there in ``fit``
    is all zeros, or NaN, to encoders with ``handle_unknown="error"``, and a missing value is NaN.
    Among strings onnxruntime writes missing values out, and "None", "nan" and "<NA>" are missing
    to a graph where they are no category. A feature that no step reads counts as a number.

    Examples
    --------
    >>> graph = raydp_ml.to_onnx(pipeline)  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession(graph.SerializeToString())  # doctest: +SKIP
    >>> session.run(["prediction"], {"X": rows})  # doctest: +SKIP
    """
    onnx = import_onnx()
    check_is_fitted(estimator)
    plain = _bare(estimator)
    *steps, last = plain.steps if isinstance(plain, pipeline.Pipeline) else [("", plain)]
    if not hasattr(plain, "n_features_in_"):
        raise refuse(steps[0][1] if steps else plain)
    inputs = _inputs(plain)
    nodes = Nodes(taken=[item.name for item in inputs])
    given = _features(inputs, nodes)
    for _, step in steps:
        given = write_step(step, nodes, given)
    outputs = _outputs(last[1], nodes, given, in_pipeline=bool(steps))
    _check_names(inputs, outputs)
    graph = onnx.helper.make_graph(
        nodes.nodes, type(plain).__name__, inputs, outputs, nodes.constants
    )
    opsets = [onnx.helper.make_opsetid(domain, number) for domain, number in _OPSETS.items()]
    made = onnx.helper.make_model(
        graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="raydp_ml"
    )
    onnx.checker.check_model(made)
    return made


def _bare(estimator: Any) -> Any:
    """Return what predicts or transforms, without the search or frozen estimator around it."""
    held = getattr(estimator, "__dict__", {})
    if "best_estimator_" in held:
        return _bare(held["best_estimator_"])
    if isinstance(estimator, FrozenEstimator):
        return _bare(held["estimator"])
    if isinstance(estimator, pipeline.Pipeline):
        return pipeline.Pipeline([(name, _bare(step)) for name, step in estimator.steps])
    return estimator


def _inputs(plain: Any) -> list[onnx.ValueInfoProto]:
    """Return the inputs of the graph: one, or one for each feature."""
    from onnx import TensorProto, helper

    texts = [kind == "string" for kind in feature_kinds(plain)]
    if all(texts) or not any(texts):
        wanted = [("X", len(texts), any(texts))]
    else:
        names = getattr(plain, "feature_names_in_", [f"x{i}" for i in range(len(texts))])
        wanted = [(str(name), 1, text) for name, text in zip(names, texts, strict=True)]
    return [
        helper.make_tensor_value_info(
            name, TensorProto.STRING if text else TensorProto.FLOAT, [None, count]
        )
        for name, count, text in wanted
    ]


def _features(inputs: list[onnx.ValueInfoProto], nodes: Nodes) -> Features:
    """Return what the inputs are to the first step: strings as they are, numbers as doubles."""
    from onnx import TensorProto

    parts = []
    for item in inputs:
        tensor = item.type.tensor_type
        text = tensor.elem_type == TensorProto.STRING
        name = item.name if text else nodes.cast(item.name, np.float64)
        parts.append((name, tensor.shape.dim[1].dim_value, text))
    return Features(tuple(parts))


def _check_names(inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]) -> None:
    theirs = [item.name for item in outputs]
    for item in inputs:
        if item.name in theirs:
            raise ValueError(
                f"The feature {item.name!r} bears the name of an output of the graph, which has "
                f"the outputs {theirs}. Give the column another name, and fit anew."
            )
        if not item.name:
            raise ValueError(
                "A feature has the empty name, and inputs of an ONNX graph need one. Give the "
                "column a name, and fit anew."
            )


def _outputs(
    last: Any, nodes: Nodes, given: Features, in_pipeline: bool
) -> list[onnx.ValueInfoProto]:
    """Write the last step, and return the outputs of the graph."""
    from onnx import TensorProto, helper

    made: list[tuple[str, str, int, list[Any]]]
    if not hasattr(last, "_write_onnx"):
        features = write_step(last, nodes, given)
        if any(text for _, _, text in features.parts):
            raise refuse(last, "outputs that are strings")
        made = [
            ("transformed", features.numbers(nodes), TensorProto.DOUBLE, [None, features.count])
        ]
    else:
        if any(text for _, _, text in given.parts):
            raise TypeError(
                f"{type(last).__name__} takes columns of categories, which are not converted to "
                "ONNX. Encode them as numbers (OneHotEncoder, OrdinalEncoder, TargetEncoder), and "
                "train anew."
            )
        x = nodes.cast(given.numbers(nodes), np.float32)
        values, width = last._write_onnx(nodes, x, in_pipeline)
        if hasattr(last, "classes_"):
            labels = as_labels(last.classes_, type(last).__name__)
            place = nodes.add("ArgMax", values, axis=1, keepdims=0)
            chosen = nodes.add("Gather", nodes.constant(labels), place)
            kind = TensorProto.STRING if labels.dtype == object else TensorProto.INT64
            made = [
                ("prediction", chosen, kind, [None]),
                ("probability", values, TensorProto.FLOAT, [None, width]),
            ]
        else:
            if width == 1:
                values = nodes.add("Squeeze", values, nodes.constant(np.array([1])))
            shape = [None] if width == 1 else [None, width]
            made = [("prediction", values, TensorProto.FLOAT, shape)]
    for name, source, _, _ in made:
        nodes.nodes.append(helper.make_node("Identity", [source], [name]))
    return [helper.make_tensor_value_info(name, kind, shape) for name, _, kind, shape in made]
