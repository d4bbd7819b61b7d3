"""Linear maps of features, as SQL while they are small and as a function in the JVM beyond."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raydp_ml.base import is_spark
from raydp_ml.exchange.jvm import java_object
from raydp_ml.spark_jobs.expressions import helper, linear
from raydp_ml.transformers.base import InvertibleTransformer, in_first_place
from raydp_ml.transformers.vector_features import named_by_content

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from raydp_ml.exchange.data_kinds import Data

_TERMS = 100
"""SQL of more terms becomes a method that the JVM does not compile: some 8 kB of byte code."""

Map = tuple[np.ndarray, np.ndarray]


class LinearTransformer(InvertibleTransformer):
    """Mixin of transformers whose outputs are weighted sums of the features."""

    def _forward(self) -> Map:
        """Return weights of shape (n_outputs, n_features) and a constant for each output."""
        raise NotImplementedError

    def _backward(self) -> Map:
        raise NotImplementedError

    def _transform_spark(self, df: DataFrame) -> DataFrame:
        if hasattr(self, "components_"):
            _register(df.sparkSession, self._forward())
        return super()._transform_spark(df)

    def inverse_transform(self, X: Data) -> Any:
        """Undo ``transform``, as far as the components that were kept can."""
        if is_spark(X) and hasattr(self, "components_"):
            _register(X.sparkSession, self._backward())
        return super().inverse_transform(X)

    def _helpers(self, inputs: Sequence[str]) -> list[list[str]]:
        return _helpers(inputs, self._forward())

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        return in_first_place(_outputs(inputs, self._forward()), len(inputs))

    def _inverse_helpers(self, inputs: Sequence[str]) -> list[list[str]]:
        return _helpers(inputs, self._backward())

    def _inverse_expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        return in_first_place(_outputs(inputs, self._backward()), len(inputs))


def _packed(made: Map) -> bytes:
    return b"".join(np.ascontiguousarray(part, dtype=">f8").tobytes() for part in made)


def _name(made: Map) -> str:
    return named_by_content("linear", _packed(made))


def _register(spark: SparkSession, made: Map) -> None:
    weights = made[0]
    if weights.size <= _TERMS:
        return
    java = java_object(spark, "columns.LinearMap")
    if java is not None:
        outputs, inputs = weights.shape
        java.register(spark, _name(made), inputs, outputs, _packed(made))
        return
    spark.udf.register(_name(made), _in_python(*made), "array<double>")


def _in_python(
    weights: np.ndarray, constants: np.ndarray
) -> Callable[[list[float | None]], list[float]]:
    def apply(row: list[float | None]) -> list[float]:
        values = np.array([np.nan if value is None else value for value in row])
        return (weights @ values + constants).tolist()

    return apply


def _helpers(inputs: Sequence[str], made: Map) -> list[list[str]]:
    if made[0].size <= _TERMS:
        return []
    return [[f"{_name(made)}(array({','.join(inputs)}))"]]


def _outputs(inputs: Sequence[str], made: Map) -> list[str]:
    weights, constants = made
    if weights.size <= _TERMS:
        return [linear(inputs, row, c) for row, c in zip(weights, constants, strict=True)]
    return [f"element_at({helper(0)}, {place})" for place in range(1, len(weights) + 1)]
