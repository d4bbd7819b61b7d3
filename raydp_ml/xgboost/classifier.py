"""`XGBClassifier`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from raydp_ml.base import is_spark
from raydp_ml.fit_data.given import Given
from raydp_ml.models.predicting import PredictsClasses
from raydp_ml.models.trained_model import fit_context
from raydp_ml.xgboost.model import XGBModel
from raydp_ml.xgboost.output import LIKELY, gives_classes, probabilities
from raydp_ml.xgboost.parameters import CONSTRAINTS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from xgboost.callback import TrainingCallback

    from raydp_ml.exchange.data_kinds import Data, EvalSets, Values
    from raydp_ml.fit_data.training_data import TrainingData
    from raydp_ml.training.rows.layout import Layout
    from raydp_ml.xgboost.constraints import Interaction, Monotone
    from raydp_ml.xgboost.continuing import StartModel
    from raydp_ml.xgboost.parameters import EvalMetric, Objective


class XGBClassifier(PredictsClasses, XGBModel):
    """Gradient boosting of classification trees with XGBoost, on Spark data or in memory.

    Parameters
    ----------
    objective : str or callable, default="binary:logistic"
        More than two classes are learnt with "multi:softprob"; the parameter stays as it is.
    probability_col : str, default="probability"
        Column that ``predict_proba`` adds to a Spark DataFrame.
    **params
        All other parameters are those of `XGBRegressor`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted: strings, numbers or booleans. Decimals are int64 where all of them are
        whole and fit, else objects of `decimal.Decimal`. Where a row has several labels, their
        places 0, 1, ..., for which there is a prediction of 0 or 1 and a probability each.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Defined when X has names.
    feature_importances_ : ndarray of shape (n_features_in_,)
    evals_result_ : dict of str to dict of str to list of float
    best_iteration : int
    best_score : float
        Defined after early stopping.

    See Also
    --------
    XGBRegressor : The same for numbers, with all parameters described.

    Examples
    --------
    >>> import numpy as np
    >>> from raydp_ml.xgboost import XGBClassifier
    >>> X, y = np.arange(20.0).reshape(10, 2), np.array(["no"] * 5 + ["yes"] * 5)
    >>> XGBClassifier(min_child_weight=0).fit(X, y).predict([[0, 1], [18, 19]])
    array(['no', 'yes'], dtype='<U3')
    """

    _task_kind = "classification"
    _xgboost_class = "XGBClassifier"
    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        **CONSTRAINTS,
        "probability_col": [str],
    }

    classes_: np.ndarray

    def __init__(
        self,
        *,
        n_estimators: int | None = None,
        max_depth: int | None = None,
        max_leaves: int | None = None,
        max_bin: int | None = None,
        grow_policy: str | None = None,
        learning_rate: float | None = None,
        verbosity: int | None = None,
        objective: Objective = "binary:logistic",
        booster: str | None = None,
        tree_method: str | None = None,
        n_jobs: int | None = None,
        gamma: float | None = None,
        min_child_weight: float | None = None,
        max_delta_step: float | None = None,
        subsample: float | None = None,
        sampling_method: str | None = None,
        colsample_bytree: float | None = None,
        colsample_bylevel: float | None = None,
        colsample_bynode: float | None = None,
        reg_alpha: float | None = None,
        reg_lambda: float | None = None,
        scale_pos_weight: float | None = None,
        base_score: float | Sequence[float] | None = None,
        random_state: int | np.random.RandomState | None = None,
        missing: float = np.nan,
        num_parallel_tree: int | None = None,
        monotone_constraints: Monotone | None = None,
        interaction_constraints: Interaction | None = None,
        importance_type: str | None = None,
        device: str | None = None,
        validate_parameters: bool | None = None,
        enable_categorical: bool = False,
        feature_types: Sequence[str] | None = None,
        feature_weights: ArrayLike | None = None,
        max_cat_to_onehot: int | None = None,
        max_cat_threshold: int | None = None,
        multi_strategy: str | None = None,
        eval_metric: EvalMetric | None = None,
        early_stopping_rounds: int | None = None,
        callbacks: Sequence[TrainingCallback] | None = None,
        num_workers: int | None = None,
        cpus_per_worker: int | None = None,
        gpus_per_worker: float = 0,
        resources_per_worker: dict[str, float] | None = None,
        prediction_col: str = "prediction",
        probability_col: str = "probability",
        max_retries: int = 3,
        elastic: bool = True,
        external_memory: bool | None = None,
        **kwargs: Any,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.max_leaves = max_leaves
        self.max_bin = max_bin
        self.grow_policy = grow_policy
        self.learning_rate = learning_rate
        self.verbosity = verbosity
        self.objective = objective
        self.booster = booster
        self.tree_method = tree_method
        self.n_jobs = n_jobs
        self.gamma = gamma
        self.min_child_weight = min_child_weight
        self.max_delta_step = max_delta_step
        self.subsample = subsample
        self.sampling_method = sampling_method
        self.colsample_bytree = colsample_bytree
        self.colsample_bylevel = colsample_bylevel
        self.colsample_bynode = colsample_bynode
        self.reg_alpha = reg_alpha
        self.reg_lambda = reg_lambda
        self.scale_pos_weight = scale_pos_weight
        self.base_score = base_score
        self.random_state = random_state
        self.missing = missing
        self.num_parallel_tree = num_parallel_tree
        self.monotone_constraints = monotone_constraints
        self.interaction_constraints = interaction_constraints
        self.importance_type = importance_type
        self.device = device
        self.validate_parameters = validate_parameters
        self.enable_categorical = enable_categorical
        self.feature_types = feature_types
        self.feature_weights = feature_weights
        self.max_cat_to_onehot = max_cat_to_onehot
        self.max_cat_threshold = max_cat_threshold
        self.multi_strategy = multi_strategy
        self.eval_metric = eval_metric
        self.early_stopping_rounds = early_stopping_rounds
        self.callbacks = callbacks
        self.num_workers = num_workers
        self.cpus_per_worker = cpus_per_worker
        self.gpus_per_worker = gpus_per_worker
        self.resources_per_worker = resources_per_worker
        self.prediction_col = prediction_col
        self.probability_col = probability_col
        self.max_retries = max_retries
        self.elastic = elastic
        self.external_memory = external_memory
        self._keep(kwargs)

    @fit_context
    def fit(
        self,
        X: Data,
        y: Values | None = None,
        *,
        sample_weight: Values | None = None,
        base_margin: Values | None = None,
        eval_set: EvalSets | None = None,
        xgb_model: StartModel | None = None,
        sample_weight_eval_set: Sequence[Values | None] | None = None,
        base_margin_eval_set: Sequence[Values | None] | None = None,
    ) -> XGBClassifier:
        """Train on the rows of X.

        Parameters
        ----------
        X, sample_weight, base_margin, eval_set, sample_weight_eval_set, base_margin_eval_set
            As in `XGBRegressor.fit`.
        y : str, or array-like of shape (n_samples,) or (n_samples, n_labels), default=None
            The classes: strings, numbers or booleans; a column's name where X has names. Several
            columns, or a column of arrays or vectors, say with 0 and 1 which of several labels a
            row has.
        xgb_model : estimator of raydp_ml or xgboost, xgboost.Booster, or path, default=None
            As in `XGBRegressor.fit`. The labels must be among the classes of an estimator of
            raydp_ml; of another model only the number of classes is known.

        Returns
        -------
        XGBClassifier
            Itself, fitted.

        Raises
        ------
        SchemaError
            As `XGBRegressor.fit`, and for labels of one class only.
        """
        given = Given(
            y,
            sample_weight,
            base_margin,
            eval_set=eval_set,
            eval_weight=sample_weight_eval_set,
            eval_margin=base_margin_eval_set,
        )
        self._fit(X, given, xgb_model)
        return self

    def predict(
        self,
        X: Data,
        *,
        output_margin: bool = False,
        iteration_range: tuple[int, int] | None = None,
        base_margin: Values | None = None,
    ) -> Any:
        """Predict the class.

        Parameters
        ----------
        X : Spark DataFrame, or any in-memory kind that ``fit`` takes
        output_margin : bool, default=False
            Whether to give the output before the link function, in place of the class.
        iteration_range : (int, int), default=None
            First of the rounds that count, and the end, which does not. None takes the best after
            early stopping, else all.
        base_margin : str, or array-like of shape (n_samples,) or (n_samples, n_outputs), \
