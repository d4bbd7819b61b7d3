"""`partial_dependence`."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

from sklearn import inspection
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import SparkEstimator, is_spark, kind_of
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import NUMERIC, Column, check_exists, from_spark_schema
from raydp_ml.exchange.frames import named_table
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.exchange.sql_text import aggregate
from raydp_ml.inspection._grid import grid_axes
from raydp_ml.inspection._responses import Response, averages, lines
from raydp_ml.spark_jobs.expressions import double
from raydp_ml.spark_jobs.summaries import only_row

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data, Values

_CONSTRAINTS: dict[str, Any] = {
    "features": ["array-like", str],
    "sample_weight": [str, None],
    "categorical_features": ["array-like", None],
    "feature_names": [None],
    "response_method": [StrOptions({"auto", "predict_proba"})],
    "percentiles": [tuple],
    "grid_resolution": [Interval(Integral, 2, None, closed="left")],
    "custom_values": [dict, None],
    "method": [StrOptions({"auto", "brute"})],
    "kind": [StrOptions({"average", "individual", "both"})],
}


def partial_dependence(
    estimator: BaseEstimator,
    X: Data,
    features: Any,
    *,
    sample_weight: Values | None = None,
    categorical_features: Any = None,
    feature_names: Any = None,
    response_method: str = "auto",
    percentiles: tuple[float, float] = (0.05, 0.95),
    grid_resolution: int = 100,
    custom_values: dict[Any, Any] | None = None,
    method: str = "auto",
    kind: str = "average",
) -> Bunch:
    """Compute what a model predicts on average as some features take other values.

    Parameters
    ----------
    estimator : estimator
        A fitted regressor or classifier, or a Pipeline that ends with one. For Spark, one of
        raydp_ml's.
    X : Spark DataFrame, or any in-memory kind that ``predict`` takes
    features : str, int, or sequence of them
        The feature, or features, that take each value of the grid. For Spark, names of columns of
        numbers, booleans or strings.
    sample_weight : str or array-like of shape (n_samples,), default=None
        Weights of the average: a column's name where X has names. For Spark, None takes the role
        "sample_weight".
    categorical_features : array-like, default=None
        Which features take all of their values: names, or as in scikit-learn; for Spark, names.
    feature_names : array-like of str, default=None
        As in scikit-learn; not for Spark, where columns have names.
    response_method : {"auto", "predict_proba", "decision_function"}, default="auto"
        As in scikit-learn; for Spark not "decision_function", which no classifier has there.
    percentiles : tuple of float, default=(0.05, 0.95)
        Between which the grid lies.
    grid_resolution : int, default=100
        Points for each feature; one with fewer values takes just these.
    custom_values : dict, default=None
        Values of the grid by feature, in place of percentiles.
    method : {"auto", "recursion", "brute"}, default="auto"
        As in scikit-learn; for Spark not "recursion", which is for scikit-learn's own trees.
    kind : {"average", "individual", "both"}, default="average"
        Whether to average over the rows, or to return the predictions of each of them. For Spark,
        at most 10 million predictions are collected: pass a sample of the rows.

    Returns
    -------
    sklearn.utils.Bunch
        `grid_values`, a list of arrays; `average`, of shape (n_outputs, len(grid_values[0]), ...);
        `individual`, of shape (n_outputs, n_samples, len(grid_values[0]), ...).

    Raises
    ------
    sklearn.exceptions.NotFittedError
        Before ``fit``.
    SchemaError
        If there is no such column, or no grid can be made of its values.
    InvalidParameterError
        If a parameter has no meaning for Spark.

    Notes
    -----
    For data in memory this is `sklearn.inspection.partial_dependence`. For Spark the values are
    those that it computes from the collected rows [1]_: the percentiles are exact, and one Spark
    job predicts each row at each point. Integer columns, which scikit-learn refuses, are read as
    doubles.

    References
    ----------
    .. [1] J. H. Friedman, "Greedy Function Approximation: A Gradient Boosting Machine", Annals of
       Statistics 29(5), 2001.

    Examples
    --------
    >>> from raydp_ml.inspection import partial_dependence
    >>> from raydp_ml.xgboost import XGBRegressor
    >>> X = [[0.0, 5.0], [1.0, 5.0], [1.0, 4.0]]
    >>> model = XGBRegressor(n_estimators=1, max_depth=1, learning_rate=1, reg_lambda=0)
    >>> found = partial_dependence(model.fit(X, [1.0, 3.0, 3.0]), X, [0])
    >>> found.average.tolist()
    [[1.0, 3.0]]
    """
    parameters = {
        "sample_weight": sample_weight,
        "categorical_features": categorical_features,
        "feature_names": feature_names,
        "response_method": response_method,
        "percentiles": percentiles,
        "grid_resolution": grid_resolution,
        "custom_values": custom_values,
        "method": method,
        "kind": kind,
    }
    if not is_spark(X):
        X, parameters["sample_weight"] = in_memory(X, sample_weight)
        return inspection.partial_dependence(estimator, X, features, **parameters)
    validate_parameter_constraints(
        _CONSTRAINTS, {"features": features, **parameters}, "partial_dependence"
    )
    response = response_of(estimator, response_method)
    require_batch(X)
    columns, categorical = chosen_columns(X, features, categorical_features)
    _check_percentiles(percentiles)
    rows, weight = _counted(X, sample_weight)
    names = [column.name for column in columns]
    custom = custom_values or {}
    unknown = [name for name in custom if name not in names]
    if unknown:
        raise SchemaError(f"custom_values has {unknown}, which are none of the features {names}.")
    axes = grid_axes(X, columns, categorical, percentiles, grid_resolution, custom)
    found = Bunch(grid_values=[axis.values for axis in axes])
    shape = [len(values) for values in found.grid_values]
    if kind != "individual":
        average = averages(X, axes, response, weight)
        found["average"] = average.reshape(-1, *shape)
    if kind != "average":
        found["individual"] = lines(X, axes, response, rows).reshape(-1, rows, *shape)
    return found


def in_memory(X: Any, sample_weight: Any) -> tuple[Any, Any]:
    """Return X and the weights as scikit-learn takes them."""
    kind = kind_of(X)
    if kind not in {"array", "pandas"}:
        X = named_table(X, kind).to_pandas()
    if isinstance(sample_weight, str):
        names = list(getattr(X, "columns", ()))
        check_exists(sample_weight, names, "sample_weight")
        return X.drop(columns=sample_weight), X[sample_weight].to_numpy()
    return X, sample_weight


def response_of(estimator: Any, response_method: str) -> Response:
    """Return what is predicted on Spark, or say why nothing can be."""
    check_is_fitted(estimator)
    if not (is_classifier(estimator) or is_regressor(estimator)):
        raise InvalidParameterError("'estimator' must be a fitted regressor or classifier.")
    model = getattr(estimator, "best_estimator_", estimator)
    last = model[-1] if isinstance(model, Pipeline) else model
    if not isinstance(last, SparkEstimator):
        raise InvalidParameterError(
            f"{type(last).__name__} does not predict Spark DataFrames. Pass rows in memory "
            "(df.toPandas()), or an estimator of raydp_ml's."
        )
    if is_classifier(estimator):
        count = len(estimator.classes_)
        return Response(estimator, "predict_proba", (1,) if count == 2 else tuple(range(count)))
    if response_method != "auto":
        raise InvalidParameterError(
            "The response_method parameter is ignored for regressors and must be 'auto'."
        )
    return Response(estimator, "predict", None)


def chosen_columns(
    df: DataFrame, features: Any, categorical_features: Any
) -> tuple[list[Column], list[bool]]:
    """Return the features, and which of them take all of their values."""
    columns = from_spark_schema(df.schema)
    names = _names([features] if isinstance(features, str) else features, columns, "features")
    categorical = set()
    if categorical_features is not None:
        categorical = set(_names(categorical_features, columns, "categorical_features"))
    by_name = {column.name: column for column in columns}
    picked = [by_name[name] for name in names]
    for column in picked:
        if column.kind not in {*NUMERIC, "string"}:
            raise SchemaError(
                f"The column {column.name!r} of type {column.type_name} cannot take the values of "
                "a grid. Choose columns of numbers, booleans or strings."
            )
    return picked, [name in categorical for name in names]


def _names(given: Any, columns: list[Column], what: str) -> list[str]:
    names = list(given)
    if not names or not all(isinstance(name, str) for name in names):
        raise SchemaError(
            f"{what} of a Spark DataFrame are names of its columns, and {given!r} was given."
        )
    if len(set(names)) < len(names):
        raise SchemaError(f"{what} must be different columns, and {names} were given.")
    for name in names:
        check_exists(name, columns, what)
    return names


def _check_percentiles(percentiles: Sequence[float]) -> None:
    if len(percentiles) != 2 or not all(0 <= p <= 1 for p in percentiles):
        raise InvalidParameterError(
            f"'percentiles' must be two numbers in [0, 1]. Got {percentiles} instead."
        )
    if percentiles[0] >= percentiles[1]:
        raise InvalidParameterError(
            f"percentiles[0] must be strictly less than percentiles[1]. Got {percentiles} instead."
        )


def _counted(df: DataFrame, sample_weight: Any) -> tuple[int, str | None]:
    """Count the rows and check the weights; returns the count and the weights' column."""
    columns = from_spark_schema(df.schema)
    weight = sample_weight
    if weight is None:
        weight = next((item.name for item in columns if item.role == "sample_weight"), None)
    else:
        check_exists(weight, columns, "sample_weight")
    facts = {"n": "count(*)"}
    if weight is not None:
        (column,) = (item for item in columns if item.name == weight)
        if column.kind not in NUMERIC:
            raise SchemaError(
                f"The sample_weight {weight!r} is of type {column.type_name}, and weights are "
                "numbers."
            )
        w = double(weight)
        facts["bad"] = f"count_if({w} is null or isnan({w}) or abs({w}) = double('Infinity'))"
        facts["total"] = f"sum({w})"
    row = only_row(aggregate(df, [], facts))
    if row["n"] == 0:
        raise SchemaError("The DataFrame has no rows. Check the filters and joins before it.")
    if weight is not None and row["bad"]:
        raise SchemaError(
            f"The sample_weight holds {row['bad']} missing or infinite of {row['n']} values. "
            "Replace them, or drop such rows."
        )
    if weight is not None and row["total"] == 0:
        raise SchemaError("The weights add up to zero, and have no average.")
    return row["n"], weight
