"""Scores of evaluation sets that no worker can compute from its own rows.

XGBoost adds up most metrics over the workers. Those that depend on the order of all predictions
(the areas under curves) it computes from each worker's rows and averages: another number than on
one worker, and none at all where a worker has one class only. A function of the user's sees one
worker's rows. Here each worker gets the predictions, labels and weights of all rows instead (not
the features), and XGBoost computes every metric from those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xgboost

    EvalsLog = xgboost.callback.TrainingCallback.EvalsLog
    Metric = Callable[[np.ndarray, xgboost.DMatrix], tuple[str, float]]

# Sums over rows that XGBoost adds up over the workers; and over groups, which are never cut.
_SUMS = frozenset(
    {
        "aft-nloglik",
        "error",
        "gamma-deviance",
        "gamma-nloglik",
        "interval-regression-accuracy",
        "logloss",
        "mae",
        "mape",
        "merror",
        "mlogloss",
        "mphe",
        "poisson-nloglik",
        "quantile",
        "rmse",
        "rmsle",
        "tweedie-nloglik",
    }
)
_SUMS_OF_GROUPS = frozenset({"map", "ndcg", "pre"})
# Parameters that say what trees are like, or where: there are none.
_OF_TREES = frozenset(
    {
        "booster",
        "device",
        "interaction_constraints",
        "monotone_constraints",
        "multi_strategy",
        "process_type",
        "tree_method",
        "updater",
    }
)


def needs_all_rows(
    metrics: str | Sequence[str] | None, function: Callable[..., object] | None, task: str
) -> bool:
    """Say whether a score cannot be added up over the workers.

    Parameters
    ----------
    metrics : str, sequence of str or None
        XGBoost's own metrics; the default ones of all objectives can be added up.
    function : callable or None
        The user's own.
    task : {"regression", "classification", "ranking"}
        A function that scores a ranking is called for each group, and a group is never cut.
    """
    names = [metrics] if isinstance(metrics, str) else metrics or []
    if function is not None and task != "ranking":
        return True
    # Without groups all rows are one.
    sums = _SUMS | _SUMS_OF_GROUPS if task == "ranking" else _SUMS
    return any(name.partition("@")[0].rstrip("-") not in sums for name in names)


class PooledScores:
    """Scores the evaluation sets of all workers, on each of them.

    Parameters
    ----------
    params : dict
        Parameters of the booster.
    evals : sequence of (xgboost.DMatrix, str)
        This worker's evaluation sets.
    function : callable or None
        The user's metric, as XGBoost takes it.
    output_margin : bool
        Whether the function gets predictions before the link function.
    """

    def __init__(
        self,
        params: dict[str, Any],
        evals: Sequence[tuple[xgboost.DMatrix, str]],
        function: Metric | None,
        output_margin: bool,
    ) -> None:
        import xgboost

        self.own = [(matrix, _Place(matrix.num_row())) for matrix, _ in evals]
        self.pooled = [
            (_pooled(matrix, place), name)
            for (matrix, place), (_, name) in zip(self.own, evals, strict=True)
        ]
        # A model without trees: its prediction is the margin that each row brings along.
        kept = {name: value for name, value in params.items() if name not in _OF_TREES}
        kept |= {"base_score": 0.5, "validate_parameters": False}
        self.scorer = xgboost.Booster(kept, [matrix for matrix, _ in self.pooled])
        self.container = xgboost.callback.CallbackContainer([], function, output_margin)

    def add(self, booster: xgboost.Booster, index: int, history: EvalsLog) -> None:
        """Append the scores of a booster after a round to the history of the training."""
        for (matrix, place), (pooled, _) in zip(self.own, self.pooled, strict=True):
            margin = booster.predict(matrix, output_margin=True)
            pooled.set_base_margin(place.gather(margin))
        self.container.history = history
        self.container.after_iteration(self.scorer, index, self.pooled[0][0], self.pooled)


class _Place:
    """Where this worker's rows stand among those of all workers, which go by rank."""

    def __init__(self, count: int) -> None:
        from xgboost import collective

        counts = np.zeros(collective.get_world_size(), dtype=np.int64)
        rank = collective.get_rank()
        counts[rank] = count
        counts = collective.allreduce(counts, collective.Op.SUM)
        self.count, self.total = count, int(counts.sum())
        self.start = int(counts[:rank].sum())

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Return the values of all rows.

        Parameters
        ----------
        values : ndarray of shape (count,) or (count, k)
            Of this worker's rows; where it has none, of any shape without elements.

        Returns
        -------
        ndarray of shape (total, k)
        """
        from xgboost import collective

        own = values.size // self.count if self.count else 0
        width = int(collective.allreduce(np.array([own]), collective.Op.MAX)[0])
        everything = np.zeros((self.total, width), dtype=values.dtype)
        # Each number is added to zeros.
        everything[self.start : self.start + self.count] = values.reshape(self.count, width)
        summed = collective.allreduce(everything, collective.Op.SUM)
        return summed.reshape(everything.shape)


def _pooled(matrix: xgboost.DMatrix, place: _Place) -> xgboost.DMatrix:
    """Return a matrix of all workers' rows: their labels, weights and groups, without features."""
    import xgboost
    from xgboost import collective

    labels = place.gather(matrix.get_label())
    pooled = xgboost.DMatrix(np.zeros((place.total, 1), dtype=np.float32), label=labels)
    ends = matrix.get_uint_info("group_ptr").astype(np.int64)
    weights = matrix.get_weight()
    found = np.array([len(ends), weights.size])
    any_groups, any_weights = collective.allreduce(found, collective.Op.MAX)
    of_groups = place
    if any_groups:
        sizes = np.diff(ends)
        of_groups = _Place(len(sizes))
        pooled.set_group(of_groups.gather(sizes).ravel())
    if any_weights:
        pooled.set_weight(of_groups.gather(weights).ravel())
    return pooled
