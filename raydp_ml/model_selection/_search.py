"""scikit-learn's searches, which search on a Spark DataFrame as well."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn import model_selection
from sklearn.base import _fit_context, clone, is_classifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics._scorer import _MultimetricScorer

# Private: scikit-learn's own words for fits that failed.
from sklearn.model_selection._validation import (
    _insert_error_scores,
    _warn_or_raise_about_fit_failures,
)
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import is_spark, require_column_name
from raydp_ml.documentation import Documented
from raydp_ml.events import Stopwatch
from raydp_ml.exchange.blocks_to_spark import blocks_as_frame
from raydp_ml.model_selection._scores import score_of_frame
from raydp_ml.model_selection._splitters import seed_of
from raydp_ml.model_selection._study import PLACE, Study, fits_bar, given_of
from raydp_ml.model_selection._trials import Sample, Trial
from raydp_ml.models.wrapped import require_ours

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data, Values
    from raydp_ml.training.gang.tasks import Result

logger = logging.getLogger(__name__)

__all__ = [
    "GridSearchCV",
    "HalvingGridSearchCV",
    "HalvingRandomSearchCV",
    "RandomizedSearchCV",
]


class SparkSearch(Documented):
    """What the searches share: ``fit`` and ``score`` on a Spark DataFrame.

    The rows are put into Ray's object store once, and every trial reads them there: as many trials
    at a time as there is room for, each on one worker (or, for an estimator with ``num_workers`` of
    two or more and for steps that only Spark can fit, one after the other over all of them).
    """

    def fit(self, X: Data, y: Values | None = None, **params: Any) -> Self:
        """Search, then fit the best candidate on all rows.

        Parameters
        ----------
        X : Spark DataFrame, Blocks, or as in scikit-learn
            Blocks are read through the active Spark session.
        y : str or array-like of shape (n_samples,), default=None
            The label's column for a Spark DataFrame; None takes the role "label".
        **params
            For a Spark DataFrame names of columns: ``sample_weight``, ``group`` (for a ranker) and
            ``groups`` (for the splitter). Weights go to the fits, and to the scores that take
            them, as in scikit-learn except those for a Pipeline's step
            (``model__sample_weight``). Rows that the role "validation" marks are in no fold: each
            trial stops early on them.

        Returns
        -------
        search
            Itself, fitted.

        Raises
        ------
        SchemaError
            For columns that do not exist or hold missing values.
        TypeError
            If the best candidate is to be fitted, and the estimator knows data in memory only.
        ValueError
            As scikit-learn's own search, for example where all fits fail.
        ResourceError
            Where a trial has no room in the cluster.
        KeyboardInterrupt
            After Ctrl-C, with nothing left running. `cv_results_` then holds the candidates that
            were finished.
        """
        X = blocks_as_frame(X)
        if not is_spark(X):
            super().fit(X, y, **params)  # type: ignore[misc]
            return self
        return self._fit_frame(X, y, params)

    # Its callbacks are torn down after it.
    @_fit_context(prefer_skip_nested_validation=False)
    def _fit_frame(self, df: DataFrame, y: Values | None, params: dict[str, Any]) -> Self:
        _SparkFit(self, df, y, params).run()
        return self

    def score(self, X: Data, y: Values | None = None, **params: Any) -> float:
        """Return the score of the best estimator, by the metric that chose it.

        Parameters
        ----------
        X : Spark DataFrame, or as in scikit-learn
        y : str or array-like, default=None
        **params
            As in scikit-learn; none with a Spark DataFrame, whose weights are those of the role.

        Returns
        -------
        float

        Raises
        ------
        TypeError
            For `params` with a Spark DataFrame.
        sklearn.exceptions.NotFittedError
            Before ``fit``, or with ``refit=False``.
        """
        X = blocks_as_frame(X)
        if not is_spark(X):
            return float(super().score(X, y, **params))  # type: ignore[misc]
        if params:
            raise TypeError(
                f"On a Spark DataFrame, score takes X and y. Got also {sorted(params)}. Weights "
                "are those of the role: raydp_ml.set_roles(df, sample_weight='...')."
            )
        check_is_fitted(self)
        scorer: Any = self.scorer_  # type: ignore[attr-defined]
        if isinstance(scorer, dict):
            scorer = scorer[self.refit]  # type: ignore[attr-defined]
        label = require_column_name(y, "y", X.columns)
        best: Any = self.best_estimator_  # type: ignore[attr-defined]
        return float(score_of_frame(scorer, best, X, label))


class _SparkFit:
    """One ``fit`` of a search on a Spark DataFrame."""

    def __init__(self, search: Any, X: Any, y: object, params: dict[str, Any]) -> None:
        self.search = search
        self.scorers, self.refit_metric = search._get_scorers()
        self.given = given_of(search.estimator, X, y, params)
        self.about = {"estimator": search, "X": X, "y": y, "metadata": None}
        self.candidates: list[Mapping[str, Any]] = []
        self.out: list[Result] = []
        self.more: defaultdict[str, list[Any]] = defaultdict(list)
        self.results: dict[str, Any] = {}
        self._running: tuple[list[Mapping[str, Any]], dict[int, Result]] = ([], {})
        self._contexts: list[Any] = []
        # Halving takes part of the rows, by an order of its own.
        resource = getattr(search, "resource", None)
        self.sampled = None
        if resource == "n_samples":
            self.sampled = 0 if search.random_state is None else seed_of(search.random_state)

    def run(self) -> None:
        """Search and refit."""
        watch = Stopwatch()
        search = self.search
        if search.refit:
            require_ours(search.estimator, type(search).__name__, "estimator")
        context = search._init_callback_context(max_subtasks=1 + (search.refit is not False))
        context.call_on_fit_task_begin(**self.about)
        # As in scikit-learn, scores have no weights that are for the last step of a Pipeline.
        weighted = (
            self.given.weight is not None
            and self.given.weight_param in {None, "sample_weight"}
            and search._check_scorers_accept_sample_weight()
        )
        study = Study(
            search.estimator,
            self.given,
            search.cv,
            self.scorers,
            n_jobs=search.n_jobs,
            error_score=search.error_score,
            score_weighted=weighted,
            sampled=self.sampled,
            bar=fits_bar(type(search).__name__, getattr(search, "_skl_callbacks", ())),
        )
        with study:
            self.study = study
            search.n_splits_ = study.n_splits
            # Optuna's candidates come round by round.
            study.bar.expect(getattr(search, "n_trials", 0) * study.n_splits)
            self._prepare_halving()
            try:
                search._run_search(self.evaluate, callback_ctx=context)
            except KeyboardInterrupt:
                self._keep_finished()
                raise
            self._choose()
            if search.refit:
                study.close_trials()
                self._refit(context)
        if hasattr(search, "_checked_cv_orig"):  # of halving, which is over
            del search._checked_cv_orig
        self._set_scorer()
        search.cv_results_ = self.results
        context.call_on_fit_task_end(**self.about)
        watch.tell(
            logger,
            "search",
            estimator=type(search).__name__,
            of=type(search.estimator).__name__,
            rows=study.marked.rows,
            candidates=len(self.candidates),
            folds=search.n_splits_,
            failed=sum(result["fit_error"] is not None for result in self.out),
        )

    def evaluate(
        self,
        candidate_params: Iterable[Mapping[str, Any]],
        cv: Any = None,
        more_results: Mapping[str, list[Any]] | None = None,
        callback_ctx: Any = None,
    ) -> dict[str, Any]:
        """Evaluate candidates on each split; scikit-learn's searches call it."""
        search, n_splits = self.search, self.search.n_splits_
        candidates = list(candidate_params)
        sample = None
        if self.sampled is not None and hasattr(cv, "fraction"):
            sample = Sample(PLACE, float(cv.fraction), float(cv.fraction))
        trials = [
            Trial(params, split, sample, with_train_score=search.return_train_score)
            for params in candidates
            for split in range(n_splits)
        ]
        if not trials:
            raise ValueError(
                "No fits were performed. Was the CV iterator empty? Were there no candidates?"
            )
        if search.verbose > 0:
            print(
                f"Fitting {n_splits} folds for each of {len(candidates)} candidates, totalling "
                f"{len(trials)} fits"
            )
        self._contexts = [
            callback_ctx.subcontext(task_name="candidate-split-evaluation", task_id=number)
            for number in range(len(trials))
        ]
        self._running = (candidates, {})
        results = self.study.run(trials, self._on_end)
        _warn_or_raise_about_fit_failures(results, search.error_score)
        if callable(search.scoring):
            _insert_error_scores(results, search.error_score)
        self.candidates += candidates
        self.out += results
        for key, values in (more_results or {}).items():
            self.more[key].extend(values)
        self.results = search._format_results(self.candidates, n_splits, self.out, self.more)
        return self.results

    def _on_end(self, number: int, result: Result) -> None:
        self._running[1][number] = result
        context = self._contexts[number]
        context.call_on_fit_task_begin(**self.about)
        context.call_on_fit_task_end(**self.about)

    def _keep_finished(self) -> None:
        """Set the results of the candidates that were finished before Ctrl-C."""
        candidates, done = self._running
        n_splits = self.search.n_splits_
        for place, params in enumerate(candidates):
            numbers = range(place * n_splits, (place + 1) * n_splits)
            if all(number in done for number in numbers):
                self.candidates.append(params)
                self.out += [done[number] for number in numbers]
        if self.out:
            self.search.cv_results_ = self.search._format_results(
                self.candidates, n_splits, self.out
            )

    def _prepare_halving(self) -> None:
        search, rows = self.search, self.study.marked.rows
        if not hasattr(search, "factor"):
            return
        # All that scikit-learn asks of X and y here is their number and the classes.
        search._n_samples_orig = rows
        X = np.empty((rows, 0))
        y = np.asarray(self.study.classes()) if is_classifier(search.estimator) else None
        search._checked_cv_orig = _Counted(self.study)
        search._check_input_parameters(X=X, y=y, split_params={})

    def _choose(self) -> None:
        search, results = self.search, self.results
        first = self.out[0]["test_scores"]
        search.multimetric_ = isinstance(first, dict)
        metric = self.refit_metric
        if callable(search.scoring) and search.multimetric_:
            search._check_refit_for_multimetric(first)
            metric = search.refit
        if not (search.refit or not search.multimetric_):
            return
        search.best_index_ = search._select_best_index(search.refit, metric, results)
        if hasattr(search, "factor"):
            search.best_score_ = results["mean_test_score"][search.best_index_]
        elif not callable(search.refit):
            search.best_score_ = results[f"mean_test_{metric}"][search.best_index_]
        search.best_params_ = results["params"][search.best_index_]

    def _refit(self, context: Any) -> None:
        search = self.search
        best = clone(search.estimator).set_params(**clone(search.best_params_, safe=False))
        subcontext = context.subcontext(task_name="refit-with-best-params")
        with subcontext.propagate_callback_context(best):
            subcontext.call_on_fit_task_begin(**self.about)
            begun = time.time()
            search.best_estimator_ = self.study.refitted(best)
            search.refit_time_ = time.time() - begun
        if hasattr(best, "feature_names_in_"):
            search.feature_names_in_ = best.feature_names_in_
        subcontext.call_on_fit_task_end(**self.about)

    def _set_scorer(self) -> None:
        several = isinstance(self.scorers, _MultimetricScorer)
        self.search.scorer_ = self.scorers._scorers if several else self.scorers


