"""`permutation_importance`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import sklearn.inspection

# Private: what one permuted column does to the scores, for a worker that has some of the columns.
from sklearn.inspection._permutation_importance import (
    _calculate_permutation_scores,
    _create_importances_bunch,
)
from sklearn.metrics import check_scoring
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import (
    Interval,
    RealNotInt,
    validate_parameter_constraints,
)
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import is_spark
from raydp_ml.exceptions import ResourceError
from raydp_ml.exchange import from_spark
from raydp_ml.exchange.blocks_to_spark import blocks_as_frame
from raydp_ml.exchange.columns import from_spark_schema, pick_columns
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.models.in_memory import form_for, in_form, labels_of
from raydp_ml.models.wrapped import last_step
from raydp_ml.spark_jobs.scores import named_column
from raydp_ml.spark_jobs.summaries import no_rows
from raydp_ml.training.gang.room import room_now
from raydp_ml.training.gang.tasks import Result, kept, run_tasks
from raydp_ml.training.rows.blocks_io import EveryRow

if TYPE_CHECKING:
    from numpy.random import RandomState
    from pyspark.sql import DataFrame
    from sklearn.utils import Bunch

    from raydp_ml.exchange.data_kinds import Data, Values

_CONSTRAINTS = {
    "n_repeats": [Interval(Integral, 1, None, closed="left")],
    "max_samples": [
        Interval(Integral, 1, None, closed="left"),
        Interval(RealNotInt, 0, 1, closed="right"),
    ],
}


@dataclass(frozen=True)
class _Shared:
    """What the tasks share: the model, and where the rows are."""

    estimator: Any
    scorer: Any
    table: EveryRow
    features: tuple[str, ...]
    label: str
    weight: str | None
    form: str
    seed: int
    n_repeats: int
    max_samples: int


@dataclass(frozen=True)
class _Column:
    """One feature to permute; None for the score of the rows as they are."""

    place: int | None
    rows: int = 0  # the same for all


def permutation_importance(
    estimator: Any,
    X: Data,
    y: Values | None = None,
    *,
    scoring: str | Callable[..., Any] | Sequence[str] | Mapping[str, Any] | None = None,
    n_repeats: int = 5,
    n_jobs: int | None = None,
    random_state: int | RandomState | None = None,
    sample_weight: Values | None = None,
    max_samples: float = 1.0,
) -> Bunch | dict[str, Bunch]:
    """Measure by how much a score falls when the values of one feature are shuffled.

    Parameters
    ----------
    estimator : fitted estimator or Pipeline
    X : Spark DataFrame, Blocks, or as in `sklearn.inspection.permutation_importance`
        A Spark DataFrame goes to Ray's object store once; the features are shared out among
        workers, each of which holds all rows.
    y, sample_weight : str or array-like, default=None
        Names of columns for a Spark DataFrame; None takes the roles "label" and "sample_weight".
    scoring : str, callable, list, tuple or dict, default=None
    n_repeats : int, default=5
    n_jobs : int, default=None
        Features at a time; None for as many as the cluster has room for.
    random_state : int, RandomState instance or None, default=None
    max_samples : int or float, default=1.0
        How many rows are scored at each repetition, or which share of them.

    Returns
    -------
    sklearn.utils.Bunch, or dict of such by metric
        ``importances_mean`` and ``importances_std``, shape (n_features,), and ``importances``,
        shape (n_features, n_repeats): scikit-learn's own numbers for the rows in their order.
        Features are those that the estimator was fitted on, in that order (the elements of a
        vector, where it is the one feature).

    Raises
    ------
    SchemaError
        For columns that do not exist, or no rows.
    ResourceError
        Where the rows are too many for a worker: pass a sample of them.

    References
    ----------
    Breiman, L. (2001). Random Forests. Machine Learning 45, 5-32.

    Examples
    --------
    >>> from raydp_ml.inspection import permutation_importance
    >>> permutation_importance(model, df, "late").importances_mean  # doctest: +SKIP
    """
    X = blocks_as_frame(X)
    if not is_spark(X):
        found: Bunch | dict[str, Bunch] = sklearn.inspection.permutation_importance(
            estimator,
            X,
            y,
            scoring=scoring,
            n_repeats=n_repeats,
            n_jobs=n_jobs,
            random_state=random_state,
            sample_weight=sample_weight,
            max_samples=max_samples,
        )
        return found
    check_is_fitted(estimator)
    require_batch(X)
    given = {"n_repeats": n_repeats, "max_samples": max_samples}
    validate_parameter_constraints(_CONSTRAINTS, given, "permutation_importance")
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max + 1))
    asked = _Asked(scoring, n_repeats, n_jobs, seed, max_samples)
    baseline, *permuted = _scores_of_frame(estimator, X, y, sample_weight, asked)
    score = baseline["scores"]
    if not isinstance(score, dict):
        every = np.array([item["scores"] for item in permuted])
        return _create_importances_bunch(score, every)
    return {
        name: _create_importances_bunch(
            score[name], np.array([item["scores"][name] for item in permuted])
        )
        for name in score
    }


@dataclass(frozen=True)
class _Asked:
    scoring: Any
    n_repeats: int
    n_jobs: int | None
    seed: int
    max_samples: float


def _scores_of_frame(
    estimator: Any, df: DataFrame, y: Values | None, sample_weight: Values | None, asked: _Asked
) -> list[Result]:
    """Return the scores of the rows as they are, and then with each feature shuffled."""
    columns = from_spark_schema(df.schema)
    label = named_column(df, y, "label")
    if label is None:
        raise ValueError(
            'A score needs a label: pass the name of its column, y="...", or mark it with '
            "raydp_ml.set_roles(df, label=...)."
        )
    scorer = check_scoring(estimator, asked.scoring)
    weight = named_column(df, sample_weight, "sample_weight")
    if sample_weight is None and not getattr(scorer, "_accept_sample_weight", lambda: False)():
        weight = None  # of the role, which goes to the scores that take it
    features = list(estimator.feature_names_in_)
    if any(name not in df.columns for name in features):
        # A model of vectors has a name for each element.
        features = getattr(last_step(estimator), "_column_names", features)
    pick_columns(columns, features, type(estimator).__name__)
    names = list(dict.fromkeys([*features, label, *([weight] if weight else [])]))
    with from_spark(df, names) as blocks:
        rows = blocks.num_rows
        if not rows:
            raise no_rows()
        form = form_for(estimator, blocks.schema, features)
        # A table of named columns is permuted as a frame.
        form = form_for(None, blocks.schema, features) if form == "arrow" else form
        width = len(estimator.feature_names_in_) if form == "matrix" else len(features)
        shared = _Shared(
            estimator,
            scorer,
            EveryRow.of(blocks),
            tuple(features),
            label,
            weight,
            form,
            asked.seed,
            asked.n_repeats,
            _samples(asked.max_samples, rows),
        )
        tasks = [_Column(None), *(_Column(place) for place in range(width))]
        workers = room_now(None, asked.n_jobs, len(tasks), blocks)
        if workers.count == 0:
            raise ResourceError(
                f"The {rows:,} rows ({blocks.nbytes / 1e9:.1f} GB) are too many for one worker, "
                "which shuffles a feature over all of them. Pass a sample: df.sample(0.1)."
            )
        return run_tasks(_scores, shared, tasks, workers, blocks)


def _samples(max_samples: float, rows: int) -> int:
    if not isinstance(max_samples, (int, np.integer)):
        return int(max_samples * rows)
    if max_samples > rows:
        raise ValueError("max_samples must be <= n_samples")
    return int(max_samples)


def _scores(shared: _Shared, column: _Column) -> dict[str, Any]:
    """Score on a worker, with one column permuted."""
    if "rows" not in kept:
        table = shared.table.read().combine_chunks()
        weights = None
        if shared.weight is not None:
            weights = table.column(shared.weight).cast(pa.float64()).to_numpy()
        X = in_form(table.select(list(shared.features)), shared.form)
        kept["rows"] = X, labels_of(table, shared.label), weights
    X, y, weights = kept["rows"]
    with warnings.catch_warnings():
        # A matrix of the columns by which the estimator knows them, in its order.
        warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
        return {"scores": _scored(shared, column, X, y, weights)}


def _scored(shared: _Shared, column: _Column, X: Any, y: Any, weights: Any) -> Any:
    if column.place is None:
        params = {} if weights is None else {"sample_weight": weights}
        return shared.scorer(shared.estimator, X, y, **params)
    return _calculate_permutation_scores(
        shared.estimator,
        X,
        y,
        weights,
        column.place,
        shared.seed,
        shared.n_repeats,
        shared.scorer,
        shared.max_samples,
    )
