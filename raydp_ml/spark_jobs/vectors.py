"""``pyspark.ml`` vector columns, for what is too wide to be columns of its own, as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raydp_ml.exchange.columns import Column, quoted
from raydp_ml.exchange.jvm import java_object
from raydp_ml.spark_jobs.expressions import double

if TYPE_CHECKING:
    from pyspark.ml.linalg import SparseVector
    from pyspark.sql import SparkSession

__all__ = ["joined", "register", "sparse", "sparse_ones", "values_of_vector"]

_FUNCTION = "raydp_ml_vector"


def register(spark: SparkSession) -> None:
    """Make the SQL function known that makes vectors; elsewhere than in a JVM, a Python one."""
    registry = java_object(spark, "columns.Registry")
    if registry is not None:
        registry.register(spark)
        return
    from pyspark.ml.linalg import VectorUDT

    spark.udf.register(_FUNCTION, _vector, VectorUDT())


def _vector(
    size: int, indices: list[int | None] | None, values: list[float | None] | None
) -> SparseVector | None:
    from pyspark.ml.linalg import Vectors

    if indices is None:
        return None
    held = [1.0] * len(indices) if values is None else values
    pairs = [(i, v) for i, v in zip(indices, held, strict=True) if i is not None and v != 0]
    return Vectors.sparse(size, [(i, float("nan") if v is None else v) for i, v in pairs])


def sparse(values: Sequence[str]) -> str:
    """Make a sparse vector of the SQL of all its values."""
    size = len(values)
    places = f"sequence(0, {size - 1})" if size else "cast(array() as array<int>)"
    return f"{_FUNCTION}({size}, {places}, cast(array({','.join(values)}) as array<double>))"


def sparse_ones(size: int, indices: Sequence[str]) -> str:
    """Make a sparse vector of ones at indices, of which null ones are left out."""
    places = f"cast(array({','.join(indices)}) as array<int>)"
    return f"{_FUNCTION}({size}, {places}, cast(null as array<double>))"


def joined(columns: Sequence[Column]) -> str:
    """Put columns of numbers and of vectors next to each other, in one sparse vector."""
    parts: list[str] = []
    numbers: list[str] = []
    for column in columns:
        if column.kind != "vector":
            numbers.append(double(column.name))
            continue
        parts += [sparse(numbers)] if numbers else []
        parts.append(quoted(column.name))
        numbers = []
    parts += [sparse(numbers)] if numbers else []
    return parts[0] if len(parts) == 1 else f"raydp_ml_joined(array({','.join(parts)}))"


def values_of_vector(vector: str, size: int) -> str:
    """Read all values of a vector; null for one of another size. -1 stands for any size."""
    return f"raydp_ml_values({vector}, {size})"
