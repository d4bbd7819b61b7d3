"""Selection by scores of each feature alone: analysis of variance, correlation, chi-squared."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy import special, stats
from sklearn import feature_selection
from sklearn.feature_selection import chi2, f_classif, f_regression

from raydp_ml.compose._selector import pandas_template
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import ColumnRoles, from_spark_schema, quoted
from raydp_ml.exchange.sql_text import aggregate
from raydp_ml.feature_selection._selector import Selector
from raydp_ml.spark_jobs.expressions import lookup
from raydp_ml.spark_jobs.moments import settle_constants
from raydp_ml.spark_jobs.summaries import (
    check_finite,
    check_held,
    check_labels,
    class_sums,
    column_key,
    grouped_by_index,
    is_missing,
    long_form,
    no_rows,
)
from raydp_ml.spark_jobs.vector_moments import vector_moments

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MOST_GROUPS = 1000
Scores = tuple[np.ndarray, np.ndarray]


class _Filter(Selector):
    _supervised = True

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        score = _SCORES.get(self.score_func)  # type: ignore[attr-defined]
        if score is None:
            raise ValueError(
                f"The score_func {self.score_func!r} is for data in memory. "  # type: ignore[attr-defined]
                "For a Spark DataFrame choose f_classif, f_regression or chi2."
            )
        self._check_params(pandas_template(roles.features), None)  # type: ignore[attr-defined]
        self.scores_, self.pvalues_ = score(df, roles)

    def _learn_vectors(self, df: DataFrame, x: str, roles: ColumnRoles) -> int:
        score = _VECTOR_SCORES.get(self.score_func)  # type: ignore[attr-defined]
        if score is None:
            raise ValueError(
                f"The score_func {self.score_func!r} is not for vectors. Choose "  # type: ignore[attr-defined]
                "f_classif or chi2, or columns as the output of the step before "
                "(sparse_output=False, encode='onehot-dense')."
            )
        sums = _class_moments(df, x, str(roles.label))
        width = sums["mean"].shape[1]
        self._check_params(np.empty((0, width)), None)  # type: ignore[attr-defined]
        self.scores_, self.pvalues_ = score(sums)
        return width


class SelectKBest(_Filter, feature_selection.SelectKBest):
    """Keep the features with the k highest scores.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.feature_selection.SelectKBest`.

    Notes
    -----
    In Spark, ``score_func`` is `f_classif`, `f_regression` or `chi2`, and one job computes it.
    With the first and the last, vectors may be among the features: the output is then one vector
    column, named after the class, and a job before finds the classes.

    Examples
    --------
    >>> from raydp_ml.feature_selection import SelectKBest
    >>> X = [[1.0, 5.0], [1.0, 6.0], [2.0, 5.0], [2.5, 6.0]]
    >>> SelectKBest(k=1).fit(X, [0, 0, 1, 1]).get_support()
    array([ True, False])
    """


class SelectPercentile(_Filter, feature_selection.SelectPercentile):
    """Keep a percentage of the features, those with the highest scores; see `SelectKBest`."""


class SelectFpr(_Filter, feature_selection.SelectFpr):
    """Keep the features with p-values below a rate of false positives; see `SelectKBest`."""


class SelectFdr(_Filter, feature_selection.SelectFdr):
    """Keep features at an estimated rate of false discoveries; see `SelectKBest`."""


class SelectFwe(_Filter, feature_selection.SelectFwe):
    """Keep features at a family-wise rate of errors; see `SelectKBest`."""


class GenericUnivariateSelect(_Filter, feature_selection.GenericUnivariateSelect):
    """Keep features by a rule that is a parameter; see `SelectKBest`."""


def _f_classif(df: DataFrame, roles: ColumnRoles) -> Scores:
    """One-way analysis of variance of each feature over the classes."""
    aggregates = {"mean": "avg(x)", "var": "var_pop(x)", "low": "min(x)", "high": "max(x)"}
    _, sums = class_sums(df, roles.feature_names, str(roles.label), **aggregates)
    settle_constants(sums)
    return _analysis_of_variance(sums)


def _analysis_of_variance(sums: dict[str, np.ndarray]) -> Scores:
    counts, means = sums["count"], sums["mean"]
    rows = counts.sum(axis=0)
    grand = (counts * means).sum(axis=0) / rows
    between = len(counts) - 1
    within = rows[0] - len(counts)
    # Of a constant, rounding would leave a spread, and nothing within the classes to divide it by.
    varies = sums["low"].min(axis=0) < sums["high"].max(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread_between = varies * (counts * (means - grand) ** 2).sum(axis=0) / between
        spread_within = (counts * sums["var"]).sum(axis=0) / within
        constant = np.flatnonzero(spread_within == 0.0)
        if (spread_between == 0).any() and constant.size:
            warnings.warn(f"Features {constant} are constant.", stacklevel=2)
        scores = spread_between / spread_within
    return scores, special.fdtrc(between, within, scores)


def _chi2(df: DataFrame, roles: ColumnRoles) -> Scores:
    """Chi-squared of the sums of each feature over the classes."""
    _, sums = class_sums(df, roles.feature_names, str(roles.label), sum="sum(x)", low="min(x)")
    return _chi_squared(sums)


def _chi_squared(sums: dict[str, np.ndarray]) -> Scores:
    if (sums["low"] < 0).any():
        raise ValueError("Input X must be non-negative.")
    shares = (sums["count"][:, 0] / sums["count"][:, 0].sum())[:, None]
    expected = shares * sums["sum"].sum(axis=0)
    with np.errstate(invalid="ignore"):
        scores = ((sums["sum"] - expected) ** 2 / expected).sum(axis=0)
    if len(shares) == 1:
        # scikit-learn sets an only class beside one without rows, of which 0 / 0 is expected.
        scores = np.full(len(scores), np.nan)
    return scores, special.chdtrc(len(shares) - 1, scores)


def _f_regression(df: DataFrame, roles: ColumnRoles) -> Scores:
    """F statistic of the correlation of each feature with the label."""
    names, label = roles.feature_names, str(roles.label)
    kinds = {column.name: column for column in from_spark_schema(df.schema)}
    if kinds[label].kind == "string":
        raise SchemaError(f"f_regression needs a label of numbers, and {label!r} holds strings.")
    found = grouped_by_index(
        long_form(df, names, [f"cast({quoted(label)} as double) AS y"]),
        len(names),
        rows="count(1)",
        held="count(x)",
        infinite="count_if(abs(x) = double('Infinity'))",
        unlabelled="count_if(y is null or isnan(y))",
        # Not corr(x, y), which is an error for a constant in Spark 4.2.
        both="covar_pop(x, y)",
        x="var_pop(x)",
        y="var_pop(y)",
    )
    rows = found["rows"][0]
    if not rows > 0:
        raise no_rows()
    check_labels(label, int(found["unlabelled"][0]))
    check_finite(names, found["infinite"])
    check_held(names, rows - found["held"])
    degrees = rows - 2
    with np.errstate(divide="ignore", invalid="ignore"):
        correlations = found["both"] / (np.sqrt(found["x"]) * np.sqrt(found["y"]))
        # As scikit-learn's force_finite: a constant feature has no correlation.
        squares = np.nan_to_num(correlations) ** 2
        scores = squares / (1 - squares) * degrees
        p_values = stats.f.sf(scores, 1, degrees)
    absent = np.isnan(scores)
    scores[np.isinf(scores)] = np.finfo(np.float64).max
    scores[absent], p_values[absent] = 0.0, 1.0
    return scores, p_values


def _class_moments(df: DataFrame, x: str, label: str) -> dict[str, np.ndarray]:
    """Compute statistics of the entries of vectors within each value of the label."""
    y = column_key(df, label)
    found = aggregate(df, [y], {"n": "count(1)"}).limit(MOST_GROUPS + 1).collect()
    if not found:
        raise no_rows()
    check_labels(label, sum(row[1] for row in found if is_missing(row[0])))
    if len(found) > MOST_GROUPS:
        raise SchemaError(
            f"The label {label!r} has more than {MOST_GROUPS} classes, too many for vectors. Is it "
            "a label of classes?"
        )
    classes = sorted(row[0] for row in found)
    group = lookup(y, classes, list(range(len(classes))), "-1.0D")
    sums = vector_moments(df, x, group=group, groups=len(classes), allow_missing=False)
    return {**sums, "sum": sums["mean"] * sums["count"]}


_VECTOR_SCORES = {f_classif: _analysis_of_variance, chi2: _chi_squared}
_SCORES = {f_classif: _f_classif, chi2: _chi2, f_regression: _f_regression}
