"""Pictures of a fitted network's training, by matplotlib (the extra ``[plots]``)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from raydp_ml.models.metric_plot import check_can_draw, chosen_metric, plot_scores
from raydp_ml.models.trained_model import TrainedModel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SCORE = re.compile(r"(train|validation_\d+)_(\w+)")


class Plottable(TrainedModel):
    """Base of the estimators that draw how their network has learned."""

    history_: list[dict[str, Any]]

    def plot_metric(self, metric: str = "loss", *, ax: Axes | None = None, **kwargs: Any) -> Axes:
        """Draw the losses or scores after each epoch, as `history_` holds them.

        Parameters
        ----------
        metric : str, default="loss"
            Of evaluation sets also "accuracy" (a classifier) or "r2" (a regressor).
        ax : matplotlib.axes.Axes, default=None
            None makes a figure.
        **kwargs
            Arguments of `matplotlib.axes.Axes.plot`, for all lines.

        Returns
        -------
        matplotlib.axes.Axes
            With a line for the training data and for each evaluation set; after early stopping,
            `best_epoch_` is marked.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ImportError
            Without matplotlib.
        ValueError
            For a metric that there is not.
        """
        check_can_draw(self, "plot_metric")
        named = {key: found.groups() for key in self.history_[0] if (found := _SCORE.match(key))}
        metric = chosen_metric(metric, list(dict.fromkeys(of for _, of in named.values())), "loss")
        scores = {
            rows: [record[key] for record in self.history_]
            for key, (rows, of) in named.items()
            if of == metric
        }
        return plot_scores(
            scores,
            [record["epoch"] for record in self.history_],
            step_name="epoch",
            metric=metric,
            best=getattr(self, "best_epoch_", None),
            ax=ax,
            line_kw=kwargs,
        )
