"""Scores of scikit-learn's scorers on Spark DataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raydp_ml.metrics._report import report, scorer_metric
from raydp_ml.models.wrapped import last_step

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def no_score(estimator: Any, X: Any, y: Any, **params: Any) -> float:
    """Score nothing: for trials of which the fitted estimator is wanted."""
    return 0.0


def score_of_frame(scorer: Any, estimator: Any, df: DataFrame, y: str | None) -> Any:
    """Score an estimator's predictions on a Spark DataFrame, as a scorer does in memory.

    Parameters
    ----------
    scorer : callable
        Of `sklearn.metrics.check_scoring`: of one metric, or of several by name.
    estimator : fitted estimator
    df : pyspark.sql.DataFrame
    y : str or None
        None takes the role "label".

    Returns
    -------
    float or dict of str to float

    Raises
    ------
    TypeError
        For a function of the user's own, which wants rows in memory.
    ValueError
        For a metric that is not computed on Spark.
    """
    if scorer is no_score:
        return 0.0
    if type(scorer).__name__ == "_PassthroughScorer":
        return estimator.score(df, y)
    several = getattr(scorer, "_scorers", None)
    chosen = {"score": scorer} if several is None else dict(several)
    own = {name: of for name, of in chosen.items() if hasattr(of, "_score_func")}
    for name in set(chosen) - set(own):
        if type(chosen[name]).__name__ != "_PassthroughScorer":
            raise TypeError(
                "On a Spark DataFrame, scoring is the name of one of scikit-learn's scorers, or a "
                f"scorer made with make_scorer. Got the function {name!r}, which wants rows in "
                "memory."
            )
    found = {name: estimator.score(df, y) for name in set(chosen) - set(own)}
    if own:
        found.update(_by_report(own, estimator, df, y))
    return found["score"] if several is None else {name: found[name] for name in chosen}


def _by_report(
    scorers: dict[str, Any], estimator: Any, df: DataFrame, y: str | None
) -> dict[str, float]:
    """Compute the scores together, from one DataFrame with predictions."""
    takes = {scorer_metric(scorer)[0].takes for scorer in scorers.values()}
    last = last_step(estimator)
    names: dict[str, Any] = {"y_true": y}
    if takes & {"class", "number"} or not hasattr(last, "predict_proba"):
        df, names["y_pred"] = estimator.predict(df), last.prediction_col
    if "score" in takes and hasattr(last, "predict_proba"):
        df, names["y_score"] = estimator.predict_proba(df), last.probability_col
    elif "score" in takes:  # of a ranker, or of numbers
        names["y_score"] = last.prediction_col
    return report(df, scorers, **names)
