"""Cross-validation of one estimator, by scikit-learn's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import model_selection
from sklearn.metrics import check_scoring

# Private: scikit-learn's own words for fits that failed, and its counting of rows to train on.
from sklearn.model_selection._validation import (
    _insert_error_scores,
    _translate_train_sizes,
    _warn_or_raise_about_fit_failures,
)
from sklearn.utils import check_random_state

from raydp_ml.base import check_output_column, is_spark
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.blocks_to_spark import blocks_as_frame
from raydp_ml.exchange.columns import quoted
from raydp_ml.exchange.jvm import is_deterministic
from raydp_ml.exchange.sql_text import aggregate, select
from raydp_ml.model_selection._class_places import aligned
from raydp_ml.model_selection._marks import without_validation
from raydp_ml.model_selection._scores import no_score
from raydp_ml.model_selection._splitters import seed_of
from raydp_ml.model_selection._study import PLACE, Study, fits_bar, given_of
from raydp_ml.model_selection._trials import Sample, Trial
from raydp_ml.models.wrapped import last_step, writing_to

if TYPE_CHECKING:
    from numpy.random import RandomState
    from numpy.typing import ArrayLike

    from raydp_ml.exchange.data_kinds import Data, Values
    from raydp_ml.training.gang.tasks import Result

    Scoring = str | Callable[..., Any] | Sequence[str] | Mapping[str, Any] | None

__all__ = [
    "cross_val_predict",
    "cross_val_score",
    "cross_validate",
    "learning_curve",
    "permutation_test_score",
    "validation_curve",
]


def cross_validate(
    estimator: Any,
    X: Data,
    y: Values | None = None,
    *,
    groups: Values | None = None,
    scoring: Scoring = None,
    cv: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
    params: dict[str, Any] | None = None,
    return_train_score: bool = False,
    return_estimator: bool = False,
    error_score: float | str = np.nan,
    **memory: Any,
) -> dict[str, Any]:
    """Fit and score on each split.

    Parameters
    ----------
    estimator : estimator
    X : Spark DataFrame, Blocks, or as in `sklearn.model_selection.cross_validate`
        A Spark DataFrame goes to Ray's object store once, for all splits.
    y, groups : str or array-like, default=None
        Names of columns for a Spark DataFrame; None takes the roles "label" and "group".
    scoring : str, callable, list, tuple or dict, default=None
    cv : int or splitter, default=None
    n_jobs : int, default=None
        Fits at a time; None for as many as the cluster has room for.
    verbose : int, default=0
    params : dict, default=None
        For a Spark DataFrame the columns ``sample_weight`` and ``group``, for ``fit``. The weights
        of the role "sample_weight" go to the scores too.
    return_train_score, return_estimator : bool, default=False
    error_score : float or "raise", default=nan
    **memory
        Further arguments of scikit-learn's function, for data in memory only.

    Returns
    -------
    dict of str to ndarray of shape (n_splits,)
        scikit-learn's keys: "test_score" (or "test_<name>"), "fit_time", "score_time", ...

    Raises
    ------
    SchemaError
        For columns that do not exist or hold missing values.
    ValueError
        As in scikit-learn, for example where all fits fail.
    """
    X = blocks_as_frame(X)
    if not is_spark(X):
        return model_selection.cross_validate(
            estimator,
            X,
            y,
            groups=groups,
            scoring=scoring,
            cv=cv,
            n_jobs=n_jobs,
            verbose=verbose,
            params=params,
            return_train_score=return_train_score,
            return_estimator=return_estimator,
            error_score=error_score,
            **memory,
        )
    _refuse(memory)
    with _study(estimator, X, y, groups, params, scoring, cv, n_jobs, error_score) as study:
        trials = [
            Trial({}, split, with_train_score=return_train_score, with_estimator=return_estimator)
            for split in range(study.n_splits)
        ]
        results = _run(study, trials)
    found: dict[str, Any] = {key: _column(results, key) for key in ("fit_time", "score_time")}
    if return_estimator:
        found["estimator"] = [result["estimator"] for result in results]
    for name, values in _scores(results, "test_scores").items():
        found[f"test_{name}"] = values
        if return_train_score:
            found[f"train_{name}"] = _scores(results, "train_scores")[name]
    return found


def cross_val_score(
    estimator: Any,
    X: Data,
    y: Values | None = None,
    *,
    groups: Values | None = None,
    scoring: str | Callable[..., Any] | None = None,
    cv: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
    params: dict[str, Any] | None = None,
    error_score: float | str = np.nan,
) -> np.ndarray:
    """Score on each split.

    Parameters
    ----------
    estimator, X, y, groups, cv, n_jobs, verbose, params, error_score
        As in `cross_validate`.
    scoring : str or callable, default=None
        One metric.

    Returns
    -------
    ndarray of shape (n_splits,)

    Raises
    ------
    SchemaError, ValueError
        As `cross_validate`.
    """
    scorer = check_scoring(estimator, scoring)
    found = cross_validate(
        estimator,
        X,
        y,
        groups=groups,
        scoring={"score": scorer},
        cv=cv,
        n_jobs=n_jobs,
        verbose=verbose,
        params=params,
        error_score=error_score,
    )
    scores: np.ndarray = found["test_score"]
    return scores


def cross_val_predict(
    estimator: Any,
    X: Data,
    y: Values | None = None,
    *,
    groups: Values | None = None,
    cv: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
    params: dict[str, Any] | None = None,
    method: str = "predict",
    **memory: Any,
) -> Any:
    """Predict each row by the model that was not trained on it.

    Parameters
    ----------
    estimator, X, y, groups, cv, n_jobs, verbose, params
        As in `cross_validate`.
    method : {"predict", "predict_proba"}, default="predict"
    **memory
        As in `cross_validate`.

    Returns
    -------
    pyspark.sql.DataFrame or ndarray
        For Spark, lazily: the same DataFrame plus the column that the estimator's method adds.
        Probabilities are those of all classes, in their order, as in scikit-learn.

    Raises
    ------
    SchemaError
        As `cross_validate`, and for a DataFrame whose rows are others at each look.
    ValueError
        Where the splits do not test each row once.
    """
    X = blocks_as_frame(X)
    if not is_spark(X):
        return model_selection.cross_val_predict(
            estimator,
            X,
            y,
            groups=groups,
            cv=cv,
            n_jobs=n_jobs,
            verbose=verbose,
            params=params,
            method=method,
            **memory,
        )
    _refuse(memory)
    parameters = {"predict": "prediction_col", "predict_proba": "probability_col"}
    if method not in parameters:
        raise ValueError(
            f"On a Spark DataFrame, method is one of {list(parameters)}. Got {method!r}."
        )
    if not is_deterministic(X):
        raise SchemaError(
            "The rows of this DataFrame are others each time they are computed (rand(), for "
            "example), and the models would predict rows that they were trained on. Cache it "
            "(df.cache()) or write it first."
        )
    with _study(estimator, X, y, groups, params, no_score, cv, n_jobs, "raise") as study:
        marked = study.marked
        if not marked.partition:
            raise ValueError("cross_val_predict only works for partitions")
        trials = [Trial({}, split, with_estimator=True) for split in range(study.n_splits)]
        models = [result["estimator"] for result in _run(study, trials)]
    return _out_of_fold(models, marked, X, method, parameters[method])


def _out_of_fold(models: list[Any], marked: Any, X: Any, method: str, parameter: str) -> Any:
    """Add the predictions of all models, and choose by the fold: Spark computes the chosen one."""
    name = getattr(last_step(models[0]), parameter)
    check_output_column(X, name, parameter)
    frame, cases = marked.frame, []
    classes: list[Any] = []
    if method == "predict_proba":
        classes = sorted({label for model in models for label in model.classes_.tolist()})
    for place, (model, (_, test)) in enumerate(zip(models, marked.splits, strict=True)):
        helper = f"__raydp_ml_prediction_{place}"
        frame = getattr(writing_to(model, parameter, helper), method)(frame)
        made = quoted(helper)
        if classes:
            places = [classes.index(label) for label in model.classes_.tolist()]
            made = aligned(made, places, len(classes))
        cases.append(f"WHEN {quoted(test.mark)} = {test.value} THEN {made}")
    columns = [quoted(column) for column in X.columns]
    return select(frame, *columns, f"CASE {' '.join(cases)} END AS {quoted(name)}")


def learning_curve(
    estimator: Any,
    X: Data,
    y: Values | None = None,
    *,
    groups: Values | None = None,
    train_sizes: ArrayLike = (0.1, 0.325, 0.55, 0.775, 1.0),
    cv: Any = None,
    scoring: str | Callable[..., Any] | None = None,
    n_jobs: int | None = None,
    random_state: int | RandomState | None = None,
    error_score: float | str = np.nan,
    return_times: bool = False,
    params: dict[str, Any] | None = None,
    **memory: Any,
) -> tuple[np.ndarray, ...]:
    """Score models of more and more rows.

    Parameters
    ----------
    estimator, X, y, groups, cv, n_jobs, params, error_score
        As in `cross_validate`.
    train_sizes : array-like, default=(0.1, 0.325, 0.55, 0.775, 1.0)
        Shares of the rows to train on, or their numbers. Which rows a part of a Spark DataFrame
        holds depends on their values and on `random_state` alone; larger parts hold smaller ones.
    scoring : str or callable, default=None
    random_state : int, RandomState instance or None, default=None
    return_times : bool, default=False
    **memory
        As in `cross_validate`.

    Returns
    -------
    train_sizes_abs : ndarray of int, shape (n_sizes,)
    train_scores, test_scores : ndarray of shape (n_sizes, n_splits)
    fit_times, score_times : ndarray of shape (n_sizes, n_splits)
        With `return_times`.

    Raises
    ------
    SchemaError, ValueError
        As `cross_validate`.
    """
    X = blocks_as_frame(X)
    if not is_spark(X):
        return model_selection.learning_curve(
            estimator,
            X,
            y,
            groups=groups,
            train_sizes=np.asarray(train_sizes),
            cv=cv,
            scoring=scoring,
            n_jobs=n_jobs,
            random_state=random_state,
            error_score=error_score,
            return_times=return_times,
            params=params,
            **memory,
        )
    _refuse(memory, {"shuffle"})
    scorer = check_scoring(estimator, scoring)
    seed = 0 if random_state is None else seed_of(random_state)
    common = (estimator, X, y, groups, params, scorer, cv, n_jobs, error_score)
    with _study(*common, sampled=seed) as study:
        first = study.marked.splits[0][0].of_frame(study.marked.frame)
        first = without_validation(first, study.validation)
        most = aggregate(first, [], {"n": "count(1)"}).collect()[0]["n"]
        sizes = _translate_train_sizes(np.asarray(train_sizes), most)
        trials = [
            Trial({}, split, Sample(PLACE, int(size)), with_train_score=True)
            for size in sizes
            for split in range(study.n_splits)
        ]
        results = _run(study, trials)
    shape = (len(sizes), -1)
    keys = ["train_scores", "test_scores", *(["fit_time", "score_time"] if return_times else [])]
    return (sizes, *(_column(results, key).reshape(shape) for key in keys))


def validation_curve(
    estimator: Any,
    X: Data,
    y: Values | None = None,
    *,
    param_name: str,
    param_range: Sequence[Any] | np.ndarray,
    groups: Values | None = None,
    cv: Any = None,
    scoring: str | Callable[..., Any] | None = None,
    n_jobs: int | None = None,
    error_score: float | str = np.nan,
    params: dict[str, Any] | None = None,
    **memory: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Score models of several values of a parameter.

    Parameters
    ----------
    estimator, X, y, groups, cv, n_jobs, params, error_score
        As in `cross_validate`.
    param_name : str
    param_range : sequence
    scoring : str or callable, default=None
    **memory
        As in `cross_validate`.

    Returns
    -------
    train_scores, test_scores : ndarray of shape (n_values, n_splits)

    Raises
    ------
    SchemaError, ValueError
        As `cross_validate`.
    """
    X = blocks_as_frame(X)
    if not is_spark(X):
        return model_selection.validation_curve(
            estimator,
            X,
            y,
            param_name=param_name,
            param_range=param_range,
            groups=groups,
            cv=cv,
            scoring=scoring,
            n_jobs=n_jobs,
            error_score=error_score,
            params=params,
            **memory,
        )
    _refuse(memory)
    scorer = check_scoring(estimator, scoring)
    with _study(estimator, X, y, groups, params, scorer, cv, n_jobs, error_score) as study:
        trials = [
            Trial({param_name: value}, split, with_train_score=True)
            for value in param_range
            for split in range(study.n_splits)
        ]
        results = _run(study, trials)
    shape = (len(param_range), -1)
    train, test = (_column(results, key).reshape(shape) for key in ("train_scores", "test_scores"))
    return train, test