default=None
            As in ``fit``; for Spark a column's name.

        Returns
        -------
        pyspark.sql.DataFrame, or ndarray of shape (n_samples,) or (n_samples, n_classes)
            For Spark, lazily: the same DataFrame plus the column `prediction_col`, of the
            label's type (a label of decimals keeps precision and scale). In a Pipeline, the same
            that the Pipeline got. The margin of two classes is one number, that of more an array.

        Raises
        ------
        SchemaError, ValueError
            As `XGBRegressor.predict`.
        """
        options: dict[str, Any]
        options = {"iteration_range": iteration_range, "base_margin": base_margin}
        if output_margin:
            return self._predicted(X, "value", output_margin=True, **options)
        if is_spark(X):
            return self._predicted(X, "class", **options)
        shares = self._shares(X, **options)  # raises before there are classes_
        if self._n_targets:
            return (shares > LIKELY).astype(np.int64)
        best = shares.argmax(axis=1)
        return self.classes_[best]

    def predict_proba(
        self,
        X: Data,
        *,
        iteration_range: tuple[int, int] | None = None,
        base_margin: Values | None = None,
    ) -> Any:
        """Predict the probability of each class.

        Parameters
        ----------
        X, iteration_range, base_margin
            As in ``predict``.

        Returns
        -------
        pyspark.sql.DataFrame or ndarray of shape (n_samples, n_classes)
            In the order of `classes_`. For Spark, lazily: the same DataFrame plus the column
            `probability_col`, an array of doubles.

        Raises
        ------
        SchemaError, ValueError
            As ``predict``, of `probability_col`.
        """
        options: dict[str, Any]
        options = {"iteration_range": iteration_range, "base_margin": base_margin}
        if is_spark(X):
            return self._predicted(X, "probability", **options)
        return self._shares(X, **options)

    def _described(
        self, layout: Layout, classes: np.ndarray | None, data: TrainingData
    ) -> dict[str, Any]:
        described = super()._described(layout, classes, data)
        return (
            described
            if classes is not None
            else {**described, "classes_": np.arange(layout.targets)}
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _shares(self, X: Data, **options: Any) -> np.ndarray:
        output = self._predicted(X, "probability", **options)
        if self._n_targets:
            return output.reshape(len(output), -1).astype(np.float64)
        return probabilities(output, gives_classes(self._Booster)).astype(np.float64)

    def _genuine_object(self) -> Any:
        made = super()._genuine_object()
        classes = getattr(self, "classes_", None)
        if classes is None or np.array_equal(classes, np.arange(len(classes))):
            return made
        return _with_labels(made, self._genuine(), classes)


def _with_labels(fitted: Any, unfitted: Any, classes: np.ndarray) -> Any:
    """Return scikit-learn's own vote of one classifier, which knows labels by their places."""
    from sklearn.ensemble import VotingClassifier
    from sklearn.preprocessing import LabelEncoder
    from sklearn.utils import Bunch

    name = "xgbclassifier"
    made = VotingClassifier([(name, unfitted)], voting="soft")
    made.le_ = LabelEncoder()
    made.le_.classes_ = made.classes_ = classes
    made.estimators_ = [fitted]
    made.named_estimators_ = Bunch(**{name: fitted})
    if hasattr(fitted, "feature_names_in_"):
        made.feature_names_in_ = fitted.feature_names_in_
    return made
