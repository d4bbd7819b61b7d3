"""`OptunaSearchCV`: a search whose candidates an Optuna study proposes, from the scores so far."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import FitFailedWarning

# Private: what every search of scikit-learn is, and how one tells that folds stay the same.
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._split import _yields_constant_splits
from sklearn.utils._param_validation import HasMethods, Interval

from raydp_ml.model_selection._search import SparkSearch
from raydp_ml.model_selection._splitters import seed_of

if TYPE_CHECKING:
    import optuna
    from numpy.random import RandomState
    from optuna.distributions import BaseDistribution

    Evaluate = Callable[..., dict[str, Any]]

__all__ = ["OptunaSearchCV"]


class OptunaSearchCV(SparkSearch, BaseSearchCV):
    """Search over parameter values that an Optuna study proposes, from the scores so far.

    It needs the extra ``[optuna]``. Candidates come in rounds: the study is asked for
    ``batch_size`` of them, these are cross-validated side by side, and the study is told their
    mean scores. A Spark DataFrame goes to Ray's object store once, as with `GridSearchCV`.

    Parameters
    ----------
    estimator : estimator
        What is fitted, cloned for each candidate: one of raydp_ml, or a Pipeline of such.
    param_distributions : dict of str to distribution or list
        For each parameter one of `optuna.distributions`, or a list of values.
    n_trials : int, default=50
        How many candidates to evaluate.
    timeout : float, default=None
        No round begins after so many seconds; the first one always does.
    study : optuna.study.Study, default=None
        A study to go on with, which maximizes: its sampler, storage and earlier trials are used.
        None makes a new one with a `optuna.samplers.TPESampler`.
    batch_size : int, default=4
        Candidates of a round. In larger rounds more fits run side by side, in smaller ones more is
        known when a candidate is chosen. With ``random_state`` it settles which candidates are
        tried, whatever the machine.
    scoring, refit, cv, verbose, error_score, return_train_score
        As in `sklearn.model_selection.RandomizedSearchCV`. The study maximizes the metric that
        ``refit`` names; where there are several and it names none, each is an objective.
    n_jobs : int, default=None
        As in `GridSearchCV`.
    random_state : int, RandomState instance or None, default=None
        The seed of the sampler; a study that is given has a sampler of its own.

    Attributes
    ----------
    study_ : optuna.study.Study
        With a trial for each candidate. One whose mean score is NaN has failed.
    cv_results_, best_estimator_, best_index_, best_params_, best_score_, ...
        As in scikit-learn; see `sklearn.model_selection.RandomizedSearchCV`.

    See Also
    --------
    RandomizedSearchCV : Draws candidates without regard to scores.

    Notes
    -----
    A first round in which all fits fail ends the search, as it does in scikit-learn. Of a later
    one a warning tells; its trials have failed, and it is not in `cv_results_`.

    References
    ----------
    Akiba, T. et al. (2019). Optuna: A Next-generation Hyperparameter Optimization Framework. KDD.

    Examples
    --------
    >>> from optuna.distributions import FloatDistribution, IntDistribution  # doctest: +SKIP
    >>> from raydp_ml.model_selection import OptunaSearchCV
    >>> from raydp_ml.xgboost import XGBClassifier
    >>> space = {
    ...     "max_depth": IntDistribution(2, 8),
    ...     "learning_rate": FloatDistribution(0.01, 0.5, log=True),
    ... }  # doctest: +SKIP
    >>> search = OptunaSearchCV(XGBClassifier(), space, random_state=0)  # doctest: +SKIP
    >>> search.fit(df, "late").best_params_  # doctest: +SKIP
    """

    _parameter_constraints = {  # noqa: RUF012, as scikit-learn has it
        **BaseSearchCV._parameter_constraints,
        "param_distributions": [dict],
        "n_trials": [Interval(Integral, 1, None, closed="left")],
        "timeout": [Interval(Real, 0, None, closed="neither"), None],
        "study": [HasMethods(["ask", "tell"]), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }
    _parameter_constraints.pop("pre_dispatch")  # not a parameter of this class

    def __init__(
        self,
        estimator: Any,
        param_distributions: Mapping[str, BaseDistribution | Sequence[Any]],
        *,
        n_trials: int = 50,
        timeout: float | None = None,
        study: optuna.study.Study | None = None,
        batch_size: int = 4,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: bool | str | Callable[..., int] = True,
        cv: Any = None,
        verbose: int = 0,
        random_state: int | RandomState | None = None,
        error_score: float | str = np.nan,
        return_train_score: bool = False,
    ) -> None:
        super().__init__(
            estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.param_distributions = param_distributions
        self.n_trials = n_trials
        self.timeout = timeout
        self.study = study
        self.batch_size = batch_size
        self.random_state = random_state

    def _validate_params(self) -> None:
        super()._validate_params()
        # Before any row moves.
        _space(self.param_distributions)
        if self.study is not None:
            _check_directions(self.study, len(self._objectives()))

    def _check_input_parameters(self, X: Any, y: Any, split_params: dict[str, Any]) -> None:
        # In memory rows are split again for each round; on Spark they are split once.
        if not _yields_constant_splits(self._checked_cv_orig):
            raise ValueError(
                "The cv parameter must yield consistent folds across calls to split(). Set its "
                "random_state to an int, or set shuffle=False."
            )

    def _run_search(self, evaluate_candidates: Evaluate, *, callback_ctx: Any = None) -> None:
        """Evaluate one round of candidates after the other; scikit-learn's ``fit`` calls it."""
        space = _space(self.param_distributions)
        self.study_ = self._new_study() if self.study is None else self.study
        sizes = _rounds(self.n_trials, self.batch_size)
        context = callback_ctx.subcontext(task_name="search", max_subtasks=len(sizes))
        context.call_on_fit_task_begin(estimator=self)
        begun = time.monotonic()
        for number, size in enumerate(sizes):
            if number and self.timeout is not None and time.monotonic() - begun > self.timeout:
                break
            trials = [self.study_.ask(space) for _ in range(size)]
            subcontext = context.subcontext(
                task_name="round", max_subtasks=size * self.n_splits_, sequential_subtasks=False
            )
            subcontext.call_on_fit_task_begin(estimator=self)
            self._judge(trials, evaluate_candidates, subcontext, is_first=not number)
            subcontext.call_on_fit_task_end(estimator=self)
        context.call_on_fit_task_end(estimator=self)

    def _judge(
        self, trials: list[optuna.Trial], evaluate: Evaluate, context: Any, is_first: bool
    ) -> None:
        """Evaluate the candidates of a round, and tell the study."""
        try:
            results = evaluate([trial.params for trial in trials], callback_ctx=context)
            scores = [self._scores(results, place - len(trials)) for place in range(len(trials))]
        except BaseException as error:  # Ctrl-C too leaves no trial that seems to run
            for trial in trials:
                self.study_.tell(trial, state=_failed())
            if is_first or not _all_fits_failed(error):
                raise
            warnings.warn(str(error), FitFailedWarning, stacklevel=2)
            return
        for trial, values in zip(trials, scores, strict=True):
            if np.isnan(values).any():
                self.study_.tell(trial, state=_failed())
            else:
                self.study_.tell(trial, values)

    def _scores(self, results: dict[str, Any], place: int) -> list[float]:
        """Return a candidate's mean scores, one for each objective."""
        if callable(self.scoring) and "mean_test_score" in results:
            return [float(results["mean_test_score"][place])]
        keys = [f"mean_test_{name}" for name in self._objectives()]
        if missing := [key for key in keys if key not in results]:
            names = [key.removeprefix("mean_test_") for key in results if "mean_test_" in key]
            raise ValueError(
                f"scoring is a function that returns the scores {names}, and the study has to know "
                f"which one to maximize: refit must be its name. Got refit={self.refit!r}, and "
                f"there is no {missing[0]!r}."
            )
        return [float(results[key][place]) for key in keys]

    def _objectives(self) -> list[str]:
        """Return the names of the metrics that the study maximizes."""
        if self.scoring is None or isinstance(self.scoring, str):
            return ["score"]
        if isinstance(self.refit, str):
            return [self.refit]
        return ["score"] if callable(self.scoring) else list(self.scoring)

    def _new_study(self) -> optuna.study.Study:
        optuna = _optuna()
        seed = None if self.random_state is None else seed_of(self.random_state)
        return optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=seed),
            directions=["maximize"] * len(self._objectives()),
        )


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            "OptunaSearchCV needs the package optuna. Install it: pip install 'raydp_ml[optuna]'"
        ) from error
    return optuna


