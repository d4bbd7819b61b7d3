"""Phase 2 of a fit: each worker builds its matrices and boosts, in step with the others.

Everything here runs on a worker (or in the driver's process, for data in memory): plain
arguments come in, plain data goes out.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, SupportsFloat

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from raydp_ml.exceptions import SchemaError
from raydp_ml.training.rows.data_sets import Part
from raydp_ml.training.rows.kept import made_once
from raydp_ml.training.rows.layout import SPARSE, Layout, label_of, margin_of, one_array
from raydp_ml.training.rows.ranking_groups import group_sizes
from raydp_ml.training.rows.reports import (
    drop_weightless,
    repeat_rows,
    split_validation,
)
from raydp_ml.training.xgboost.limits import require_rows_everywhere
from raydp_ml.training.xgboost.matrix import booster_names, features_of
from raydp_ml.training.xgboost.scores import PooledScores, needs_all_rows

if TYPE_CHECKING:
    import xgboost
    from numpy.typing import ArrayLike

    EvalsLog = xgboost.callback.TrainingCallback.EvalsLog
    Gradients = tuple[np.ndarray, np.ndarray]

_MOST = float(np.finfo(np.float32).max)
"""Beyond it, a number is infinite to XGBoost."""


@dataclass(frozen=True)
class TrainSpec:
    """What to train, the same on every worker.

    Attributes
    ----------
    task : {"regression", "classification", "ranking"}
    params : dict
        Parameters of the booster.
    rounds : int
    matrix : dict
        Arguments of every matrix: missing, enable_categorical, feature_types, nthread.
    quantile : bool
        Whether a ``QuantileDMatrix`` serves the tree method.
    max_bin : int or None
    feature_weights : ndarray of shape (n_features,) or None
    objective, metric : callable or None
        The user's own functions, with scikit-learn's signature.
    early_stopping_rounds : int or None
    callbacks : tuple of xgboost.callback.TrainingCallback
    classes : ndarray of shape (n_classes,) or None
    repeats_rows : bool
        Whether rows are repeated instead of weighted.
    evaluates_validation : bool
        Whether the rows that the validation column marks are an evaluation set.
    reports_rounds, reports_models : bool
        Whether rank 0 reports each round, and the model after it.
    checkpoint_seconds : float or None
        Time between two checkpoints that rank 0 reports; None for none.
    start : bytes or None
        A model to go on from.
    start_rounds : int
        Its rounds.
    """

    task: str
    params: dict[str, Any]
    rounds: int
    matrix: dict[str, Any]
    quantile: bool = True
    max_bin: int | None = None
    feature_weights: ArrayLike | None = None
    objective: Callable[..., Gradients] | None = None
    metric: Callable[..., SupportsFloat] | None = None
    early_stopping_rounds: int | None = None
    callbacks: tuple[xgboost.callback.TrainingCallback, ...] = ()
    classes: np.ndarray | None = None
    repeats_rows: bool = False
    evaluates_validation: bool = False
    reports_rounds: bool = False
    reports_models: bool = False
    checkpoint_seconds: float | None = None
    start: bytes | None = None
    start_rounds: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A model on its way, with all that a restart needs to go on as if nothing had happened."""

    rounds: int
    model: bytes
    history: EvalsLog
    callbacks: tuple[bytes | None, ...] = ()
    """The state of each callback, pickled; None for one that cannot be."""


@dataclass(frozen=True)
class Round:
    """Rank 0's report of a finished round."""

    index: int
    model: bytes | None


@dataclass(frozen=True)
class Outcome:
    """The trained model, from rank 0; its configuration says how it was trained."""

    rounds: int
    model: bytes
    history: dict[str, dict[str, list[float]]]
    config: str


def train_worker(
    rank: int,
    parts: Sequence[Part],
    spec: TrainSpec,
    communicator: dict[str, Any] | None,
    checkpoint: Checkpoint | None,
) -> Outcome | None:
    """Train on this worker's rows, in step with the other workers.

    Parameters
    ----------
    rank : int
    parts : sequence of Part
        The training data, then the evaluation sets.
    spec : TrainSpec
    communicator : dict or None
        Arguments of XGBoost's collective; None when there is one worker.
    checkpoint : Checkpoint or None
        Where to go on from.

    Returns
    -------
    Outcome or None
        The model from rank 0, None from the others.
    """
    import xgboost

    verbosity = spec.params.get("verbosity")
    settings = {} if verbosity is None else {"verbosity": verbosity}
    with xgboost.config_context(**settings), _joined(communicator, rank):
        train, evals = build_matrices(parts, spec)
        require_rows_everywhere(train.num_row(), spec.params)
        booster, history, rounds = _boost(rank, train, evals, spec, checkpoint)
        if rank != 0:
            return None
        return Outcome(rounds, bytes(booster.save_raw("ubj")), history, booster.save_config())


