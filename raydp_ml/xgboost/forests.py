"""Random forests: XGBoost's trees, all grown in one round."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

from sklearn.utils._param_validation import InvalidParameterError

from raydp_ml.xgboost.classifier import XGBClassifier
from raydp_ml.xgboost.model import XGBModel
from raydp_ml.xgboost.regressor import XGBRegressor


@contextlib.contextmanager
def _kept() -> Iterator[None]:
    """Keep quiet about XGBoost's own classes of these names, which 3.4 calls deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`XGBRF", FutureWarning)
        yield


class _Forest(XGBModel):
    """What both forests share."""

    @_kept()
    def _genuine(self) -> Any:
        return super()._genuine()

    @_kept()
    def _judged(self, weighted: bool) -> Any:
        given = [name for name in ("early_stopping_rounds", "callbacks") if getattr(self, name)]
        if given:
            raise InvalidParameterError(
                f"{type(self).__name__} grows all of its trees in one round, so that {given} have "
                "no use. Leave them out, or take an estimator that boosts."
            )
        return super()._judged(weighted)


class XGBRFRegressor(_Forest, XGBRegressor):
    """Random forest of regression trees with XGBoost, on Spark data or in memory.

    Each of `n_estimators` trees is grown on a sample of the rows and of the features at each split;
    predictions are their mean.

    Parameters
    ----------
    learning_rate : float, default=1.0
    subsample : float, default=0.8
        Share of the rows that a tree is grown on.
    colsample_bynode : float, default=0.8
        Share of the features that a split chooses from.
    reg_lambda : float, default=1e-5
    **params
        All other parameters are those of `XGBRegressor`, but `early_stopping_rounds` and
        `callbacks`. `n_estimators` is the number of trees.

    Attributes
    ----------
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Defined when X has names.
    feature_importances_ : ndarray of shape (n_features_in_,)
    evals_result_ : dict of str to dict of str to list of float

    See Also
    --------
    XGBRegressor : Boosting, with all parameters described.

    Examples
    --------
    >>> import numpy as np
    >>> from raydp_ml.xgboost import XGBRFRegressor
    >>> X, y = np.arange(20.0).reshape(10, 2), np.arange(10.0)
    >>> XGBRFRegressor(n_estimators=5).fit(X, y).get_booster().num_boosted_rounds()
    1
    """

    _xgboost_class = "XGBRFRegressor"

    def __init__(
        self,
        *,
        learning_rate: float | None = 1.0,
        subsample: float | None = 0.8,
        colsample_bynode: float | None = 0.8,
        reg_lambda: float | None = 1e-5,
        **params: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            subsample=subsample,
            colsample_bynode=colsample_bynode,
            reg_lambda=reg_lambda,
            **params,
        )


class XGBRFClassifier(_Forest, XGBClassifier):
    """Random forest of classification trees with XGBoost, on Spark data or in memory.

    Each of `n_estimators` trees (of each class) is grown on a sample of the rows and of the
    features at each split.

    Parameters
    ----------
    learning_rate, subsample, colsample_bynode, reg_lambda
        As in `XGBRFRegressor`.
    **params
        All other parameters are those of `XGBClassifier`, but `early_stopping_rounds` and
        `callbacks`. `n_estimators` is the number of trees.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Defined when X has names.
    feature_importances_ : ndarray of shape (n_features_in_,)
    evals_result_ : dict of str to dict of str to list of float

    See Also
    --------
    XGBClassifier : Boosting.

    Examples
    --------
    >>> import numpy as np
    >>> from raydp_ml.xgboost import XGBRFClassifier
    >>> X, y = np.arange(20.0).reshape(10, 2), np.array(["no"] * 5 + ["yes"] * 5)
    >>> forest = XGBRFClassifier(min_child_weight=0, random_state=0).fit(X, y)
    >>> forest.predict([[0, 1], [18, 19]])
    array(['no', 'yes'], dtype='<U3')
    """

    _xgboost_class = "XGBRFClassifier"

    def __init__(
        self,
        *,
        learning_rate: float | None = 1.0,
        subsample: float | None = 0.8,
        colsample_bynode: float | None = 0.8,
        reg_lambda: float | None = 1e-5,
        **params: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            subsample=subsample,
            colsample_bynode=colsample_bynode,
            reg_lambda=reg_lambda,
            **params,
        )


def _show_all_parameters(forest: type[XGBModel], boosting: type[XGBModel]) -> None:
    """Give a constructor the signature of another one, where scikit-learn finds the parameters."""
    own = inspect.signature(forest.__init__).parameters
    whole = inspect.signature(boosting.__init__)
    shown = [
        own[name] if name in own and name != "self" else parameter
        for name, parameter in whole.parameters.items()
    ]
    vars(forest)["__init__"].__signature__ = whole.replace(parameters=shown)


_show_all_parameters(XGBRFRegressor, XGBRegressor)
_show_all_parameters(XGBRFClassifier, XGBClassifier)
