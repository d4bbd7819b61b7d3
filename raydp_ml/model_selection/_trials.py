"""One trial on a worker: fit a candidate on the rows of a split, score it on the others.

Plain arguments come in, plain data goes out. A worker keeps the rows of its last split, what the
transformers of a Pipeline made of them, and XGBoost's binned matrix, for the trials that follow.
"""

from __future__ import annotations

import copy
import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from traceback import format_exc
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
from sklearn.base import clone

# Private: what a score that fails becomes, and in which words, is scikit-learn's.
from sklearn.model_selection._validation import _score
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import has_fit_parameter

from raydp_ml.model_selection._marks import Rows
from raydp_ml.models.in_memory import in_form, labels_of
from raydp_ml.training.gang.tasks import kept
from raydp_ml.training.rows.blocks_io import EveryRow
from raydp_ml.training.rows.kept import Kept, keeping

_MOST_PREFIXES = 2
"""For so many settings of the transformers, a worker keeps what they made."""


@dataclass(frozen=True)
class Job:
    """What the trials of a search share.

    Attributes
    ----------
    estimator : estimator
    scorer : callable
        ``scorer(estimator, X, y, **params)``: a score, or a score by name.
    table : EveryRow
        The rows of the search, in blocks.
    features : tuple of str
    label, weight, group, validation : str or None
        Columns of the rows.
    splits : tuple of (Rows, Rows)
        To train on, to test on.
    form : {"arrow", "pandas", "matrix"}
        What X is: a table, a frame, or the matrix of the one column of vectors.
    score_weighted : bool
    cpus : int
        Threads of a trial.
    error_score : float or "raise"
    """

    estimator: Any
    scorer: Any
    table: EveryRow
    features: tuple[str, ...]
    label: str
    weight: str | None
    group: str | None
    validation: str | None
    splits: tuple[tuple[Rows, Rows], ...]
    form: str
    score_weighted: bool
    cpus: int
    error_score: float | str


@dataclass(frozen=True)
class Sample:
    """The part of a split's rows that a trial takes: those with the first places in an order.

    Attributes
    ----------
    place : str
        The column of the places.
    train : int or float or None
        How many rows to train on, or which share; None for all.
    test : float or None
        Which share to test on.
    """

    place: str
    train: float | None = None
    test: float | None = None


@dataclass(frozen=True)
class Trial:
    """One fit and its score.

    Attributes
    ----------
    params : mapping
        Of the candidate.
    split : int
    sample : Sample or None
    permuted : int or None
        A seed by which the labels are permuted.
    with_train_score, with_estimator : bool
        What is wanted beside the score.
    """

    params: Mapping[str, Any]
    split: int
    sample: Sample | None = None
    permuted: int | None = None
    with_train_score: bool = False
    with_estimator: bool = False

    @property
    def rows(self) -> Hashable:
        """Which rows the trial reads."""
        return self.split, self.sample, self.permuted


@dataclass
class _Part:
    """Some rows: X, y and what is beside them."""

    X: Any
    y: np.ndarray
    weight: np.ndarray | None = None


@dataclass
class _Fold:
    """The rows of one split, and what earlier trials made of them.

    Rows that are marked for validation are those to evaluate on; `fitted` are all rows that a
    Pipeline's ``fit`` gets, and `marked` says which of them are marked.
    """

    key: object
    train: _Part
    test: _Part
    evaluation: _Part | None
    fitted: _Part
    marked: np.ndarray | None
    prefixes: OrderedDict[str, _Prepared] = field(default_factory=OrderedDict)


@dataclass
class _Prepared:
    """The rows as the last step of a Pipeline gets them."""

    steps: list[tuple[str, Any]]
    train: Any
    test: Any
    evaluation: Any
    kept: Kept = field(default_factory=Kept)