@contextlib.contextmanager
def _joined(communicator: dict[str, Any] | None, rank: int) -> Iterator[None]:
    """Join XGBoost's collective for the time of a ``with`` block."""
    if communicator is None:
        yield
        return
    from xgboost import collective

    # Ranks follow the order of these ids, as strings.
    context = collective.CommunicatorContext(**communicator, dmlc_task_id=f"{rank:08d}")
    with contextlib.ExitStack() as stack:
        # Each worker says which rank it got, whatever the verbosity.
        with contextlib.redirect_stdout(io.StringIO()):
            stack.enter_context(context)
        yield


def build_matrices(
    parts: Sequence[Part], spec: TrainSpec
) -> tuple[xgboost.DMatrix, list[tuple[xgboost.DMatrix, str]]]:
    """Build the matrix to train on and those to evaluate on.

    A worker without rows builds empty ones: XGBoost agrees on the split points with all workers,
    and would wait for one that stayed away.
    """
    first, *others = parts
    table, layout = first.read(), first.layout
    held_out = None
    if layout.validation is not None:
        table, held_out = split_validation(table, layout.validation)
    train = build_matrix(table, layout, spec, None)
    sets = [(part.read(), part.layout) for part in others]
    if spec.evaluates_validation:
        sets.append((held_out, layout))
    evals = [build_matrix(rows, of, spec, train) for rows, of in sets]
    return train, [(matrix, f"validation_{index}") for index, matrix in enumerate(evals)]


def build_matrix(
    table: pa.Table, layout: Layout, spec: TrainSpec, ref: xgboost.DMatrix | None
) -> xgboost.DMatrix:
    """Build one matrix; `ref` is the training matrix for an evaluation set."""
    weight = layout.weight
    if weight is not None and ref is None:
        table = drop_weightless(table, weight)
        if spec.repeats_rows:
            table, weight = repeat_rows(table, weight), None
    label = label_of(table, layout, spec.classes)
    weights = None
    if weight is not None:
        values = one_array(table.column(weight)).cast(pa.float64())
        weights = values.to_numpy(zero_copy_only=False)
    sizes = group_sizes(table, layout) if spec.task == "ranking" else None
    if sizes is not None and weights is not None:
        weights = _group_weights(weights, sizes, layout)
    extras = (weights, sizes, spec.feature_weights if ref is None else None)
    make = partial(_new_matrix, table, layout, spec, ref, extras)
    # An evaluation set shares the split points of its training matrix.
    if ref is not None:
        matrix = make()
    else:
        matrix = made_once(
            table, _column_names(layout), partial(_about, layout, spec, extras), make
        )
    if label is not None and layout.bounds:
        matrix.set_info(label_lower_bound=label[:, 0], label_upper_bound=label[:, 1])
    elif label is not None:
        matrix.set_label(label)
    margin = margin_of(table, layout)
    if margin is not None:
        matrix.set_base_margin(margin)
    return matrix


Extras = tuple["np.ndarray | None", "np.ndarray | None", "ArrayLike | None"]
"""Weights, sizes of groups, weights of features."""


def _about(layout: Layout, spec: TrainSpec, extras: Extras) -> tuple[object, ...]:
    """Return what a training matrix depends on beside the features; labels and the like are set."""
    return (
        "matrix",
        spec.quantile,
        spec.max_bin,
        repr(layout),
        repr(sorted(spec.matrix.items())),
        # XGBoost weighs the rows where it looks for split points.
        *(None if array is None else np.asarray(array).tobytes() for array in extras),
    )


def _column_names(layout: Layout) -> list[str]:
    return list(SPARSE) if layout.sparse is not None else [item.name for item in layout.features]


