"""`PartialDependenceDisplay`: scikit-learn's own, of a Spark DataFrame too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import inspection
from sklearn.base import BaseEstimator, is_regressor
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import InvalidParameterError

from raydp_ml.base import is_spark
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import NUMERIC, Column
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.exchange.sql_text import select
from raydp_ml.inspection._grid import empirical_quantiles
from raydp_ml.inspection._partial_dependence import (
    chosen_columns,
    in_memory,
    partial_dependence,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data, Values


class PartialDependenceDisplay(inspection.PartialDependenceDisplay):
    """scikit-learn's plot of partial dependence, which takes Spark DataFrames as well.

    Make one with `from_estimator`. Parameters, attributes and ``plot`` are scikit-learn's own.

    See Also
    --------
    sklearn.inspection.PartialDependenceDisplay : What this is.
    partial_dependence : The numbers that are plotted.
    """

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: Data,
        features: Sequence[Any],
        *,
        sample_weight: Values | None = None,
        categorical_features: Any = None,
        feature_names: Any = None,
        target: Any = None,
        response_method: str = "auto",
        n_cols: int = 3,
        grid_resolution: int = 100,
        percentiles: tuple[float, float] = (0.05, 0.95),
        custom_values: dict[Any, Any] | None = None,
        method: str = "auto",
        n_jobs: int | None = None,
        verbose: int = 0,
        line_kw: dict[str, Any] | None = None,
        ice_lines_kw: dict[str, Any] | None = None,
        pd_line_kw: dict[str, Any] | None = None,
        contour_kw: dict[str, Any] | None = None,
        ax: Any = None,
        kind: str | Sequence[str] = "average",
        centered: bool = False,
        subsample: float | None = 1000,
        random_state: Any = None,
    ) -> PartialDependenceDisplay:
        """Plot what a model predicts on average, and for single rows, as features vary.

        Parameters
        ----------
        estimator, X, sample_weight, categorical_features, feature_names, response_method, \
