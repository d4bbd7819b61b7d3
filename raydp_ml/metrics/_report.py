"""Several metrics of one DataFrame, from as few passes over it as they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sklearn.metrics import get_scorer, get_scorer_names

from raydp_ml.base import is_spark
from raydp_ml.exceptions import name_hint
from raydp_ml.metrics._columns import read_columns
from raydp_ml.metrics._jobs import run
from raydp_ml.metrics._metric import DEFINITIONS, Metric, definition_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["report", "scorer_metric"]


def report(
    df: DataFrame,
    metrics: Sequence[Any] | Mapping[str, Any],
    *,
    y_true: str | None = None,
    y_pred: str = "prediction",
    y_score: str = "probability",
    sample_weight: str | None = None,
) -> dict[str, Any]:
    """Compute several metrics in as few passes over the data as they need.

    All sums of all metrics are one Spark job, and all that needs the order of the scores is
    another pass: together these take no longer than the slowest of them alone.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        With predictions, as ``model.predict`` and ``model.predict_proba`` add them. Cache it where
        these are costly.
    metrics : sequence or mapping of str to metric
        Each metric is a function of `raydp_ml.metrics`, its name, the name of one of
        scikit-learn's scorers (``"neg_log_loss"``), or a `functools.partial` of a function, for
        options: ``partial(fbeta_score, beta=2)``.
    y_true : str, default=None
        The column of labels. None takes the one with the role "label" (`raydp_ml.set_roles`), or
        else the column ``"label"``.
    y_pred : str, default="prediction"
        The column of predicted classes or numbers.
    y_score : str, default="probability"
        The column of scores.
    sample_weight : str, default=None
        The column of weights. None takes the one with the role "sample_weight", if any.

    Returns
    -------
    dict of str to object
        The values by the names of the metrics, or the keys of the mapping.

    Raises
    ------
    TypeError
        For other data than a Spark DataFrame, or weights of one of the metrics only.
    ValueError
        For a metric that there is not, or what a metric itself raises.
    SchemaError
        If a column does not exist, or holds null, NaN or infinite values, or there are no rows.

    Examples
    --------
    >>> from raydp_ml.metrics import report
    >>> report(predicted, ["roc_auc", "log_loss", "confusion_matrix"])  # doctest: +SKIP
    {'roc_auc': 0.93, 'log_loss': 0.31, 'confusion_matrix': array([[812,  40], [ 71, 577]])}
    """
    if not is_spark(df):
        raise TypeError(f"report takes a Spark DataFrame. Got {type(df).__name__} instead.")
    if isinstance(metrics, str):
        raise TypeError(f"metrics is a list of metrics, or a dict. Got the string {metrics!r}.")
    named = metrics if isinstance(metrics, Mapping) else {_name(m): m for m in metrics}
    if len(named) < len(metrics):
        raise ValueError(
            f"Two metrics bear the same name: {[_name(m) for m in metrics]}. Name them, by a dict: "
            "{'macro': partial(f1_score, average='macro'), ...}."
        )
    chosen = {name: _resolved(metric) for name, metric in named.items()}
    used = {metric.takes for metric, _, _ in chosen.values()}
    columns = read_columns(
        df,
        y_true,
        y_pred if used & {"class", "number"} else None,
        y_score if "score" in used else None,
        sample_weight,
        ranks=any(metric.ranks for metric, _, _ in chosen.values()),
    )
    begun = {name: metric.begin(columns, given) for name, (metric, given, _) in chosen.items()}
    values = run(columns, begun)
    return {name: -value if chosen[name][2] < 0 else value for name, value in values.items()}


def _name(metric: Any) -> str:
    if isinstance(metric, partial):
        metric = metric.func
    return metric if isinstance(metric, str) else str(getattr(metric, "__name__", metric))


def _resolved(metric: Any) -> tuple[Metric, dict[str, Any], int]:
    """Return a metric's definition, its options, and the sign of its value."""
    options: dict[str, Any] = {}
    if isinstance(metric, partial):
        metric, options = metric.func, dict(metric.keywords)
    name = _name(metric)
    if callable(metric) and not hasattr(metric, "_score_func"):
        known = definition_of(metric)
        if known is None:
            raise ValueError(
                f"The function {name!r} is no metric that is computed on Spark DataFrames: those "
                "are of raydp_ml.metrics or, by the same names, of sklearn.metrics. The metrics "
                f"are: {sorted(DEFINITIONS)}."
            )
        if options.get("sample_weight") is not None:
            raise TypeError(
                f"The weights of a report are those of all its metrics. Got sample_weight="
                f"{options['sample_weight']!r} for {name}. Pass it to report itself."
            )
        return known, options, 1
    if name in DEFINITIONS:
        return DEFINITIONS[name], options, 1
    if f"{name}_score" in DEFINITIONS and name not in get_scorer_names():
        return DEFINITIONS[f"{name}_score"], options, 1
    if not hasattr(metric, "_score_func") and metric not in get_scorer_names():
        raise ValueError(
            f"There is no metric {name!r}. "
            + name_hint(name, [*DEFINITIONS, *get_scorer_names()]).replace("columns", "metrics")
        )
    return scorer_metric(metric)


def scorer_metric(scorer: Any) -> tuple[Metric, dict[str, Any], int]:
    """Return what one of scikit-learn's scorers computes.

    Parameters
    ----------
    scorer : str or scorer
        For example ``"neg_log_loss"``, or what `sklearn.metrics.make_scorer` returns.

    Returns
    -------
    metric : Metric
        It ``takes`` a class, a number or a score.
    options : dict
    sign : {1, -1}
        What the value is multiplied by.

    Raises
    ------
    ValueError
        Where there is no such scorer, or it is of no metric that is computed on Spark.
    """
    named, scorer = scorer, get_scorer(scorer)
    found = definition_of(scorer._score_func)
    if found is None:
        raise ValueError(
            f"The scorer {named!r} is not computed on Spark DataFrames. The metrics are: "
            f"{sorted(DEFINITIONS)}."
        )
    return found, dict(scorer._kwargs), scorer._sign