def _new_matrix(
    table: pa.Table,
    layout: Layout,
    spec: TrainSpec,
    ref: xgboost.DMatrix | None,
    extras: Extras,
) -> xgboost.DMatrix:
    import xgboost

    arguments: dict[str, Any] = dict(spec.matrix)
    arguments["data"] = data = features_of(table, layout)
    if not isinstance(data, pa.Table):
        arguments["feature_names"] = booster_names(layout.feature_names)
    names = ("weight", "group", "feature_weights")
    given = zip(names, extras, strict=True)
    arguments.update({name: array for name, array in given if array is not None})
    try:
        if spec.quantile:
            return xgboost.QuantileDMatrix(**arguments, ref=ref, max_bin=spec.max_bin)
        return xgboost.DMatrix(**arguments)
    except xgboost.core.XGBoostError as error:
        columns = _infinite_columns(data) if "inf" in str(error) else []
        if not columns:
            raise
        raise SchemaError(
            f"The features {columns} hold infinite values, or such beyond single precision, which "
            "XGBoost cannot use. Replace them, for example with null, which stands for a missing "
            "value."
        ) from error


def _group_weights(weights: np.ndarray, sizes: np.ndarray, layout: Layout) -> np.ndarray:
    if not len(sizes):
        return weights
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    low, high = np.minimum.reduceat(weights, starts), np.maximum.reduceat(weights, starts)
    if (low != high).any():
        raise SchemaError(
            "The rows of a group must all have the same weight, since XGBoost weighs whole groups "
            f"when it ranks, and {int((low != high).sum())} of {len(sizes)} groups have different "
            "weights. Give each group one weight, for example its mean."
        )
    return low


def _infinite_columns(data: object) -> list[str]:
    if isinstance(data, pa.Table):
        return [
            item.name
            for item in data.schema
            if pat.is_floating(item.type)
            and pc.any(pc.greater(pc.abs(data.column(item.name)), _MOST)).as_py()
        ]
    if isinstance(data, np.ndarray):
        return [f"#{index}" for index in np.flatnonzero((np.abs(data) > _MOST).any(axis=0))]
    return []


def _boost(
    rank: int,
    train: xgboost.DMatrix,
    evals: list[tuple[xgboost.DMatrix, str]],
    spec: TrainSpec,
    checkpoint: Checkpoint | None,
) -> tuple[xgboost.Booster, dict[str, dict[str, list[float]]], int]:
    import xgboost
    from xgboost import collective

    callbacks = list(spec.callbacks)
    if spec.early_stopping_rounds is not None:
        callbacks.append(xgboost.callback.EarlyStopping(rounds=spec.early_stopping_rounds))
    container = xgboost.callback.CallbackContainer(
        callbacks,
        metric=None if spec.metric is None else _wrap_metric(spec.metric, spec.task),
        output_margin=spec.objective is not None,
    )
    objective = None if spec.objective is None else _wrap_objective(spec.objective)
    start, model = 0, None if spec.start is None else bytearray(spec.start)
    if checkpoint is not None:
        start, model = checkpoint.rounds, bytearray(checkpoint.model)
        container.history.update(checkpoint.history)
    booster = xgboost.Booster(spec.params, [train, *(item for item, _ in evals)], model_file=model)
    booster = container.before_training(booster)
    if checkpoint is not None:
        _restore(callbacks, checkpoint.callbacks)
    pool = None
    metrics = spec.params.get("eval_metric")
    if collective.is_distributed() and needs_all_rows(metrics, spec.metric, spec.task):
        pool = PooledScores(spec.params, evals, container.metric, spec.objective is not None)
    reporter = _Reporter(rank, spec)
    index = start
    for index in range(start, spec.rounds):
        if reporter.agree(container.before_iteration(booster, index, train, evals)):
            break
        booster.update(train, iteration=index, fobj=objective)
        if pool is not None:
            pool.add(booster, index, container.history)
        stop = container.after_iteration(booster, index, train, evals if pool is None else [])
        reporter.finished(index, booster, container.history, callbacks)
        if reporter.agree(stop or reporter.asked_to_stop()):
            break
    booster = container.after_training(booster)
    found: Any = container.history
    history = {
        name: {metric: [float(score) for score in scores] for metric, scores in logs.items()}
        for name, logs in found.items()
    }
    return booster, history, index + 1


