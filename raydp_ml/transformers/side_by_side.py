"""Several transformers over one Spark DataFrame, each with its own columns, in one projection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raydp_ml.base import folds_case
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import quoted
from raydp_ml.exchange.schema import is_vector
from raydp_ml.exchange.sql_text import select
from raydp_ml.spark_jobs.expressions import number
from raydp_ml.transformers.base import RESERVED, check_outputs_differ

__all__ = ["Part", "side_by_side"]


@dataclass(frozen=True)
class Part:
    """One of the transformers.

    Attributes
    ----------
    name : str
    columns : sequence of str
    apply : callable
        What is done to a DataFrame with these columns.
    weight : float or None
        Of what comes out.
    """

    name: str
    columns: Sequence[str]
    apply: Callable[[Any], Any]
    weight: float | None = None


def side_by_side(
    df: Any,
    features: Sequence[str],
    parts: Sequence[Part],
    prefixed: Callable[[list[tuple[str, np.ndarray]]], Sequence[str]],
) -> tuple[Any, list[list[str]]]:
    """Let each part replace its columns, and put what they make next to each other.

    Nothing is joined: each part gets the DataFrame with the outputs of those before it, and the
    inputs of those after it, set aside under names of their own.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    features : sequence of str
        The columns that are replaced; all others pass through.
    parts : sequence of Part
    prefixed : callable
        scikit-learn's: gets each part's name with the names that it gave its outputs, and returns
        their final names, all in one.

    Returns
    -------
    df : pyspark.sql.DataFrame
        The outputs stand where the first of the features stood.
    made : list of list of str
        The names that each part gave its outputs.
    """
    tag = _free_tag(df.columns)
    columns = df.columns
    replaced = {name for name in columns if name in set(features)}
    passing = [name for name in columns if name not in replaced]
    aside = {name: f"{tag}in_{index}" for index, name in enumerate(sorted(replaced))}
    needed = {name for part in parts for name in part.columns}
    held = [*passing, *(aside[name] for name in aside if name in needed)]
    current = select(
        df,
        *map(quoted, passing),
        *(f"{quoted(name)} AS {quoted(aside[name])}" for name in aside if name in needed),
    )
    made: list[list[str]] = []
    outputs: list[str] = []
    for part in parts:
        ready = select(
            current,
            *map(quoted, held),
            *(f"{quoted(aside[name])} AS {quoted(name)}" for name in part.columns),
        )
        result = part.apply(ready)
        known = set(held)
        new = [name for name in result.columns if name not in known]
        kept = [f"{tag}out_{len(outputs) + index}" for index in range(len(new))]
        scale = "" if part.weight is None else f" * {number(part.weight)}"
        if scale:
            _check_scalable(result, new)
        current = select(
            result,
            *map(quoted, held),
            *(f"{quoted(n)}{scale} AS {quoted(k)}" for n, k in zip(new, kept, strict=True)),
        )
        held += kept
        outputs += kept
        made.append(new)
    pairs = [
        (part.name, np.asarray(new, dtype=object)) for part, new in zip(parts, made, strict=True)
    ]
    final = [str(name) for name in prefixed(pairs)] if pairs else []
    fold = str.lower if folds_case(df) else str
    folded = [fold(name) for name in passing]
    taken = sorted(name for name in set(final) if fold(name) in folded)
    if taken:
        raise SchemaError(
            f"The outputs {taken} would take the names of other columns that pass through. Rename "
            f"those (df.withColumnRenamed({taken[0]!r}, ...)) or drop them."
        )
    check_outputs_differ(final, df)
    in_place = [f"{quoted(k)} AS {quoted(n)}" for k, n in zip(outputs, final, strict=True)]
    texts: list[str] = []
    for name in columns:
        if name not in replaced:
            texts.append(quoted(name))
        else:
            texts += in_place
            in_place = []
    return select(current, *texts), made


def _check_scalable(result: Any, names: Sequence[str]) -> None:
    vectors = [name for name in names if is_vector(result.schema[name].dataType)]
    if vectors:
        raise SchemaError(
            f"transformer_weights cannot scale the vectors {vectors} in Spark. Choose columns as "
            "the output of that transformer (sparse_output=False, encode='onehot-dense')."
        )


def _free_tag(columns: Sequence[str]) -> str:
    """Return a prefix that no column has, since transformers may be nested."""
    depth = 0
    while any(name.startswith(f"{RESERVED}part{depth}_") for name in columns):
        depth += 1
    return f"{RESERVED}part{depth}_"