class _Counted:
    """As much of a splitter as scikit-learn's halving asks for."""

    def __init__(self, study: Study) -> None:
        self.random_state = 0  # the folds are settled: the same at each look
        self._count = study.n_splits

    def get_n_splits(self, *_: object, **__: object) -> int:
        """Return the number of splits."""
        return self._count


class GridSearchCV(SparkSearch, model_selection.GridSearchCV):
    """Search over all combinations of parameter values.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.model_selection.GridSearchCV`. On a Spark DataFrame ``n_jobs`` is the number of fits
    at a time (None: as many as the cluster has room for), and ``cv`` a number of folds or one of
    raydp_ml.model_selection's splitters.

    Examples
    --------
    >>> from raydp_ml.model_selection import GridSearchCV
    >>> from raydp_ml.xgboost import XGBClassifier
    >>> search = GridSearchCV(XGBClassifier(), {"max_depth": [3, 6]}, scoring="roc_auc")
    >>> search.fit(df, "late").best_params_  # doctest: +SKIP
    """


class RandomizedSearchCV(SparkSearch, model_selection.RandomizedSearchCV):
    """Search over parameter values that are drawn at random.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.model_selection.RandomizedSearchCV`, and `GridSearchCV` for Spark DataFrames.
    """


class HalvingGridSearchCV(SparkSearch, model_selection.HalvingGridSearchCV):
    """Search over all combinations, with more rows for those that did well on fewer.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.model_selection.HalvingGridSearchCV`, and `GridSearchCV` for Spark DataFrames. Which
    rows a sample holds depends on their values and on ``random_state`` alone.
    """


class HalvingRandomSearchCV(SparkSearch, model_selection.HalvingRandomSearchCV):
    """Search over parameter values drawn at random, with more rows for those that did well.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.model_selection.HalvingRandomSearchCV`, and `HalvingGridSearchCV` for Spark
    DataFrames.
    """
