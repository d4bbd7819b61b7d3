"""Pictures of a fitted model, by matplotlib (the extra ``[plots]``)."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

from sklearn.utils._param_validation import Interval, validate_parameter_constraints

from raydp_ml.models.metric_plot import check_can_draw, chosen_metric, plot_scores
from raydp_ml.models.trained_model import TrainedModel
from raydp_ml.xgboost.output import importance_kind, is_linear
from raydp_ml.xgboost.parameters import IMPORTANCE_TYPES

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Plottable(TrainedModel):
    """Base of the estimators that draw what XGBoost has learned."""

    importance_type: str | None

    def plot_importance(
        self,
        *,
        importance_type: str | None = None,
        max_num_features: int | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes:
        """Draw the importance of the features that the model uses, as bars.

        Parameters
        ----------
        importance_type : {"gain", "weight", "cover", "total_gain", "total_cover"}, default=None
            As in `xgboost.Booster.get_score`. None takes that of `feature_importances_`, which the
            parameter ``importance_type`` sets: "gain" unless it is given.
        max_num_features : int, default=None
            Draw the most important ones only.
        ax : matplotlib.axes.Axes, default=None
            None makes a figure.
        **kwargs
            Further arguments of `xgboost.plot_importance`, which draws.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ImportError
            Without matplotlib.
        InvalidParameterError
            For another `importance_type`, or a `max_num_features` below 1.
        ValueError
            If the model uses no feature, or is linear with several outputs, where a feature has an
            importance for each, or is linear and `importance_type` is of trees.
        """
        check_can_draw(self, "plot_importance")
        validate_parameter_constraints(
            {
                "importance_type": IMPORTANCE_TYPES,
                "max_num_features": [Interval(Integral, 1, None, closed="left"), None],
            },
            {"importance_type": importance_type, "max_num_features": max_num_features},
            "plot_importance",
        )
        import xgboost

        kind = importance_kind(importance_type or self.importance_type, is_linear(self._Booster))
        scores = self._Booster.get_score(importance_type=kind)
        if any(isinstance(score, list) for score in scores.values()):
            raise ValueError(
                "A linear model of several outputs has a coefficient of a feature for each of "
                "them. coef_ holds them."
            )
        if not scores:
            raise ValueError("The model splits by no feature: there is no importance to draw.")
        # XGBoost writes values one unit beside their bars, whatever a unit is.
        writes = not {"show_values", "values_format"} & set(kwargs)
        given: dict[str, Any] = {"xlabel": f"Importance ({kind})"}
        if writes:
            given["show_values"] = False
        if min(scores.values()) < 0:  # coefficients
            given["xlim"] = tuple(1.1 * end(0, end(scores.values())) for end in (min, max))
        ax = xgboost.plot_importance(
            scores, ax=ax, max_num_features=max_num_features, **{**given, **kwargs}
        )
        if writes:
            bars: Any = ax.containers[-1]
            ax.bar_label(bars, fmt="%.4g", padding=3)
        # Names of columns are no formulas, though there may be dollar signs in them.
        ax.set_yticklabels([text.get_text() for text in ax.get_yticklabels()], parse_math=False)
        return ax

    def plot_tree(self, *, tree_idx: int = 0, ax: Axes | None = None, **kwargs: Any) -> Axes:
        """Draw one tree.

        It needs Graphviz beside matplotlib: its package for Python and the program ``dot``.

        Parameters
        ----------
        tree_idx : int, default=0
            The number of the tree; those of one round go by class.
        ax : matplotlib.axes.Axes, default=None
            None makes a figure.
        **kwargs
            Further arguments of `xgboost.plot_tree`, which draws.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ImportError
            Without matplotlib, graphviz or its program.
        IndexError
            If there is no such tree.
        ValueError
            If the model is linear.
        """
        check_can_draw(self, "plot_tree")
        if is_linear(self._Booster):
            raise ValueError("A linear booster has no trees to draw.")
        import xgboost

        try:
            import graphviz
        except ImportError as error:
            raise ImportError(_NEEDS_GRAPHVIZ) from error
        trees = len(self._Booster.get_dump())
        if not -trees <= tree_idx < trees:
            raise IndexError(
                f"tree_idx must be below {trees}, the number of trees. Got {tree_idx}."
            )
        try:
            return xgboost.plot_tree(self._Booster, tree_idx=tree_idx, ax=ax, **kwargs)
        except graphviz.ExecutableNotFound as error:
            raise ImportError(_NEEDS_GRAPHVIZ) from error

    def plot_metric(
        self, metric: str | None = None, *, ax: Axes | None = None, **kwargs: Any
    ) -> Axes:
        """Draw the scores of the evaluation sets after each round, as `evals_result_` holds them.

        Parameters
        ----------
        metric : str, default=None
            One of those of `evals_result_`. None takes the last one, which early stopping watches.
        ax : matplotlib.axes.Axes, default=None
            None makes a figure.
        **kwargs
            Arguments of `matplotlib.axes.Axes.plot`, for all lines.

        Returns
        -------
        matplotlib.axes.Axes
            With a line for each evaluation set; after early stopping, `best_iteration` is marked.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ImportError
            Without matplotlib.
        ValueError
            If ``fit`` had no evaluation set, or for a metric that there is not.
        """
        check_can_draw(self, "plot_metric")
        found = self.evals_result()
        known = list(next(iter(found.values())))
        metric = chosen_metric(metric, known, known[-1])
        scores = {name: of[metric] for name, of in found.items()}
        return plot_scores(
            scores,
            range(len(next(iter(scores.values())))),
            step_name="iteration",
            metric=metric,
            best=getattr(self, "best_iteration", None),
            ax=ax,
            line_kw=kwargs,
        )


_NEEDS_GRAPHVIZ = (
    "plot_tree needs Graphviz: its package for Python (pip install 'raydp_ml[plots]', or pip "
    "install graphviz) and its program `dot` on PATH (Debian: apt-get install graphviz; conda "
    "install graphviz)."
)