grid_resolution, percentiles, custom_values, method
            As in `partial_dependence`.
        features : sequence of str, or pairs of them
            One plot for each; for arrays, numbers of columns.
        kind : {"average", "individual", "both"}, or a sequence of them, default="average"
        subsample : float, int or None, default=1000
            Rows that lines are drawn of. Of a Spark DataFrame, only the predictions of so many
            rows are collected, which Spark samples by `random_state`.
        random_state : int, RandomState or None, default=None
        target, n_cols, line_kw, ice_lines_kw, pd_line_kw, contour_kw, ax, centered
            As in scikit-learn.
        n_jobs, verbose
            As in scikit-learn; not used for Spark.

        Returns
        -------
        PartialDependenceDisplay

        Raises
        ------
        SchemaError
            As `partial_dependence`.
        InvalidParameterError
            If a parameter does not fit the others.
        """
        shared = {
            "categorical_features": categorical_features,
            "feature_names": feature_names,
            "response_method": response_method,
            "grid_resolution": grid_resolution,
            "percentiles": percentiles,
            "custom_values": custom_values,
            "method": method,
        }
        plotted = {
            "n_cols": n_cols,
            "line_kw": line_kw,
            "ice_lines_kw": ice_lines_kw,
            "pd_line_kw": pd_line_kw,
            "contour_kw": contour_kw,
            "ax": ax,
            "centered": centered,
        }
        if not is_spark(X):
            X, sample_weight = in_memory(X, sample_weight)
            return super().from_estimator(
                estimator,
                X,
                features,
                sample_weight=sample_weight,
                target=target,
                n_jobs=n_jobs,
                verbose=verbose,
                kind=kind,
                subsample=subsample,
                random_state=random_state,
                **shared,
                **plotted,
            )
        require_batch(X)
        kinds = [kind] * len(features) if isinstance(kind, str) else list(kind)
        chosen = _chosen(X, features, categorical_features, kinds)
        sample = X
        if set(kinds) != {"average"} and subsample is not None:
            sample = _sampled(X, subsample, random_state)
        shared["sample_weight"] = sample_weight
        results = [
            _result(estimator, X, sample, names, each, shared)
            for (names, _), each in zip(chosen, kinds, strict=True)
        ]
        names = list(dict.fromkeys(chain.from_iterable(names for names, _ in chosen)))
        display = cls(
            pd_results=results,
            features=[tuple(names.index(name) for name in pair) for pair, _ in chosen],
            feature_names=names,
            target_idx=_target_index(estimator, target, results[0]),
            deciles=_deciles(X, chosen, names),
            kind=kind,
            subsample=None,  # the lines are a sample
            is_categorical=[categorical for _, categorical in chosen],
        )
        return display.plot(**plotted)


_DRAWN = "__raydp_ml_drawn__"

Chosen = list[tuple[tuple[str, ...], tuple[bool, ...]]]
"""For each plot the names of its features, and which of them are categorical."""


def _chosen(
    df: DataFrame, features: Sequence[Any], categorical_features: Any, kinds: list[str]
) -> Chosen:
    if len(kinds) != len(features):
        raise InvalidParameterError(
            f"kind has {len(kinds)} elements, and features has {len(features)}. Pass one for each "
            "plot."
        )
    made: Chosen = []
    for feature, kind in zip(features, kinds, strict=True):
        columns, categorical = chosen_columns(df, feature, categorical_features)
        names = tuple(column.name for column in columns)
        if len(names) > 2:
            raise InvalidParameterError(f"A plot has one feature or two. Got {names} instead.")
        if len(set(categorical)) > 1:
            raise InvalidParameterError(
                f"A plot cannot have one categorical feature and another that is not. Got {names}."
            )
        if kind != "average" and (len(names) > 1 or any(categorical)):
            raise InvalidParameterError(
                f"Lines of single rows are drawn for one feature that is not categorical. Pass "
                f"kind='average' for {names}."
            )
        _check_ordered(columns, categorical)
        made.append((names, tuple(categorical)))
    return made


def _check_ordered(columns: list[Column], categorical: list[bool]) -> None:
    for column, is_categorical in zip(columns, categorical, strict=True):
        if column.kind not in NUMERIC and not is_categorical:
            raise SchemaError(
                f"The column {column.name!r} of type {column.type_name} has no deciles to draw. "
                "Name it in categorical_features."
            )


def _sampled(df: DataFrame, subsample: float, random_state: Any) -> DataFrame:
    whole = isinstance(subsample, Integral)
    if not (subsample > 0 and (whole or subsample < 1)):
        raise InvalidParameterError(
            "subsample must be a positive number of rows, a share of them in (0, 1), or None. Got "
            f"{subsample!r}."
        )
    rows = int(subsample) if whole else math.ceil(df.count() * subsample)
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    drawn = select(df, "*", f"rand({seed}) AS {_DRAWN}")
    return drawn.orderBy(_DRAWN).limit(rows).drop(_DRAWN)


def _result(
    estimator: BaseEstimator,
    df: DataFrame,
    sample: DataFrame,
    names: tuple[str, ...],
    kind: str,
    shared: dict[str, Any],
) -> Bunch:
    """Average over all rows, on the grid of all rows, and take lines of the sample."""
    whole = partial_dependence(estimator, df, names, kind="average", **shared)
    if kind == "average":
        return whole
    grid = dict(zip(names, whole.grid_values, strict=True))
    of_sample = {**shared, "custom_values": grid, "sample_weight": None}
    found = partial_dependence(estimator, sample, names, kind="individual", **of_sample)
    return Bunch(**whole, individual=found.individual)


def _target_index(estimator: Any, target: Any, result: Bunch) -> int:
    if is_regressor(estimator):
        count = len(result.average)
        if count == 1:
            return 0
        if target is None or not 0 <= target < count:
            raise InvalidParameterError(
                f"target must say which of the {count} targets to plot, from 0. Got {target!r}."
            )
        return int(target)
    classes = list(estimator.classes_)
    if len(classes) == 2:
        return 0
    if target not in classes:
        raise InvalidParameterError(
            f"target must say which of the classes {classes} to plot. Got {target!r}."
        )
    return classes.index(target)


def _deciles(df: DataFrame, chosen: Chosen, names: list[str]) -> dict[int, np.ndarray]:
    ordered = {
        name
        for pair, categorical in chosen
        for name, is_categorical in zip(pair, categorical, strict=True)
        if not is_categorical
    }
    if not ordered:
        return {}
    wanted = [name for name in names if name in ordered]
    columns, _ = chosen_columns(df, wanted, None)
    found = empirical_quantiles(df, columns, np.arange(0.1, 1.0, 0.1))
    return {names.index(name): values for name, values in zip(wanted, found, strict=True)}