class _Reporter:
    """Rank 0's word to the driver, and its decision for all workers when to stop."""

    def __init__(self, rank: int, spec: TrainSpec) -> None:
        self.rank = rank
        self.spec = spec
        self.last_checkpoint = time.monotonic()

    def agree(self, stop: bool) -> bool:
        """Return rank 0's decision on every worker.

        A callback may decide by the clock or by its own state, and workers that stopped at
        different rounds would leave the others waiting.
        """
        from xgboost import collective

        if not (self.spec.callbacks or self.spec.reports_rounds):
            return stop
        if not collective.is_distributed():
            return stop
        return bool(collective.broadcast(bool(stop), 0))

    def asked_to_stop(self) -> bool:
        if self.rank != 0 or not self.spec.reports_rounds:
            return False
        from raydp_ml.training.gang.channel import stop_requested

        return stop_requested()

    def finished(
        self,
        index: int,
        booster: xgboost.Booster,
        history: EvalsLog,
        callbacks: Sequence[xgboost.callback.TrainingCallback],
    ) -> None:
        if self.rank != 0:
            return
        from raydp_ml.training.gang.channel import report

        if self.spec.reports_rounds:
            model = bytes(booster.save_raw("ubj")) if self.spec.reports_models else None
            report(Round(index, model))
        interval = self.spec.checkpoint_seconds
        if interval is not None and time.monotonic() - self.last_checkpoint >= interval:
            # Copies to the bottom: XGBoost appends to these lists, and the driver fetches later.
            states = tuple(map(_state, callbacks))
            model = bytes(booster.save_raw("ubj"))
            report(Checkpoint(index + 1, model, copy.deepcopy(history), states))
            self.last_checkpoint = time.monotonic()


def _state(callback: xgboost.callback.TrainingCallback) -> bytes | None:
    """Pickle what a callback has come to, so that after a restart it goes on from there."""
    from ray import cloudpickle

    try:
        return bytes(cloudpickle.dumps(vars(callback)))
    except Exception:  # whatever a user's own class raises; it begins anew then
        return None


def _restore(
    callbacks: Sequence[xgboost.callback.TrainingCallback], states: Sequence[bytes | None]
) -> None:
    from ray import cloudpickle

    for callback, state in zip(callbacks, states, strict=True):
        if state is not None:
            vars(callback).update(cloudpickle.loads(state))


def _wrap_objective(
    objective: Callable[..., Gradients],
) -> Callable[[np.ndarray, xgboost.DMatrix], Gradients]:
    takes_weight = "sample_weight" in inspect.signature(objective).parameters
    return partial(_gradients, objective, takes_weight)


def _gradients(
    objective: Callable[..., Gradients],
    takes_weight: bool,
    predictions: np.ndarray,
    matrix: xgboost.DMatrix,
) -> Gradients:
    weight = matrix.get_weight()
    if not weight.size:
        return objective(matrix.get_label(), predictions)
    if not takes_weight:
        raise ValueError(
            "The objective function has no `sample_weight` parameter, and weights were given. "
            "Give it one: objective(y_true, y_pred, sample_weight=None)."
        )
    return objective(matrix.get_label(), predictions, sample_weight=weight)


def _wrap_metric(
    metric: Callable[..., SupportsFloat], task: str
) -> Callable[[np.ndarray, xgboost.DMatrix], tuple[str, float]]:
    return partial(_of_groups if task == "ranking" else _of_rows, metric)


def _name_of(metric: Callable[..., SupportsFloat]) -> str:
    return str(getattr(metric, "__name__", type(metric).__name__))


def _of_rows(
    metric: Callable[..., SupportsFloat], scores: np.ndarray, matrix: xgboost.DMatrix
) -> tuple[str, float]:
    weight = matrix.get_weight()
    weights = {"sample_weight": weight} if weight.size else {}
    return _name_of(metric), float(metric(matrix.get_label(), scores, **weights))


def _of_groups(
    metric: Callable[..., SupportsFloat], scores: np.ndarray, matrix: xgboost.DMatrix
) -> tuple[str, float]:
    ends = matrix.get_uint_info("group_ptr").tolist()
    labels = matrix.get_label()
    # A group of one row has nothing to rank.
    values = [
        1.0 if stop - start == 1 else float(metric(labels[start:stop], scores[start:stop]))
        for start, stop in pairwise(ends)
    ]
    mean = _mean_over_workers(float(np.mean(values)) if values else 0.0, len(values))
    return _name_of(metric), mean


def _mean_over_workers(value: float, size: int) -> float:
    """Weigh each worker's value: XGBoost's own mean gives every worker the same say."""
    from xgboost import collective

    if not collective.is_distributed():
        return float(value)
    total, size = collective.allreduce(np.array([value * size, size]), collective.Op.SUM)
    return float(total / size) if size else 0.0
