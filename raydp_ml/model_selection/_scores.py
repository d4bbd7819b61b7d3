"""Scores of scikit-learn's scorers on Spark DataFrames."""

from __future__ import annotations

import warnings
from traceback import format_exc
from typing import TYPE_CHECKING, Any

from raydp_ml.exceptions import SessionError
from raydp_ml.metrics._report import report, scorer_metric
from raydp_ml.models.wrapped import last_step

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def no_score(estimator: Any, X: Any, y: Any, **params: Any) -> float:
    """Score nothing: for trials of which the fitted estimator is wanted."""
    return 0.0


def score_of_frame(
    scorer: Any,
    estimator: Any,
    df: DataFrame,
    y: str | None,
    error_score: float | str = "raise",
) -> Any:
    """Score an estimator's predictions on a Spark DataFrame, as a scorer does in memory.

    Parameters
    ----------
    scorer : callable
        Of `sklearn.metrics.check_scoring`: of one metric, or of several by name.
    estimator : fitted estimator
    df : pyspark.sql.DataFrame
    y : str or None
        None takes the role "label".
    error_score : float or "raise"
        The score where there is none of these predictions and labels; a warning says why.

    Returns
    -------
    float or dict of str to float

    Raises
    ------
    TypeError
        For a function of the user's own, which wants rows in memory.
    ValueError
        For a metric that is not computed on Spark, or of other predictions than it is there.
    """
    if scorer is no_score:
        return 0.0
    if type(scorer).__name__ == "_PassthroughScorer":
        return estimator.score(df, y)
    several = getattr(scorer, "_scorers", None)
    chosen = {"score": scorer} if several is None else dict(several)
    last = last_step(estimator)
    for name, one in chosen.items():
        _check_scorer(name, one, hasattr(last, "predict_proba"))
    try:
        found = _computed(chosen, estimator, df, y)
    except SessionError:
        raise
    except Exception:
        if error_score == "raise":
            raise
        if len(chosen) > 1:  # each by itself, to know which of them there are
            return {
                name: score_of_frame(one, estimator, df, y, error_score)
                for name, one in chosen.items()
            }
        warnings.warn(
            "Scoring failed. The score on this train-test partition for these parameters will be "
            f"set to {error_score}. Details: \n{format_exc()}",
            UserWarning,
            stacklevel=2,
        )
        found = dict.fromkeys(chosen, error_score)
    return found["score"] if several is None else {name: found[name] for name in chosen}


def _computed(
    scorers: dict[str, Any], estimator: Any, df: DataFrame, y: str | None
) -> dict[str, Any]:
    """Compute the scores; those of metrics together, from one DataFrame with predictions."""
    own = {name: of for name, of in scorers.items() if hasattr(of, "_score_func")}
    found = {name: estimator.score(df, y) for name in set(scorers) - set(own)}
    if not own:
        return found
    last = last_step(estimator)
    takes = {scorer_metric(scorer)[0].takes for scorer in own.values()}
    names: dict[str, Any] = {"y_true": y}
    if takes & {"class", "number"} or not hasattr(last, "predict_proba"):
        df, names["y_pred"] = estimator.predict(df), last.prediction_col
    if "score" in takes and hasattr(last, "predict_proba"):
        df, names["y_score"] = estimator.predict_proba(df), last.probability_col
    elif "score" in takes:  # of a ranker, or of numbers
        names["y_score"] = last.prediction_col
    return {**found, **report(df, own, **names)}


def _check_scorer(name: str, scorer: Any, has_probabilities: bool) -> None:
    """Raise for what is not computed on Spark, or of other predictions than it is there."""
    if type(scorer).__name__ == "_PassthroughScorer":
        return
    if not hasattr(scorer, "_score_func"):
        raise TypeError(
            "On a Spark DataFrame, scoring is the name of one of scikit-learn's scorers, or a "
            f"scorer made with make_scorer. Got the function {name!r}, which wants rows in memory."
        )
    metric = scorer_metric(scorer)[0]
    asked = scorer._response_method
    methods = {asked} if isinstance(asked, str) else set(asked)
    of_scores = metric.takes == "score"
    if has_probabilities and ("predict" in methods) == of_scores:
        known = "('decision_function', 'predict_proba')" if of_scores else "'predict'"
        raise ValueError(
            f"The scorer {scorer!r} gives {metric.name} what {' or '.join(sorted(methods))} "
            "returns, and on a Spark DataFrame it is computed of "
            f"{'probabilities' if of_scores else 'predictions'} only. Pass "
            f"response_method={known} to make_scorer."
        )
