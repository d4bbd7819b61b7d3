"""A Spark DataFrame under study: exported once, for any number of trials."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import model_selection
from sklearn.base import clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from raydp_ml.bars import Bar, shown
from raydp_ml.base import SparkEstimator, folds_case, require_column_name
from raydp_ml.exceptions import DataLostError
from raydp_ml.exchange import from_spark, to_spark
from raydp_ml.exchange.columns import (
    check_exists,
    decimal_digits,
    from_spark_schema,
    quoted,
    resolve_columns,
)
from raydp_ml.exchange.jvm import is_deterministic, require_batch, require_live
from raydp_ml.exchange.sql_text import aggregate, select
from raydp_ml.model_selection import _splitters
from raydp_ml.model_selection._marks import Marked, without_validation
from raydp_ml.model_selection._spark_trials import trial_in_spark
from raydp_ml.model_selection._splitters import SparkSplitter
from raydp_ml.model_selection._trials import Job, Trial, run_trial
from raydp_ml.models.in_memory import form_for
from raydp_ml.models.trained_model import TrainedModel
from raydp_ml.models.wrapped import label_of, last_step
from raydp_ml.preprocessing import FunctionTransformer
from raydp_ml.roles import set_roles
from raydp_ml.spark_jobs.row_order import random_place
from raydp_ml.spark_jobs.summaries import check_labels
from raydp_ml.sql import SQLTransformer
from raydp_ml.training.gang.attempts import Workers, attempts
from raydp_ml.training.gang.room import room_now
from raydp_ml.training.gang.tasks import Result, run_tasks
from raydp_ml.training.rows.blocks_io import EveryRow
from raydp_ml.transformers.spark_stage import SparkStage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.blocks import Blocks

_DIGITS = 18
"""Of whole numbers, all of which are int64."""

PLACE = "__raydp_ml_sampled"
"""The column of places in the order by which trials take part of the rows."""


@dataclass(frozen=True)
class GivenFrame:
    """What a search or a cross-validation was given.

    Attributes
    ----------
    df : pyspark.sql.DataFrame
        With the roles of its columns.
    label : str
    weight, group, groups : str or None
        Weights, groups that are ranked together, groups that are not torn apart.
    weight_param : str or None
        The name by which ``fit`` was given the weights; None for those of the role.
    """

    df: DataFrame
    label: str
    weight: str | None
    group: str | None
    groups: str | None
    weight_param: str | None


def given_of(estimator: Any, df: DataFrame, y: object, params: dict[str, Any]) -> GivenFrame:
    """Find the columns by the names given and by their roles.

    Parameters
    ----------
    estimator : estimator
    df : pyspark.sql.DataFrame
    y : str or None
    params : dict
        What else ``fit`` was given: sample_weight, group, groups; in a Pipeline the first two by
        the name of its last step.

    Raises
    ------
    SchemaError, TypeError
    ValueError
        Where nothing says what a ranker ranks together.
    """
    require_batch(df)
    last = estimator.steps[-1][0] + "__" if isinstance(estimator, Pipeline) else ""
    named = {name.removeprefix(last): value for name, value in params.items() if value is not None}
    unknown = sorted(set(named) - {"sample_weight", "group", "groups"})
    if unknown:
        raise TypeError(
            f"With a Spark DataFrame, fit takes y, sample_weight, group and groups: names of "
            f"columns. Got {unknown} as well. Rows to stop early on are marked with "
            "raydp_ml.set_roles(df, validation=...)."
        )
    columns = df.columns
    names = {
        what: require_column_name(value, what, columns) for what, value in {"y": y, **named}.items()
    }
    for what, name in names.items():
        if name is not None:
            check_exists(name, columns, what)
    roles = {"label": names.get("y"), "sample_weight": names.get("sample_weight")}
    roles["group"] = names.get("group")
    df = set_roles(df, **{role: name for role, name in roles.items() if name is not None})
    label = label_of(df, names.get("y"), type(estimator).__name__)
    held = {column.role: column.name for column in from_spark_schema(df.schema) if column.role}
    groups = names.get("groups") or held.get("group")
    fitted = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if "group" not in held and "group" in signature(fitted.fit).parameters:
        raise ValueError(
            f"{type(fitted).__name__} needs to know which rows are ranked together. Pass the name "
            f"of their column, {last}group={groups or 'query'!r}, or mark it once: "
            "raydp_ml.set_roles(df, group=...). groups= says what the splitter keeps together."
        )
    weight_params = ("sample_weight", last + "sample_weight")
    weight_param = next((key for key in weight_params if params.get(key) is not None), None)
    return GivenFrame(df, label, held.get("sample_weight"), held.get("group"), groups, weight_param)


def splitter_of(cv: Any, estimator: Any, several_labels: bool) -> SparkSplitter:
    """Return the splitter that `cv` stands for; scikit-learn's own become ours.

    Parameters
    ----------
    cv : int, splitter or None
    estimator : estimator
    several_labels : bool
        Whether a row has an array of labels, by which no folds are stratified.

    Raises
    ------
    TypeError
        For one that knows rows in memory only.
    """
    cv = 5 if cv is None else cv
    if isinstance(cv, (int, np.integer)):
        stratified = is_classifier(estimator) and not several_labels
        return (_splitters.StratifiedKFold if stratified else _splitters.KFold)(int(cv))
    if isinstance(cv, SparkSplitter):
        return cv
    name = type(cv).__name__
    ours = getattr(_splitters, name, None)
    if ours is not None and type(cv) is getattr(model_selection, name, None):
        made = ours.__new__(ours)
        made.__dict__.update(cv.__dict__)
        if name == "TimeSeriesSplit":
            made.time = None
        return made
    known = ", ".join(_splitters.__all__)
    raise TypeError(
        "With a Spark DataFrame, cv is a number of folds or one of raydp_ml.model_selection's "
        f"splitters ({known}). Got {name} instead. Folds of your own are a column: "
        "PredefinedSplit('fold')."
    )


def fits_bar(what: str, callbacks: Any = ()) -> Bar:
    """Make a progress bar of the fits of a study.

    Parameters
    ----------
    what : str
        What the study is for.
    callbacks : iterable of object
        scikit-learn's; see `raydp_ml.bars.shown`.
    """
    return Bar(what, "fits", show=shown(callbacks))


class Study:
    """Runs trials on the rows of a Spark DataFrame.

    Parameters
    ----------
    estimator : estimator
    given : GivenFrame
    cv : int, splitter or None
    scorer : callable
        ``scorer(estimator, X, y, **params)``.
    n_jobs : int or None
    error_score : float or "raise"
    score_weighted : bool
    sampled : int or None
        The seed of an order by which trials may take part of the rows.
    bar : Bar, default=None
        Of the fits, opened and closed with the study; it grows with those that are to run.
    """

    def __init__(
        self,
        estimator: Any,
        given: GivenFrame,
        cv: Any,
        scorer: Any,
        *,
        n_jobs: int | None = None,
        error_score: float | str = np.nan,
        score_weighted: bool = False,
        sampled: int | None = None,
        bar: Bar | None = None,
    ) -> None:
        self.estimator = estimator
        self.given = given
        kinds = {column.name: column.kind for column in from_spark_schema(given.df.schema)}
        several_labels = kinds.get(given.label) in {"array", "vector"}
        self.splitter = splitter_of(cv, estimator, several_labels)
        self.scorer = scorer
        self.n_jobs = n_jobs
        self.error_score = error_score
        self.score_weighted = score_weighted
        self.sampled = sampled
        self.bar = bar or Bar("", "fits", show=False)
        self._begun = 0
        self.frame = given.df
        self.marked: Marked
        self.features: list[str]
        self.validation: str | None
        self._blocks: Blocks | None = None
        self._in_spark: DataFrame | None = None
        self._closing = contextlib.ExitStack()

    @property
    def n_splits(self) -> int:
        """Number of splits."""
        return len(self.marked.splits)

    def classes(self) -> list[Any]:
        """Return the values of the label, each once, of the rows that are in folds."""
        if self.marked.classes is not None:
            return self.marked.classes
        rows = without_validation(self.marked.frame, self.validation)
        found = aggregate(rows, [quoted(self.given.label)], {"n": "count(1)"}).collect()
        return [label for label, _ in found]

    def __enter__(self) -> Study:
        with contextlib.ExitStack() as stack:
            if not is_deterministic(self.frame):
                # Read once: another look at it would show other rows.
                held = stack.enter_context(from_spark(self.frame))
                self.frame = _with_roles_of(to_spark(held, self.frame.sparkSession), self.frame)
            self.marked = self.splitter.mark(self.frame, self.given.label, self.given.groups)
            self._check_label()
            self.features = self._features()
            stack.enter_context(self.bar)
            self._closing = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._closing.__exit__(*error)

    def run(
        self, trials: Sequence[Trial], on_end: Callable[[int, Result], None] = lambda *_: None
    ) -> list[Result]:
        """Run trials, as many at a time as there is room for; their results in order.

        Parameters
        ----------
        trials : sequence of Trial
        on_end : callable
            Called with the number of a trial and its result, as they come.
        """
        self._begun += len(trials)
        self.bar.expect(self._begun)

        def ended(number: int, result: Result) -> None:
            self.bar.step()
            on_end(number, result)

        # All of them, so that names that do not exist are told before anything runs.
        params = {id(trial.params): trial.params for trial in trials}.values()
        candidates = [self._candidate(each) for each in params]
        # A Pipeline that is fitted in memory loses the names by which it would predict on Spark.
        keeps = any(trial.with_estimator for trial in trials)
        weighted, validated = self.given.weight is not None, self.validation is not None
        if (
            (keeps and not isinstance(self.estimator, TrainedModel))
            or self._scores_fractions()
            or any(needs_spark(candidate, weighted, validated) for candidate in candidates)
        ):
            return self._on_spark(trials, ended)
        workers = self._room(len(trials))
        if workers.count == 0:
            return self._on_spark(trials, ended)
        return self._on_workers(trials, workers, ended)

    # ------------------------------------------------------------------- on workers

    def _on_workers(
        self, trials: Sequence[Trial], workers: Workers, on_end: Callable[[int, Result], None]
    ) -> list[Result]:
        """Run trials on workers; rows that were lost with a node are exported once more."""
        results: dict[int, Result] = {}
        for attempt in attempts(2 if is_deterministic(self.given.df) else 1, after=DataLostError):
            with attempt:
                if attempt.number > 1:
                    self.close_trials()
                left = [number for number in range(len(trials)) if number not in results]

                def ended(place: int, result: Result, left: list[int] = left) -> None:
                    results[left[place]] = result
                    on_end(left[place], result)

                job, blocks = self._job(workers.cpus or 1), self._exported()
                run_tasks(run_trial, job, [trials[n] for n in left], workers, blocks, ended)
        made = [results[number] for number in range(len(trials))]
        self._tell_decimals(made)
        return made

    @property
    def _decimal(self) -> tuple[int, int] | None:
        """Precision and scale of a label of decimals."""
        columns = from_spark_schema(self.frame.schema)
        label = next(column for column in columns if column.name == self.given.label)
        return decimal_digits(label.type_name) if label.kind == "decimal" else None

    def _scores_fractions(self) -> bool:
        """Whether classes may be decimals that metrics of scikit-learn do not take in memory."""
        decimal = self._decimal
        if not is_classifier(self.estimator) or decimal is None:
            return False
        digits, scale = decimal
        scorers = getattr(self.scorer, "_scorers", {"": self.scorer}).values()
        known = scale == 0 and digits <= _DIGITS
        return not known and any(hasattr(scorer, "_score_func") for scorer in scorers)

    def _tell_decimals(self, results: Sequence[Result]) -> None:
        """Let models predict decimals of the label's type: in memory they have seen values only."""
        decimal = self._decimal
        if decimal is None:
            return
        for result in results:
            if (model := result.get("estimator")) is not None:
                last_step(model)._label_decimal = decimal

    def _exported(self) -> Blocks:
        """Return the rows in Ray's object store, where they are put once."""
        if self._blocks is None:
            names = [*self.features, *self._beside, *self.marked.marks]
            frame = self.marked.frame
            if self.sampled is not None:
                place = random_place(self.frame, self.sampled)
                frame = select(frame, "*", f"{place} AS {PLACE}")
                names.append(PLACE)
            blocks = from_spark(frame, list(dict.fromkeys(names)))
            self._blocks = self._closing.enter_context(blocks)
        return self._blocks

    @property
    def _beside(self) -> list[str]:
        given = self.given
        names = [given.label, given.weight, given.group, self.validation]
        return [name for name in names if name is not None]

    def _candidate(self, params: Mapping[str, Any]) -> Any:
        return clone(self.estimator).set_params(**clone(dict(params), safe=False))

    def _room(self, n_trials: int) -> Workers:
        return room_now(last_step(self.estimator), self.n_jobs, n_trials, self._exported())

    def _job(self, cpus: int) -> Job:
        blocks, given = self._exported(), self.given
        form = form_for(self.estimator, blocks.schema, self.features)
        return Job(
            estimator=self.estimator,
            scorer=self.scorer,
            table=EveryRow.of(blocks),
            features=tuple(self.features),
            label=given.label,
            weight=given.weight,
            group=given.group if self._ranks else None,
            validation=self.validation,
            splits=self.marked.splits,
            form=form,
            score_weighted=self.score_weighted and given.weight is not None,
            cpus=cpus,
            error_score=self.error_score,
        )

    @property
    def _ranks(self) -> bool:
        return getattr(last_step(self.estimator), "_task_kind", None) == "ranking"

    # ------------------------------------------------------------------- in Spark

    def _on_spark(
        self, trials: Sequence[Trial], on_end: Callable[[int, Result], None]
    ) -> list[Result]:
        """Fit and score one trial after the other, on Spark DataFrames of the exported rows."""
        require_live(self.frame.sparkSession)
        rows, columns = self._rows_in_spark(), self.without_helpers(self.frame).columns
        results = []
        for number, trial in enumerate(trials):
            candidate = self._candidate(trial.params)
            result = trial_in_spark(
                candidate,
                rows,
                trial,
                columns,
                self.marked,
                self.scorer,
                self.error_score,
                self.score_weighted,
            )
            if "raised" in result:
                raise result["raised"]
            results.append(result)
            on_end(number, result)
        return results

    def _rows_in_spark(self) -> DataFrame:
        """Return all columns but the helpers, with their roles, and the marks."""
        if self._in_spark is None:
            frame = self.without_helpers(self.marked.frame)
            names = [*frame.columns, *self.marked.marks]
            frame = select(self.marked.frame, *(quoted(name) for name in dict.fromkeys(names)))
            if self.sampled is not None:
                frame = select(frame, "*", f"{random_place(self.frame, self.sampled)} AS {PLACE}")
            blocks = self._closing.enter_context(from_spark(frame))
            self._in_spark = _with_roles_of(to_spark(blocks, frame.sparkSession), frame)
        return self._in_spark

    def _check_label(self) -> None:
        label = quoted(self.given.label)
        kind = next(f.dataType for f in self.frame.schema.fields if f.name == self.given.label)
        nan = f" or isnan({label})" if kind.typeName() in {"double", "float"} else ""
        if self.marked.classes is None:
            found = aggregate(self.frame, [], {"n": f"count_if({label} is null{nan})"})
            check_labels(self.given.label, found.collect()[0]["n"])

    def _features(self) -> list[str]:
        """Return the features; a bare estimator's are checked before any row moves."""
        frame = self.without_helpers(self.frame)
        columns = from_spark_schema(frame.schema)
        last = last_step(self.estimator)
        bare = isinstance(self.estimator, TrainedModel)
        roles = resolve_columns(
            columns,
            enable_categorical=getattr(last, "enable_categorical", False),
            kinds=None if bare else {column.kind for column in columns},
            fold_case=folds_case(frame),
            array_label=True,
        )
        self.validation = roles.validation
        return roles.feature_names

    def without_helpers(self, df: DataFrame) -> DataFrame:
        """Drop the columns that tell the splits: no features."""
        names = [self.given.groups, getattr(self.splitter, "test_fold", None)]
        roles = {column.name for column in from_spark_schema(df.schema) if column.role}
        helpers = {name for name in names if isinstance(name, str)} - roles
        return select(df, *(quoted(name) for name in df.columns if name not in helpers))

    def test_rows(self, split: int) -> DataFrame:
        """Return the rows that a split tests on, as trials have them."""
        rows = self.marked.splits[split][1].of_frame(self.marked.frame)
        return without_validation(rows, self.validation)

    def close_trials(self) -> None:
        """Free the rows that the trials have read: no more trials follow."""
        if self._blocks is not None:
            self._blocks.free()
            self._blocks = None

    def refitted(self, estimator: Any) -> Any:
        """Fit an estimator on all rows.

        Raises
        ------
        SessionError
            The session was stopped meanwhile.
        """
        require_live(self.frame.sparkSession)
        return estimator.fit(self.without_helpers(self.frame))


