"""What XGBoost does not do over several workers, as its source and its models show.

Where it says nothing itself, each worker would go on with a model of its own, and the first one's
would be taken for the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raydp_ml.exceptions import SchemaError

# Scores that depend on all rows at once, for which XGBoost refuses several workers; the scores of
# `xgboost_scores` would not help, since it asks for the workers only.
_METRICS = frozenset({"ams", "cox-nloglik"})
# Gradients from the order of all rows: from each worker's own, without a word.
_OBJECTIVES = frozenset({"survival:cox"})
# Leaves are means of the workers' own quantiles, and a worker without rows has none.
_OBJECTIVES_OF_QUANTILES = frozenset({"reg:absoluteerror", "reg:quantileerror"})


def needs_one_worker(params: Mapping[str, Any], metrics: Sequence[str]) -> str | None:
    """Say which parameter XGBoost has for one worker only, and what may stand in its place.

    Parameters
    ----------
    params : dict
        All parameters of the booster.
    metrics : sequence of str

    Returns
    -------
    str or None
        For an error; None where several workers will do.
    """
    if params.get("booster") == "gblinear":
        return "booster='gblinear' (several workers can train 'gbtree' and 'dart')"
    if params.get("tree_method") == "exact":
        return "tree_method='exact' (several workers can train 'hist' and 'approx')"
    if "grow_colmaker" in str(params.get("updater")):
        return f"updater={params['updater']!r} (several workers can train tree_method='hist')"
    if str(params.get("lambdarank_unbiased")).lower() in {"true", "1"}:
        return "lambdarank_unbiased=True"
    if params.get("objective") in _OBJECTIVES:
        return f"objective={params['objective']!r}"
    for metric in metrics:
        if metric.partition("@")[0] in _METRICS:
            return f"eval_metric={metric!r}"
    return None


def require_rows_everywhere(rows: int, params: Mapping[str, Any]) -> None:
    """Raise where a worker has no rows to train on, and the workers would part (on each worker).

    Parameters
    ----------
    rows : int
        This worker's.
    params : dict
        Parameters of the booster.

    Raises
    ------
    SchemaError
        On every worker alike.
    """
    from xgboost import collective

    what = None
    if params.get("objective") in _OBJECTIVES_OF_QUANTILES:
        what = f"objective={params['objective']!r}"
    elif params.get("booster") == "dart" and (params.get("subsample") or 1) < 1:
        # Which trees are dropped is drawn after the rows, and no rows draw nothing.
        what = "booster='dart' with subsample"
    if what is None or not collective.is_distributed():
        return
    if collective.allreduce(np.array([rows]), collective.Op.MIN)[0] == 0:
        raise SchemaError(
            f"{what} needs rows to train on at each of the {collective.get_world_size()} workers, "
            "and one has none (weights of zero and validation rows do not count). Pass a smaller "
            "num_workers, or repartition the data."
        )
