"""What the plots of trained models share: their checks, and scores by round or epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Private: scikit-learn's own words where matplotlib is missing.
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_is_fitted


def check_can_draw(model: Any, method: str) -> None:
    """Raise unless a model is fitted and matplotlib is installed.

    Raises
    ------
    sklearn.exceptions.NotFittedError, ImportError
    """
    check_is_fitted(model)
    check_matplotlib_support(f"{type(model).__name__}.{method}")


def plot_scores(
    scores: Mapping[str, Sequence[float]],
    steps: Sequence[int],
    *,
    step_name: str,
    metric: str,
    best: int | None,
    ax: Any,
    line_kw: Mapping[str, Any],
) -> Any:
    """Draw a line for each set of rows.

    Parameters
    ----------
    scores : dict of str to sequence of float
        After each step, by the name of the rows.
    steps : sequence of int
    step_name, metric : str
        What the axes show.
    best : int or None
        The step to mark.
    ax : matplotlib.axes.Axes or None
        None for a new figure.
    line_kw : dict
        Arguments of ``ax.plot``.

    Returns
    -------
    matplotlib.axes.Axes
    """
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots()
    # A line of one step would not be seen.
    marker = "o" if len(steps) == 1 else None
    for name, values in scores.items():
        ax.plot(steps, values, **{"label": name, "marker": marker, **line_kw})
    if best is not None:
        ax.axvline(best, color="gray", linestyle=":", label=f"best {step_name} ({best})")
    ax.set_xlabel(step_name)
    ax.set_ylabel(metric)
    ax.legend()
    return ax


def chosen_metric(metric: str | None, known: Sequence[str], default: str) -> str:
    """Return the metric to draw.

    Raises
    ------
    ValueError
        Naming those that there are.
    """
    if metric is None:
        return default
    if metric not in known:
        raise ValueError(f"metric must be one of {list(known)}. Got {metric!r} instead.")
    return metric
