"""One trial on Spark DataFrames: for candidates over several workers, or that know only them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from traceback import format_exc
from typing import TYPE_CHECKING, Any, cast

from raydp_ml.exceptions import SessionError
from raydp_ml.exchange.columns import from_spark_schema, quoted
from raydp_ml.exchange.sql_text import aggregate, select, where
from raydp_ml.model_selection._marks import Marked, without_validation
from raydp_ml.model_selection._scores import score_of_frame
from raydp_ml.model_selection._trials import Sample, Trial, failed_scores
from raydp_ml.roles import set_roles
from raydp_ml.spark_jobs.row_order import count_places, values_at
from raydp_ml.spark_jobs.scores import named_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def trial_in_spark(
    estimator: Any,
    rows: DataFrame,
    trial: Trial,
    columns: Sequence[str],
    marked: Marked,
    scorer: Any,
    error_score: float | str,
    score_weighted: bool,
) -> dict[str, Any]:
    """Fit and score on Spark DataFrames; the result is that of `run_trial`.

    Parameters
    ----------
    estimator : estimator
        The candidate.
    rows : pyspark.sql.DataFrame
        With roles and marks.
    trial : Trial
    columns : sequence of str
        Those that the candidate sees.
    marked : Marked
    scorer : callable
    error_score : float or "raise"
    score_weighted : bool
        Whether scores are of the rows' weights too, and not the fits alone.
    """
    if trial.permuted is not None:
        raise TypeError(
            "Labels are permuted on workers that hold all rows. Take an estimator of raydp_ml with "
            "num_workers=1 or None, and transformers of raydp_ml or scikit-learn before it."
        )
    train, test = (select(part, *map(quoted, columns)) for part in _parts(rows, trial, marked))
    fitted: Any = None
    result: dict[str, Any] = {"fit_error": None}
    begun = time.perf_counter()
    try:
        fitted = estimator.fit(train)
    except SessionError:  # no fault of the candidate
        raise
    except Exception as error:
        if error_score == "raise":
            return {"raised": error}
        result["fit_error"] = format_exc()
    result["fit_time"] = time.perf_counter() - begun
    begun = time.perf_counter()
    of_scores = (lambda part: part) if score_weighted else _unweighted
    result["test_scores"] = _scored(fitted, of_scores(test), scorer, error_score)
    result["score_time"] = 0.0 if fitted is None else time.perf_counter() - begun
    result["n_test_samples"] = aggregate(test, [], {"n": "count(1)"}).collect()[0]["n"]
    if trial.with_train_score:
        trained = without_validation(train, named_column(rows, None, "validation"))
        result["train_scores"] = _scored(fitted, of_scores(trained), scorer, error_score)
    if trial.with_estimator:
        result["estimator"] = fitted
    return result


def _unweighted(df: DataFrame) -> DataFrame:
    """Have the weights be a column that nothing reads."""
    columns = from_spark_schema(df.schema)
    unread = [column.name for column in columns if column.role in {"ignore", "sample_weight"}]
    return cast("DataFrame", set_roles(df, ignore=unread))


def _parts(rows: DataFrame, trial: Trial, marked: Marked) -> tuple[DataFrame, DataFrame]:
    train, test = (part.of_frame(rows) for part in marked.splits[trial.split])
    marks = named_column(rows, None, "validation")
    test = without_validation(test, marks)
    if trial.sample is not None:
        # Rows to evaluate on are no part of those to train on, and all of them are taken.
        some = _first(without_validation(train, marks), trial.sample, trial.sample.train)
        train = some if marks is None else some.unionAll(where(train, quoted(marks)))
        test = _first(test, trial.sample, trial.sample.test)
    return train, test


def _first(rows: DataFrame, sample: Sample, size: float | None) -> DataFrame:
    if size is None:
        return rows
    place = quoted(sample.place)
    counts, _ = count_places(rows, place)
    held = int(sum(buckets.sum() for buckets in counts.values()))
    count = int(size * held) if isinstance(size, float) else min(size, held)
    ((end,),) = values_at(rows, place, counts, {None: [count]}, None).values()
    return where(rows, f"{place} < {end}L")


def _scored(fitted: Any, rows: DataFrame, scorer: Any, error_score: float | str) -> Any:
    if fitted is None:
        return failed_scores(scorer, error_score)
    return score_of_frame(scorer, fitted, rows, None, error_score)