def _with_roles_of(df: DataFrame, like: DataFrame) -> DataFrame:
    from pyspark.sql import functions

    columns = [
        functions.col(quoted(field.name)).alias(field.name, metadata=dict(field.metadata or {}))
        for field in like.schema.fields
    ]
    return df.select(*columns)


def needs_spark(estimator: Any, weighted: bool, validated: bool) -> bool:
    """Whether a candidate has to be fitted on Spark DataFrames.

    So has one that trains over several workers, and one with a step that knows nothing else: SQL,
    a stage of pyspark.ml, a function or step of the user's own. In memory, weights do not reach
    what other steps hold, nor do the marks of rows to evaluate on reach their models.
    """
    steps = [estimator, *_held(estimator)]
    if any(type(one).__module__.partition(".")[0] not in {"raydp_ml", "sklearn"} for one in steps):
        return True
    if any(isinstance(one, (SQLTransformer, SparkStage, FunctionTransformer)) for one in steps):
        return True
    *before, last = (
        [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    )
    if weighted and any(isinstance(one, (ColumnTransformer, FeatureUnion)) for one in steps):
        return True
    inner = [one for step in before for one in _held(step)]
    hidden = inner or any(isinstance(one, Pipeline) for one in _held(last))
    # (scikit-learn's own cannot be fitted there.)
    if weighted and hidden and all(isinstance(one, (SparkEstimator, Pipeline)) for one in steps):
        return True
    models = [isinstance(one, TrainedModel) for one in inner]
    if validated and (any(models) or not isinstance(last, TrainedModel)):
        return True
    return any((getattr(one, "num_workers", 0) or 0) > 1 for one in steps)


def _held(estimator: Any) -> list[Any]:
    """Return the estimators within another, at any depth."""
    params = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    return [one for one in params.values() if hasattr(one, "fit") and not isinstance(one, type)]
