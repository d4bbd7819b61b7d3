"""What XGBoost does not do over several workers, as its source and its models show.

Where it says nothing itself, each worker would go on with a model of its own, and the first one's
would be taken for the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Scores that depend on all rows at once, for which XGBoost refuses several workers; the scores of
# `xgboost_scores` would not help, since it asks for the workers only.
_METRICS = frozenset({"ams", "cox-nloglik"})
# Gradients from the order of all rows: from each worker's own, without a word.
_OBJECTIVES = frozenset({"survival:cox"})


def needs_one_worker(
    params: Mapping[str, Any], metrics: Sequence[str], weighted: bool
) -> str | None:
    """Say which parameter XGBoost has for one worker only, and what may stand in its place.

    Parameters
    ----------
    params : dict
        All parameters of the booster.
    metrics : sequence of str
    weighted : bool
        Whether rows have weights.

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
    if weighted and params.get("objective") == "rank:map":
        # Its code ends the process at the groups without rows of `weigh_as_one_worker`.
        return (
            "objective='rank:map' with sample weights (several workers can train 'rank:ndcg' and "
            "'rank:pairwise' with them)"
        )
    for metric in metrics:
        if metric.partition("@")[0] in _METRICS:
            return f"eval_metric={metric!r}"
    return None
