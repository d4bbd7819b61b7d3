"""Rows as our Java classes read them: SQL of what the features and the base margins hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raydp_ml.exchange.columns import NUMERIC, Column, quoted
from raydp_ml.exchange.jvm import java_object
from raydp_ml.spark_jobs.expressions import double, literal
from raydp_ml.spark_jobs.vectors import values_of_vector
from raydp_ml.training.rows.layout import Feature

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_READ = {"number": NUMERIC, "category": {"string"}, "vector": {"array", "vector"}}
"""By the kind of a feature the kinds of columns that the JVM reads."""

NO_MARGINS = "cast(array() as array<float>)"


@dataclass(frozen=True)
class JvmRows:
    """What ``ml.raydp.trees.Cells`` makes the features of a row from.

    Attributes
    ----------
    n_features : int
    numbers : str
        SQL of an array of floats, one for each feature; null for one with categories.
    texts : str
        SQL of an array of strings, one for each feature with categories.
    categories : bytes
        As the Java class ``ml.raydp.trees.Categories`` reads them.
    """

    n_features: int
    numbers: str
    texts: str
    categories: bytes


def rows_for_jvm(
    df: DataFrame, columns: Sequence[Column], features: Sequence[Feature]
) -> JvmRows | None:
    """Describe the features to the JVM.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    columns : sequence of Column
    features : sequence of Feature
        What each column is.

    Returns
    -------
    JvmRows or None
        None where the categories of a column are no texts, and for vectors where the session
        cannot use our jar.
    """
    pairs = list(zip(columns, features, strict=True))
    if any(column.kind not in _READ[feature.kind] for column, feature in pairs):
        return None
    if not _can_read(df, columns):
        return None
    return JvmRows(
        sum(feature.width for feature in features),
        _numbers(pairs),
        _array_of(
            [quoted(column.name) for column, feature in pairs if feature.kind == "category"],
            "string",
        ),
        _packed_categories(features),
    )


def _can_read(df: DataFrame, columns: Sequence[Column]) -> bool:
    """Make the SQL function known that reads vectors, where there are some."""
    if all(column.kind != "vector" for column in columns):
        return True
    registry = java_object(df.sparkSession, "columns.Registry")
    if registry is not None:
        registry.register(df.sparkSession)
    return registry is not None


def _numbers(pairs: Sequence[tuple[Column, Feature]]) -> str:
    parts: list[str] = []
    cells: list[str] = []
    for column, feature in pairs:
        if feature.kind == "vector":
            parts += [_array_of(cells, "float")] if cells else []
            parts.append(_vector(column, feature))
            cells = []
        else:
            cells.append(_cell(column, feature))
    parts += [_array_of(cells, "float")] if cells else []
    return parts[0] if len(parts) == 1 else f"concat({','.join(parts)})"


def _array_of(items: Sequence[str], kind: str) -> str:
    return f"cast(array({','.join(items)}) as array<{kind}>)"


def _cell(column: Column, feature: Feature) -> str:
    if feature.kind == "category":
        return "cast(null as float)"
    # As on the way through Python, where Arrow's decimals become doubles first.
    held = double(column.name) if column.kind == "decimal" else quoted(column.name)
    return f"cast({held} as float)"


def _vector(column: Column, feature: Feature) -> str:
    """Return SQL of as many floats as ``fit`` had; nulls for a null row."""
    nothing = f"array_repeat(cast(null as float), {feature.width})"
    return f"coalesce(cast({_elements(column, feature)} as array<float>), {nothing})"


def _elements(column: Column, feature: Feature) -> str:
    """Return SQL of the elements of an array or vector, null for null; its length is checked."""
    name, what = quoted(column.name), f"The {column.kind}s of the column {column.name!r}"
    begin = literal(f"{what} must have {feature.width} elements, as in fit, and one has ")
    values = values_of_vector(name, -1) if column.kind == "vector" else name
    wrong = f"concat({begin}, size({values}), '. Pad or cut them, or drop such rows.')"
    refused = f"when {name} is not null then raise_error({wrong}) end"
    if column.kind == "vector":  # whose values are made once
        return f"coalesce({values_of_vector(name, feature.width)}, case {refused})"
    held = f"cast({name} as array<double>)" if "decimal" in column.type_name else name
    return f"case when size({name}) = {feature.width} then {held} {refused}"


def margins_for_jvm(df: DataFrame, column: Column, feature: Feature, refusal: str) -> str | None:
    """Describe the base margins to the JVM.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    column : Column
    feature : Feature
        A number, or a vector of several.
    refusal : str
        The error of a row without finite ones.

    Returns
    -------
    str or None
        SQL of an array of floats; None for vectors where the session cannot use our jar.
    """
    if not _can_read(df, [column]):
        return None
    # As on the way through Python, all margins are doubles first.
    held = (
        _elements(column, feature)
        if feature.kind == "vector"
        else _array_of([quoted(column.name)], "double")
    )
    held = f"cast({held} as array<double>)"
    single = "abs(cast(x as float))"  # which is what is infinite to XGBoost
    finite = f"forall({held}, x -> coalesce({single} < float('Infinity'), false))"
    refused = f"cast(raise_error({literal(refusal)}) as array<float>)"
    return f"if(coalesce({finite}, false), cast({held} as array<float>), {refused})"


def _packed_categories(features: Sequence[Feature]) -> bytes:
    parts, count, place = [], 0, 0
    for feature in features:
        if feature.kind == "category":
            count += 1
            categories = feature.categories or ()
            parts.append(np.array([place, len(categories)], ">i4").tobytes())
            for category in categories:
                text = category.encode()
                parts.append(np.array([len(text)], ">i4").tobytes() + text)
        place += feature.width
    return np.array([count], ">i4").tobytes() + b"".join(parts)