def _failed() -> Any:
    return _optuna().trial.TrialState.FAIL


def _all_fits_failed(error: BaseException) -> bool:
    """Whether an error is scikit-learn's of fits of which none succeeded."""
    return isinstance(error, ValueError) and "fits failed.\nIt is very likely" in str(error)


def _rounds(n_trials: int, batch_size: int) -> list[int]:
    """Return the sizes of the rounds: the last one may be smaller."""
    count = math.ceil(n_trials / batch_size)
    return [batch_size] * (count - 1) + [n_trials - batch_size * (count - 1)]


def _space(given: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """Return Optuna's distributions; a list is of categories."""
    distributions = _optuna().distributions
    space = {}
    for name, values in given.items():
        if isinstance(values, (list, tuple)) and values:
            values = distributions.CategoricalDistribution(values)
        if not isinstance(values, distributions.BaseDistribution):
            raise TypeError(
                f"param_distributions[{name!r}] must be one of optuna.distributions, such as "
                f"FloatDistribution(0.01, 1, log=True), or a list of values. Got {values!r}."
            )
        space[name] = values
    return space


def _check_directions(study: optuna.study.Study, count: int) -> None:
    names = [direction.name.lower() for direction in study.directions]
    wanted = ["maximize"] * count
    if names != wanted:
        raise ValueError(
            "scikit-learn's scores are the better the greater they are: the study must have the "
            f"directions {wanted}, one for each metric. Got {names} instead. Make it by "
            f"optuna.create_study(directions={wanted})."
        )
