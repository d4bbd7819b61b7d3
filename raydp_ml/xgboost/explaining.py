"""``explain``: what each feature adds to a prediction."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import is_spark
from raydp_ml.models.trained_model import TrainedModel
from raydp_ml.xgboost.contributions import BoosterExplainer, contributions
from raydp_ml.xgboost.jvm_rows import rows_for_jvm
from raydp_ml.xgboost.jvm_shapley import packed_shapley

if TYPE_CHECKING:
    from collections.abc import Iterable

    import xgboost
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.columns import Column
    from raydp_ml.exchange.data_kinds import Data

CONTRIBUTIONS, INTERACTIONS = "contributions", "interactions"


class Explainable(TrainedModel):
    """Base of the estimators whose predictions XGBoost explains."""

    _Booster: Any
    missing: float

    @property
    def _missing(self) -> float:
        # XGBoost writes it as JSON, which knows no numbers of NumPy's.
        return float(self.missing)

    def explain(self, X: Data, *, interactions: bool = False) -> Any:
        """Split each prediction into what the features add to it: its SHAP values.

        A row's contributions add up to the output before the link function (the margin): the
        prediction of a regressor of squared errors, the log-odds of a binary classifier, the score
        of each class or target of others. After early stopping, only the best rounds count, as in
        ``predict``.

        Parameters
        ----------
        X : Spark DataFrame, or any in-memory kind that ``fit`` takes
        interactions : bool, default=False
            Whether to split the contributions further, into those of pairs of features, by far
            slower.

        Returns
        -------
        pyspark.sql.DataFrame, or ndarray of shape (n_samples, n_features_in_ + 1) or \
(n_samples, n_outputs, n_features_in_ + 1)
            The features in the order of `feature_names_in_`, then the bias, which is the same for
            all rows; for each class where there are more than two of them, for each target where
            there are several. With `interactions`, one more axis of n_features_in_ + 1.

            For Spark, lazily: the same DataFrame plus the column "contributions" (or
            "interactions"), an array of doubles, or of such arrays.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        SchemaError
            As ``predict``, of the column "contributions" or "interactions".
        InvalidParameterError
            For trees of several outputs (``multi_strategy="multi_output_tree"``), which XGBoost
            explains from 3.4 on.

        Notes
        -----
        The values are those of XGBoost's ``Booster.predict(pred_contribs=True)``: path-dependent
        TreeSHAP [1]_ for trees. On Spark the JVM computes them from trees, in double precision; for
        linear boosters and interactions, Spark's Python workers call XGBoost. XGBoost itself
        computes in single precision, which shows in deep trees.

        The last step of a Pipeline explains what the steps before it make:
        ``pipe[-1].explain(pipe[:-1].transform(df))``.

        References
        ----------
        .. [1] S. Lundberg, G. Erion, S.-I. Lee, "Consistent Individualized Feature Attribution
           for Tree Ensembles", 2018, https://arxiv.org/abs/1802.03888

        Examples
        --------
        >>> from raydp_ml.xgboost import XGBRegressor
        >>> model = XGBRegressor(n_estimators=1, max_depth=1, learning_rate=1, reg_lambda=0)
        >>> model = model.fit([[0.0, 5.0], [1.0, 5.0]], [1.0, 3.0])
        >>> model.explain([[0.0, 5.0], [1.0, 5.0]]).tolist()
        [[-1.0, 0.0, 2.0], [1.0, 0.0, 2.0]]
        """
        check_is_fitted(self)
        if is_spark(X):
            return self._with_explanation(X, interactions)
        parts = [
            contributions(self._Booster, rows, self._missing, interactions)
            for rows in self._features(X)
        ]
        return np.concatenate(parts).astype(np.float64)

    def _with_explanation(self, df: DataFrame, interactions: bool) -> DataFrame:
        nothing = np.full((1, self.n_features_in_), np.nan, dtype=np.float32)
        of_nothing = contributions(self._Booster, nothing, self._missing)
        name = INTERACTIONS if interactions else CONTRIBUTIONS
        depth = of_nothing.ndim - 1 + interactions
        explainer = BoosterExplainer(self._layout, name, None, self._missing, depth)
        in_jvm = partial(shapley_column, self._Booster, explainer, of_nothing[0, ..., -1])
        return self._add_prediction(
            df,
            name,
            None,
            explainer,
            lambda: bytes(self._Booster.save_raw("ubj")),
            None if interactions else in_jvm,
            method="explain",
        )

    def _features(self, X: Any) -> Iterable[Any]:
        """Check an in-memory X; return its rows, in one part or several, as XGBoost takes them."""
        raise NotImplementedError


def shapley_column(
    booster: xgboost.Booster,
    explainer: BoosterExplainer,
    bias: np.ndarray,
    df: DataFrame,
    columns: list[Column],
) -> SparkColumn | None:
    """Make the column of contributions within the JVM, where it can walk the booster's trees.

    Parameters
    ----------
    booster : xgboost.Booster
    explainer : BoosterExplainer
        What is asked for.
    bias : ndarray of shape () or (n_outputs,)
    df : pyspark.sql.DataFrame
    columns : list of Column
        The features.

    Returns
    -------
    pyspark.sql.Column or None
    """
    rows = rows_for_jvm(df, columns, explainer.layout.features)
    trees = None if rows is None else packed_shapley(booster, np.atleast_1d(bias))
    if rows is None or trees is None:
        return None
    return trees.column(df, rows, explainer.missing, several=bias.ndim > 0)