def permutation_test_score(
    estimator: Any,
    X: Data,
    y: Values | None = None,
    *,
    groups: Values | None = None,
    cv: Any = None,
    n_permutations: int = 100,
    n_jobs: int | None = None,
    random_state: int | RandomState | None = 0,
    scoring: str | Callable[..., Any] | None = None,
    params: dict[str, Any] | None = None,
    **memory: Any,
) -> tuple[float, np.ndarray, float]:
    """Compare a score with those of models of permuted labels.

    Parameters
    ----------
    estimator, X, y, cv, n_jobs, params
        As in `cross_validate`. On a Spark DataFrame the estimator trains on one worker.
    groups : array-like, default=None
        For data in memory only, where labels are permuted within groups.
    n_permutations : int, default=100
    random_state : int, RandomState instance or None, default=0
    scoring : str or callable, default=None
    **memory
        As in `cross_validate`.

    Returns
    -------
    score : float
    permutation_scores : ndarray of shape (n_permutations,)
    pvalue : float
        ``(C + 1) / (n_permutations + 1)``, where C is the number of permutations that score as
        well or better.

    Raises
    ------
    SchemaError, ValueError
        As `cross_validate`.
    """
    X = blocks_as_frame(X)
    if not is_spark(X):
        return model_selection.permutation_test_score(
            estimator,
            X,
            y,
            groups=groups,
            cv=cv,
            n_permutations=n_permutations,
            n_jobs=n_jobs,
            random_state=random_state,
            scoring=scoring,
            params=params,
            **memory,
        )
    _refuse(memory)
    if groups is not None:
        raise TypeError(
            "On a Spark DataFrame, labels are permuted over all rows: groups=None. A splitter of "
            "groups finds them by the role: raydp_ml.set_roles(df, group=...)."
        )
    scorer = check_scoring(estimator, scoring)
    seeds = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=n_permutations)
    with _study(estimator, X, y, None, params, scorer, cv, n_jobs, "raise") as study:
        trials = [
            Trial({}, split, permuted=seed)
            for seed in (None, *seeds.tolist())
            for split in range(study.n_splits)
        ]
        results = _run(study, trials)
    means = _column(results, "test_scores").reshape(n_permutations + 1, -1).mean(axis=1)
    score, permuted = float(means[0]), means[1:]
    return score, permuted, float((np.sum(permuted >= score) + 1.0) / (n_permutations + 1))


