"""Moments of the features raised to many powers, of which each job tries some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from raydp_ml.exchange.jvm import doubles, java_object
from raydp_ml.exchange.sql_text import select
from raydp_ml.spark_jobs.expressions import array_of, double, number
from raydp_ml.spark_jobs.summaries import double_columns, grouped_by_index, long_form

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["PowerMoments", "box_cox", "logarithms", "yeo_johnson"]

_EPS = number(np.spacing(1.0))


class PowerMoments:
    """Means and variances of powers of features.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    names : sequence of str
        The numeric features. Null and NaN are left out.
    method : {"yeo-johnson", "box-cox"}
    """

    def __init__(self, df: DataFrame, names: Sequence[str], method: str) -> None:
        self._df, self._names, self._method = df, list(names), method
        self._java = java_object(df.sparkSession, "columns.PowerMoments")
        if self._java is not None:
            # Planned once for all jobs: the features may be what a long Pipeline makes.
            self._logs = double_columns(df, logarithms(names, method))

    def of(
        self, places: np.ndarray, powers: np.ndarray, centres: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute the moments in one job.

        Parameters
        ----------
        places : ndarray of shape (n,)
            Of the features among the names.
        powers : ndarray of shape (n, n_powers)
        centres : ndarray of shape (n,)
            Subtracted from the logarithms of the magnitudes.

        Returns
        -------
        means, variances : ndarray of shape (n, n_powers)
            Those of the population; not finite where a power overflows.
        """
        if self._java is None:
            return self._in_sql(places, powers, centres)
        asked = np.column_stack([places, centres, powers]).astype(">f8")
        signed = self._method == "yeo-johnson"
        packed = self._java.run(self._logs, signed, powers.shape[1], asked.tobytes())
        means, variances = np.moveaxis(doubles(packed).reshape(*powers.shape, 2), -1, 0)
        return means, variances

    def _in_sql(
        self, places: np.ndarray, powers: np.ndarray, centres: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        count = powers.shape[1]
        make = yeo_johnson if self._method == "yeo-johnson" else box_cox
        grid = ",".join(array_of(row) for row in powers)
        # One expression for all powers, since one for each would be too much code for the JVM.
        each = select(
            long_form(self._df, [self._names[place] for place in places]),
            "i AS column",
            "x",
            f"element_at({array_of(centres)}, i + 1) AS c",
            f"posexplode(element_at(array({grid}), i + 1)) AS (l, p)",
        )
        rows = select(each, f"column * {count} + l AS i", f"{make('x', 'p', 'c')} AS x")
        found = grouped_by_index(rows, powers.size, mean="avg(x)", var="var_pop(x)")
        return found["mean"].reshape(powers.shape), found["var"].reshape(powers.shape)


def logarithms(names: Sequence[str], method: str) -> list[str]:
    """Give the SQL of the logarithms of which powers are made, with the sign of the values."""
    if method == "box-cox":
        return [f"ln({double(name)})" for name in names]
    return [f"sign({double(name)}) * log1p(abs({double(name)}))" for name in names]


def yeo_johnson(x: str, power: str, centre: str = "0.0D") -> str:
    """Write the power of Yeo and Johnson, less a centre of the logarithm of the magnitude."""
    rest = f"(2 - {power})"
    high, low = (f"(log1p({value}) - {centre})" for value in (x, f"-{x}"))
    above = f"if(abs({power}) < {_EPS}, {high}, expm1({power} * {high}) / {power})"
    below = f"if(abs({rest}) > {_EPS}, -expm1({rest} * {low}) / {rest}, -{low})"
    return f"if(isnan({x}), {x}, if({x} >= 0, {above}, {below}))"


def box_cox(x: str, power: str, centre: str = "0.0D") -> str:
    """Write the power of Box and Cox, less a centre of the logarithm."""
    # The natural logarithm of what is not positive is null in Spark, and missing.
    log = f"(ln({x}) - {centre})"
    return f"if(isnan({x}), {x}, if({power} = 0, {log}, expm1({power} * {log}) / {power}))"