def run_trial(job: Job, trial: Trial) -> dict[str, Any]:
    """Fit and score.

    Returns
    -------
    dict
        As scikit-learn's own trials; with "raised", the exception, where ``error_score="raise"``.
    """
    estimator = clone(job.estimator).set_params(**clone(dict(trial.params), safe=False))
    own = estimator.get_params(deep=False)
    asked = {name: value for name, value in own.items() if name in _LIMITS}
    fold = _fold_of(job, trial)
    fitted: _Fitted | None = None
    result: dict[str, Any] = {"fit_error": None, "n_test_samples": len(fold.test.y)}
    begun = time.perf_counter()
    try:
        fitted = _fit(_limited(estimator, job.cpus), job, fold)
    except Exception as error:
        if job.error_score == "raise":
            return {"raised": error}
        result["fit_error"] = format_exc()
    result["fit_time"] = time.perf_counter() - begun
    begun = time.perf_counter()
    try:
        result["test_scores"] = _scored(fitted, job, fold.test, test=True)
        result["score_time"] = 0.0 if fitted is None else time.perf_counter() - begun
        if trial.with_train_score:
            result["train_scores"] = _scored(fitted, job, fold.train, test=False)
    except Exception as error:  # of a score, with error_score="raise"
        return {"raised": error}
    if trial.with_estimator:
        # As it was asked for, not as it was trained here.
        result["estimator"] = None if fitted is None else fitted.whole.set_params(**asked)
    return result


_LIMITS = {"num_workers", "cpus_per_worker", "n_jobs"}


def _limited(estimator: Any, cpus: int) -> Any:
    """Have an estimator and those within it train here, with so many threads."""
    nested = [estimator, *estimator.get_params(deep=True).values()]
    for one in nested:
        if not type(one).__module__.startswith("raydp_ml.") or not hasattr(one, "num_workers"):
            continue
        one.num_workers = 0
        one.cpus_per_worker = cpus
        if getattr(one, "n_jobs", 0) is None:
            one.n_jobs = cpus
    return estimator


# ------------------------------------------------------------------- rows


def _fold_of(job: Job, trial: Trial) -> _Fold:
    held: _Fold | None = kept.get("fold")
    if held is None or held.key != trial.rows:
        held = None
        kept.clear()  # before the next one is made, which takes as much memory
        held = kept["fold"] = _read_fold(job, trial)
    return held


def _read_fold(job: Job, trial: Trial) -> _Fold:
    table = job.table.read()
    split = job.splits[trial.split]
    marks = {rows.mark: table.column(rows.mark).to_numpy() for rows in split}
    held_out = np.zeros(len(table), dtype=bool)
    if job.validation is not None:
        held_out = table.column(job.validation).fill_null(False).to_numpy()
    train, test = (np.flatnonzero(rows.mask(marks) & ~held_out) for rows in split)
    if trial.sample is not None:
        places = table.column(trial.sample.place).to_numpy()
        train = _first(train, places, trial.sample.train)
        test = _first(test, places, trial.sample.test)
    labels = None
    if trial.permuted is not None:
        labels = np.random.RandomState(trial.permuted).permutation(labels_of(table, job.label))
    trained, tested = (_part(table, rows, job, labels) for rows in (train, test))
    if not held_out.any():
        return _Fold(trial.rows, trained, tested, None, trained, None)
    marked = np.flatnonzero(held_out & split[0].mask(marks))
    evaluation = fitted = _part(table, marked, job, labels)
    every = np.union1d(train, marked)
    if isinstance(job.estimator, Pipeline):  # whose transformers learn from all of them
        fitted = _part(table, every, job, labels)
    return _Fold(trial.rows, trained, tested, evaluation, fitted, np.isin(every, marked))


def _first(rows: np.ndarray, places: np.ndarray, size: float | None) -> np.ndarray:
    """Return the rows with the first places, in the order of the rows."""
    if size is None:
        return rows
    count = int(size * len(rows)) if isinstance(size, float) else min(size, len(rows))
    return np.sort(rows[np.argsort(places[rows], kind="stable")[:count]])


def _part(table: pa.Table, rows: np.ndarray, job: Job, labels: np.ndarray | None) -> _Part:
    # One chunk for each column, in which the trials that follow find the same addresses.
    part = table.take(pa.array(rows)).combine_chunks()
    weight = None
    if job.weight is not None:
        weight = part.column(job.weight).cast(pa.float64()).to_numpy()
    y = labels_of(part, job.label) if labels is None else labels[rows]
    columns = [*job.features, *([job.group] if job.group else [])]
    return _Part(in_form(part.select(columns), job.form), y, weight)


