"""Weights of ranking groups that mean on each worker what they mean on one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xgboost


def weigh_as_one_worker(matrix: xgboost.DMatrix) -> None:
    """Have a worker's groups weigh as they would in a matrix of all workers' groups.

    XGBoost's ranking objectives divide each weight by the mean weight of the groups of their own
    matrix (``RankingCache`` in its ``src/common/ranking_utils.cc``), so that no scaling of one
    worker's weights has any effect. Groups without rows have: they count in that mean alone.
    Enough of them are appended for it to become the mean of all workers' groups.

    Parameters
    ----------
    matrix : xgboost.DMatrix
        The rows to train on, weighted, with or without such groups; a worker may have no rows.
        Those to evaluate on need none: XGBoost adds up their weights over the workers.
    """
    from xgboost import collective

    weights = matrix.get_weight()
    found = np.diff(matrix.get_uint_info("group_ptr").astype(np.int64))
    weights, sizes = weights[found > 0], found[found > 0]
    own = np.array([len(sizes), weights.sum(dtype=np.float64)])
    count, total = own
    if collective.is_distributed():
        count, total = collective.allreduce(own, collective.Op.SUM)
    if not len(sizes):
        return
    filling = _filling(len(sizes), own[1], total / count)
    if len(filling) or len(sizes) < len(found):
        sizes = np.concatenate([sizes, np.zeros(len(filling), dtype=np.int64)])
        matrix.set_info(weight=np.concatenate([weights, filling]), group=sizes)


def _filling(count: int, total: float, mean: float) -> np.ndarray:
    """Return the fewest weights that give `count` weights of the sum `total` another mean."""
    if total / count == mean:
        return np.zeros(0)
    filling = np.zeros(max(1, math.ceil(total / mean - count)))
    filling[0] = max(0.0, (count + len(filling)) * mean - total)
    return filling
