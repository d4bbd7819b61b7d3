"""Spark SQL as text: literals, and the functions of a column that transformers are made of.

Text is parsed once in the JVM, where building the same from ``pyspark.sql.Column`` objects costs
a call from Python for every node.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, SupportsFloat

import numpy as np

from raydp_ml.exchange.columns import Column, quoted

__all__ = [
    "array_of",
    "choose",
    "comparable",
    "double",
    "helper",
    "linear",
    "literal",
    "lookup",
    "number",
    "position",
    "quotient",
    "search",
    "when_held",
]

Numbers = Sequence[float] | np.ndarray

_BRANCHES = 64
"""Up to so many cases are compiled as branches; more are searched for in an array."""


def number(value: SupportsFloat) -> str:
    """Write a number as a double that Spark reads back as the same."""
    value = float(value)
    if math.isnan(value):
        return "double('NaN')"
    if math.isinf(value):
        return f"double('{'-' if value < 0 else ''}Infinity')"
    return f"({value!r}D)" if value < 0 or repr(value)[0] == "-" else f"{value!r}D"


def text(value: str) -> str:
    """Write a string as an SQL literal."""
    # A dollar sign would begin one of Spark's ${variables}.
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("$", "\\u0024")
    return f"'{escaped}'"


def literal(value: Any) -> str:
    """Write a string, boolean or number as an SQL literal; None and NaN as a missing double.

    A Decimal keeps its digits, those of zero after the point as well.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "cast(null as double)"
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bool) or type(value).__name__ in {"bool_", "bool"}:
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"({value:f}BD)"
    if isinstance(value, int) or "int" in type(value).__name__:
        return f"{int(value)}L"
    return number(value)


def double(name: str) -> str:
    """Read a numeric or boolean column as doubles."""
    return f"cast({quoted(name)} as double)"


def comparable(column: Column) -> str:
    """Read a column to compare its values: strings by their bytes, whatever their collation."""
    x = quoted(column.name)
    return f"cast({x} as string)" if column.kind == "string" else x


def quotient(x: str, divisor: SupportsFloat) -> str:
    """Divide by a number as NumPy does: by zero as well, which Spark refuses."""
    divisor = float(divisor)
    if divisor == 0:
        # The same in each case: infinite, or NaN of zero.
        return f"{x} * {number(math.copysign(math.inf, divisor))}"
    return f"{x} / {number(divisor)}"


def helper(index: int) -> str:
    """Name the helper column of that number, which stands for the time of a transform."""
    return f"__raydp_ml_{index}"


def when_held(x: str, made: str) -> str:
    """Keep null and NaN as they are, where `made` would give them a value."""
    return f"if({x} is null or isnan({x}), {x}, {made})"


def linear(inputs: Sequence[str], weights: Numbers, constant: float = 0.0) -> str:
    """Sum weighted inputs."""
    terms = [f"{x} * {number(w)}" for x, w in zip(inputs, weights, strict=True)]
    return " + ".join([*terms, number(constant)] if constant else terms)


def array_of(values: Numbers) -> str:
    """Write an array of doubles as one literal, which is cheap to parse however long it is."""
    joined = ",".join(repr(float(value)) for value in values)
    return f"cast(split('{joined}', ',') as array<double>)"


def position(x: str, edges: Numbers) -> str:
    """Count the sorted `edges` that are at most x, as ``numpy.searchsorted(side="right")``."""
    if len(edges) <= _BRANCHES:
        return choose(x, edges, [str(index) for index in range(len(edges) + 1)])
    return search(x, array_of(edges), len(edges))


def search(x: str, array: str, length: int) -> str:
    """Count the elements that are at most x, as `position`, in SQL of a sorted array."""
    steps = ",".join(str(1 << bit) for bit in reversed(range(length.bit_length())))
    # Halving steps: SQL has no binary search, and a linear one costs its length. The names of the
    # variables would hide columns of the same names.
    at, step = "__raydp_ml_at", "__raydp_ml_step"
    return (
        f"aggregate(array({steps}), 0, ({at}, {step}) -> if({at} + {step} <= {length}, "
        f"if({x} >= element_at({array}, {at} + {step}), {at} + {step}, {at}), {at}))"
    )


def choose(x: str, edges: Numbers, results: Sequence[str]) -> str:
    """Give the result of the interval (closed on the left) that x is in, by halving."""
    if not len(edges):
        return results[0]
    middle = len(edges) // 2
    below = choose(x, edges[:middle], results[: middle + 1])
    above = choose(x, edges[middle + 1 :], results[middle + 1 :])
    return f"if({x} < {number(edges[middle])}, {below}, {above})"


def lookup(x: str, keys: Sequence[Any], results: Numbers, otherwise: str) -> str:
    """Give the number that belongs to the key that x equals, else `otherwise`.

    Parameters
    ----------
    x : str
        SQL of a string, boolean, or number.
    keys : sequence
        Distinct values, none of them missing.
    results : sequence of float
    otherwise : str
        SQL for a value (missing included) that is not among the keys.
    """
    if len(keys) <= _BRANCHES:
        cases = "".join(
            f" when {x} = {literal(key)} then {number(made)}"
            for key, made in zip(keys, results, strict=True)
        )
        return f"case{cases} else {otherwise} end" if cases else otherwise
    # Python orders strings by code point, as Spark does by the bytes of UTF-8.
    order = sorted(range(len(keys)), key=keys.__getitem__)
    ordered = [keys[index] for index in order]
    array = f"array({','.join(literal(key) for key in ordered)})"
    made = array_of([results[index] for index in order])
    found = search(x, array, len(keys))
    # The binding spares a second search where both the check and the result need its position.
    at = "__raydp_ml_found"
    return (
        f"coalesce(element_at(transform(array({found}), {at} -> if({at} > 0, "
        f"if(element_at({array}, {at}) = {x}, element_at({made}, {at}), null), null)), 1), "
        f"{otherwise})"
    )