# ------------------------------------------------------------------- fit and score


@dataclass
class _Fitted:
    """A fitted candidate: as a whole, and its last step with the rows that it gets."""

    whole: Any
    last: Any
    prepared: _Prepared


def _fit(estimator: Any, job: Job, fold: _Fold) -> _Fitted:
    is_pipeline = isinstance(estimator, Pipeline)
    last = estimator.steps[-1][1] if is_pipeline else estimator
    steps = estimator.steps[:-1] if is_pipeline else []
    prepared = _prepared(steps, fold)
    params = _fit_params(job, fold, prepared)
    with keeping(prepared.kept):
        last.fit(prepared.train, fold.train.y, **params)
    whole = estimator
    if is_pipeline:
        whole = copy.copy(estimator)
        whole.steps = [*prepared.steps, (estimator.steps[-1][0], last)]
    return _Fitted(whole, last, prepared)


def _fit_params(job: Job, fold: _Fold, prepared: _Prepared) -> dict[str, Any]:
    params: dict[str, Any] = {}
    if fold.train.weight is not None:
        params["sample_weight"] = fold.train.weight
    if job.group is not None:
        params["group"] = job.group
    if fold.evaluation is not None:
        params["eval_set"] = [(prepared.evaluation, fold.evaluation.y)]
        if fold.evaluation.weight is not None:
            params["sample_weight_eval_set"] = [fold.evaluation.weight]
    return params


def _prepared(steps: list[tuple[str, Any]], fold: _Fold) -> _Prepared:
    """Fit the transformers before the last step, once for all trials."""
    key = joblib.hash(steps)
    if key not in fold.prefixes:
        while len(fold.prefixes) >= _MOST_PREFIXES:
            fold.prefixes.popitem(last=False)
        fold.prefixes[key] = _transformed(steps, fold)
    fold.prefixes.move_to_end(key)
    return fold.prefixes[key]


def _transformed(steps: list[tuple[str, Any]], fold: _Fold) -> _Prepared:
    if not steps:
        return _Prepared([], fold.train.X, fold.test.X, fold.evaluation and fold.evaluation.X)
    train, test = fold.fitted.X, fold.test.X
    fitted = []
    for name, step in steps:
        if step is None or step == "passthrough":
            fitted.append((name, step))
            continue
        params = {}
        if fold.fitted.weight is not None and has_fit_parameter(step, "sample_weight"):
            params["sample_weight"] = fold.fitted.weight
        # A transformer with copy=False would change the rows of the trials that follow.
        given = copy.deepcopy(train) if train is fold.fitted.X else train
        train = step.fit_transform(given, fold.fitted.y, **params)
        test = step.transform(copy.deepcopy(test) if test is fold.test.X else test)
        fitted.append((name, step))
    if fold.marked is None:
        return _Prepared(fitted, train, test, None)
    of_train, of_evaluation = (
        _safe_indexing(train, np.flatnonzero(rows)) for rows in (~fold.marked, fold.marked)
    )
    return _Prepared(fitted, of_train, test, of_evaluation)


def _scored(fitted: _Fitted | None, job: Job, part: _Part, test: bool) -> Any:
    if fitted is None:
        return failed_scores(job.scorer, job.error_score)
    params: dict[str, Any] = {}
    if job.score_weighted and part.weight is not None:
        params["sample_weight"] = part.weight
    if job.group is not None:
        params["group"] = job.group
    model, X = fitted.last, fitted.prepared.test if test else fitted.prepared.train
    if not test and fitted.whole is not fitted.last:
        # What fit_transform gives may be other than what transform does.
        model, X = fitted.whole, part.X
    return _score(model, X, part.y, job.scorer, params, job.error_score)


def failed_scores(scorer: Any, error_score: float | str) -> Any:
    """Return what stands for the scores of a fit that failed."""
    names = getattr(scorer, "_scorers", None)
    return error_score if names is None else dict.fromkeys(names, error_score)