# ------------------------------------------------------------------- what they share


def _study(
    estimator: Any,
    df: Any,
    y: object,
    groups: object,
    params: dict[str, Any] | None,
    scoring: Any,
    cv: Any,
    n_jobs: int | None,
    error_score: float | str,
    sampled: int | None = None,
) -> Study:
    scorer = scoring
    if not callable(scorer):
        scorer = check_scoring(estimator, scoring, raise_exc=error_score == "raise")
    given = given_of(estimator, df, y, {**(params or {}), "groups": groups})
    accepts = getattr(scorer, "_accept_sample_weight", lambda: False)
    return Study(
        estimator,
        given,
        cv,
        scorer,
        n_jobs=n_jobs,
        error_score=error_score,
        # Weights that are named go to fit only, as in scikit-learn.
        score_weighted=given.weight is not None and given.weight_param is None and accepts(),
        sampled=sampled,
        bar=fits_bar("cross-validation"),
    )


def _refuse(memory: Mapping[str, Any], harmless: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    names = sorted(set(memory) - harmless - {"pre_dispatch", "verbose"})
    if names:
        raise TypeError(
            f"The arguments {names} are for data in memory, and X is a Spark DataFrame. Leave them "
            "out."
        )


def _run(study: Study, trials: Sequence[Trial]) -> list[Result]:
    results = study.run(trials)
    _warn_or_raise_about_fit_failures(results, study.error_score)
    _insert_error_scores(results, study.error_score)
    return results


def _column(results: Sequence[Result], key: str) -> np.ndarray:
    return np.array([result[key] for result in results])


def _scores(results: Sequence[Result], key: str) -> dict[str, np.ndarray]:
    if not isinstance(results[0][key], dict):
        return {"score": _column(results, key)}
    return {name: np.array([result[key][name] for result in results]) for name in results[0][key]}
