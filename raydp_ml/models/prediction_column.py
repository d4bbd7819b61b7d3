"""Predictions on a Spark DataFrame: one more column, computed lazily.

Spark's Python workers compute it, unless the model has a way of its own within the JVM.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from raydp_ml.base import check_output_column, folds_case
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import (
    NUMERIC,
    Column,
    check_kinds,
    from_spark_schema,
    pick_columns,
    quoted,
)
from raydp_ml.exchange.jvm import is_connect
from raydp_ml.exchange.sql_text import select_columns, vector_to_array
from raydp_ml.exchange.task_python import task_python
from raydp_ml.models.arrow_udf import arrow_udf
from raydp_ml.models.predictor import Predictor
from raydp_ml.session.full import disk_may_be_full
from raydp_ml.training.rows.layout import Feature, Layout

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame

# What a column must be to serve as a feature of each kind.
COLUMN_KINDS = {
    "number": NUMERIC,
    "category": {"string", "category", "number", "boolean"},
    "vector": {"array", "vector"},
}

# What a task returns: the prediction, or why there is none.
_VALUE, _REFUSED = "value", "refused"


ComputeInJvm: TypeAlias = "Callable[[DataFrame, list[Column]], SparkColumn | None]"
"""Makes the new column from the DataFrame and its features, or None where Python must."""


def add_prediction(
    df: DataFrame,
    column: str,
    parameter: str | None,
    layout: Layout,
    who: str,
    allows_missing: bool,
    predictor: Predictor,
    raw: Callable[[], bytes],
    in_jvm: ComputeInJvm | None = None,
) -> DataFrame:
    """Add a column of predictions to a Spark DataFrame, lazily.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    column : str
        Name of the new column.
    parameter : str or None
        The parameter that holds the name, for the error; None where nobody chooses it.
    layout : Layout
        The features of ``fit``.
    who : str
        The estimator, for errors.
    allows_missing : bool
        Whether vectors may be null.
    predictor : Predictor
        Computes the column in Spark's Python workers.
    raw : callable
        Returns the model's bytes; called when all checks have passed, and where Python is needed.
    in_jvm : callable, optional

    Returns
    -------
    pyspark.sql.DataFrame
        The same rows in the same order, all columns, and the new one last.

    Raises
    ------
    SchemaError
        If a feature is missing or of another type, or the new column is there already.
    """
    from pyspark.sql import functions
    from pyspark.sql.pandas.types import from_arrow_type

    columns = from_spark_schema(df.schema)
    names = [feature.name for feature in layout.features]
    picked = pick_columns(columns, names, who, fold_case=folds_case(df))
    for item, feature in zip(picked, layout.features, strict=True):
        check_kinds([item], COLUMN_KINDS[feature.kind], supports_categories=False)
        check_category(item, feature)
    check_output_column(df, column, parameter)
    computed = in_jvm and in_jvm(df, picked)
    if computed is not None:
        return select_columns(df, [functions.col("*"), computed.alias(column)])
    # Names in a struct are unique and plain, whatever the columns are called.
    predictor = predictor.with_layout(_renamed(layout))
    made = from_arrow_type(predictor.empty().type, prefer_timestamp_ntz=True)
    spark_type = made.simpleString()
    kind = f"struct<{_VALUE}:{spark_type},{_REFUSED}:string>"
    batches = _batches(predictor, _ship(df, raw()))
    features = functions.struct(
        *(
            _expression(df, item, feature, allows_missing).alias(f"c{index}")
            for index, (item, feature) in enumerate(zip(picked, layout.features, strict=True))
        )
    )
    with task_python(df.sparkSession):
        found = arrow_udf(df, features, batches, kind)
        refused = found[_REFUSED]
        # What a task of Python's raises comes with the stacks of three programs; this is one line.
        value = functions.when(refused.isNull(), found[_VALUE]).otherwise(
            functions.raise_error(refused)
        )
        return select_columns(df, [functions.col("*"), value.alias(column)])


def check_category(column: Column, feature: Feature) -> None:
    """Raise `SchemaError` for booleans where the categories are others: none would be known."""
    others = set(feature.categories or ()) - {"true", "false"}
    if column.kind == "boolean" and others:
        raise SchemaError(
            f"The column {column.name!r} holds booleans, and its categories were "
            f"{sorted(others)[:5]} in fit. Give it the type that it had."
        )


def _renamed(layout: Layout) -> Layout:
    return layout.with_features(
        [replace(feature, name=f"c{index}") for index, feature in enumerate(layout.features)]
    )


def _expression(
    df: DataFrame, column: Column, feature: Feature, allows_missing: bool
) -> SparkColumn:
    """Return the column in a type that Arrow and the libraries have."""
    from pyspark.sql import functions

    expression = functions.col(quoted(column.name))
    if feature.kind == "vector":
        return _array(df, column, feature, allows_missing)
    return expression.cast("double") if column.kind == "decimal" else expression


def _array(df: DataFrame, column: Column, feature: Feature, allows_missing: bool) -> SparkColumn:
    """Return a column of vectors or arrays, checked in the JVM: its errors are one line."""
    from pyspark.sql import functions

    expression = values = functions.col(quoted(column.name))
    if column.kind == "vector":
        values = vector_to_array(df)(expression)
    what = f"The {column.kind}s of the column {column.name!r}"
    wrong = functions.concat(
        functions.lit(f"{what} must have {feature.width} elements, as in fit, and one has "),
        functions.size(values).cast("string"),
        functions.lit(". Pad or cut them, or drop such rows."),
    )
    # The functions themselves fail on a null vector.
    there = expression.isNotNull()
    made = functions.when(there & (functions.size(values) == feature.width), values)
    made = made.when(there, functions.raise_error(wrong))
    if allows_missing:
        return made
    null = f"{what} must not be null, since a network cannot use missing values. Drop such rows: "
    return made.otherwise(functions.raise_error(functions.lit(f"{null}df.na.drop().")))


@dataclass(frozen=True)
class _Closure:
    """A model that travels inside the function (Spark Connect has no broadcast)."""

    value: bytes


def _ship(df: DataFrame, raw: bytes) -> Callable[[], tuple[str, bytes]]:
    """Send the model to the executors; returns how a task gets at it."""
    digest = hashlib.sha256(raw).hexdigest()
    # A broadcast goes to each executor once; a closure goes with every task.
    with disk_may_be_full():  # through which Python hands it to the JVM
        holder = _Closure(raw) if is_connect(df) else df.sparkSession.sparkContext.broadcast(raw)
    return partial(_shipped, digest, holder)


def _shipped(digest: str, holder: _Closure | Broadcast[bytes]) -> tuple[str, bytes]:
    return digest, holder.value


def _batches(
    predictor: Predictor, get_model: Callable[[], tuple[str, bytes]]
) -> Callable[[Iterator[pa.Array]], Iterator[pa.Array]]:
    """Return the function of a Spark task."""

    def predict(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        model = None
        for batch in batches:
            if model is None and len(batch):
                model = _load_once(predictor, *get_model())
            refused = None
            try:
                made = predictor.predict(model, batch)
            except SchemaError as error:
                made = pa.nulls(len(batch), predictor.empty().type)
                refused = str(error)
            texts = pa.repeat(pa.scalar(refused, pa.string()), len(batch))
            yield pa.StructArray.from_arrays([made, texts], [_VALUE, _REFUSED])

    return predict


_loaded: dict[str, Any] = {}


def _load_once(predictor: Predictor, digest: str, raw: bytes) -> Any:
    """Load a model once per Python worker process, which serves many tasks."""
    if digest not in _loaded:
        _loaded.clear()
        _loaded[digest] = predictor.load(raw)
    return _loaded[digest]
