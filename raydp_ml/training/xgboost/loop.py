"""Phase 2 of a fit: each worker builds its matrices and boosts, in step with the others.

Everything here runs on a worker (or in the driver's process, for data in memory): plain
arguments come in, plain data goes out.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import inspect
import io
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, SupportsFloat

import numpy as np
import pyarrow as pa

from raydp_ml.training.rows.data_sets import Part
from raydp_ml.training.rows.kept import made_once
from raydp_ml.training.rows.layout import SPARSE, Layout
from raydp_ml.training.xgboost.batches import (
    Batch,
    batch_of,
    infinite_columns,
    infinite_values,
    types_of,
)
from raydp_ml.training.xgboost.group_weights import weigh_as_one_worker
from raydp_ml.training.xgboost.refusals import named_columns
from raydp_ml.training.xgboost.scores import PooledScores, needs_all_rows
from raydp_ml.training.xgboost.spec import Checkpoint, Outcome, Round, TrainSpec

if TYPE_CHECKING:
    import xgboost

    from raydp_ml.training.xgboost.spec import EvalsLog, Gradients


def train_worker(
    rank: int | None,
    parts: Sequence[Part],
    spec: TrainSpec,
    communicator: dict[str, Any] | None,
    checkpoint: Checkpoint | None,
) -> Outcome | None:
    """Train on this worker's rows, in step with the other workers.

    Parameters
    ----------
    rank : int or None
        Among the workers that have rows to train on; None for one that has not.
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
    if rank is None:
        return None
    import xgboost

    verbosity = spec.params.get("verbosity")
    settings = {} if verbosity is None else {"verbosity": verbosity}
    with (
        xgboost.config_context(**settings),
        _joined(communicator, rank),
        _scratch(spec) as folder,
    ):
        return _train(rank, parts, spec, checkpoint, folder)


def _train(
    rank: int,
    parts: Sequence[Part],
    spec: TrainSpec,
    checkpoint: Checkpoint | None,
    folder: str | None,
) -> Outcome | None:
    """Build the matrices and boost; at the end nothing refers to the matrices' files."""
    train, evals = build_matrices(parts, spec, folder)
    with named_columns(parts[0].layout):
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


@contextlib.contextmanager
def _scratch(spec: TrainSpec) -> Iterator[str | None]:
    """Lend a folder for what does not fit into memory, where that is so."""
    if not spec.external:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="raydp_ml-", ignore_cleanup_errors=True) as folder:
        yield folder
        gc.collect()  # XGBoost removes the files of a matrix with it, and warns where they are gone


def build_matrices(
    parts: Sequence[Part], spec: TrainSpec, folder: str | None
) -> tuple[xgboost.DMatrix, list[tuple[xgboost.DMatrix, str]]]:
    """Build the matrix to train on and those to evaluate on.

    A worker without rows to evaluate on builds an empty matrix: XGBoost adds up the scores of all
    workers, and would wait for one that stayed away.
    """
    if folder is not None:
        from raydp_ml.training.xgboost.external import external_matrices

        train, held_out_sets = external_matrices(parts, spec, folder)
    else:
        first, *others = parts
        train = build_matrix(first.read(), first.layout, spec, None)
        held_out_sets = [build_matrix(part.read(), part.layout, spec, train) for part in others]
    if spec.task == "ranking" and parts[0].layout.weight is not None:
        weigh_as_one_worker(train)
    return train, _named(held_out_sets)


def _named(evals: Sequence[xgboost.DMatrix]) -> list[tuple[xgboost.DMatrix, str]]:
    return [(matrix, f"validation_{index}") for index, matrix in enumerate(evals)]


def build_matrix(
    table: pa.Table, layout: Layout, spec: TrainSpec, ref: xgboost.DMatrix | None
) -> xgboost.DMatrix:
    """Build one matrix; `ref` is the training matrix for an evaluation set."""
    batch = batch_of(table, layout, spec, trains=ref is None)
    make = partial(_new_matrix, batch, spec, ref)
    # An evaluation set shares the split points of its training matrix.
    if ref is not None:
        matrix = make()
    else:
        matrix = made_once(batch.table, _column_names(layout), partial(_about, batch, spec), make)
    if batch.labels:
        matrix.set_info(**batch.labels)
    return matrix


def _about(batch: Batch, spec: TrainSpec) -> tuple[object, ...]:
    """Return what a training matrix depends on beside the features; labels are set in it."""
    # XGBoost weighs the rows where it looks for split points.
    weighing = [batch.weighing.get(name) for name in ("weight", "group")]
    return (
        "matrix",
        spec.quantile,
        spec.max_bin,
        repr(batch.layout),
        repr(sorted(spec.matrix.items())),
        *(
            None if array is None else np.asarray(array).tobytes()
            for array in (*weighing, spec.feature_weights)
        ),
    )


def _column_names(layout: Layout) -> list[str]:
    return list(SPARSE) if layout.sparse is not None else [item.name for item in layout.features]


def _new_matrix(batch: Batch, spec: TrainSpec, ref: xgboost.DMatrix | None) -> xgboost.DMatrix:
    import xgboost

    arguments: dict[str, Any] = {**spec.matrix, **batch.features(), **batch.weighing}
    arguments["feature_types"] = types_of(batch.layout, spec, ref)
    if ref is None and spec.feature_weights is not None:
        arguments["feature_weights"] = spec.feature_weights
    try:
        if spec.quantile:
            return xgboost.QuantileDMatrix(**arguments, ref=ref, max_bin=spec.max_bin)
        return xgboost.DMatrix(**arguments)
    except xgboost.core.XGBoostError as error:
        columns = infinite_columns(arguments["data"]) if "inf" in str(error) else []
        if not columns:
            raise
        raise infinite_values(columns) from error


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
