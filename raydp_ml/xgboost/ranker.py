"""`XGBRanker`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from raydp_ml.base import is_spark
from raydp_ml.fit_data.given import Given
from raydp_ml.fit_data.memory_data import require_y, row_count
from raydp_ml.fit_data.targets import check_group, groups_of_sizes
from raydp_ml.models.trained_model import fit_context
from raydp_ml.spark_jobs.scores import PREDICTION, ndcg, spark_ndcg
from raydp_ml.xgboost.model import XGBModel
from raydp_ml.xgboost.parameters import CONSTRAINTS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from xgboost.callback import TrainingCallback

    from raydp_ml.exchange.data_kinds import Data, EvalSets, Values
    from raydp_ml.xgboost.constraints import Interaction, Monotone
    from raydp_ml.xgboost.continuing import StartModel
    from raydp_ml.xgboost.parameters import EvalMetric, Objective


class XGBRanker(XGBModel):
    """Learning to rank with XGBoost, on Spark data or in memory.

    Rows of a group (a query's documents, say) are ranked among each other.

    Parameters
    ----------
    objective : str, default="rank:ndcg"
        One of XGBoost's ranking objectives.
    **params
        All other parameters are those of `XGBRegressor`.

    Attributes
    ----------
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Defined when X has names.
    feature_importances_ : ndarray of shape (n_features_in_,)
    evals_result_ : dict of str to dict of str to list of float
    best_iteration : int
    best_score : float
        Defined after early stopping.

    Notes
    -----
    On several workers a group is never cut in two. Weights are weights of groups: all rows of a
    group must have the same.
    """

    _task_kind = "ranking"
    _xgboost_class = "XGBRanker"
    _parameter_constraints: ClassVar[dict[str, list[object]]] = {**CONSTRAINTS, "objective": [str]}

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
        objective: Objective = "rank:ndcg",
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
        group: Values | None = None,
        qid: Values | None = None,
        sample_weight: Values | None = None,
        base_margin: Values | None = None,
        eval_set: EvalSets | None = None,
        eval_group: Sequence[Values] | None = None,
        eval_qid: Sequence[Values] | None = None,
        xgb_model: StartModel | None = None,
        sample_weight_eval_set: Sequence[Values | None] | None = None,
        base_margin_eval_set: Sequence[Values | None] | None = None,
    ) -> XGBRanker:
        """Train on the rows of X.

        XGBoost breaks ties by the order of the rows within a group: those of a Spark DataFrame
        keep the order that they have in it, so that a DataFrame in another order may give another
        model, as an array does.

        Parameters
        ----------
        X, base_margin, eval_set, xgb_model, sample_weight_eval_set, base_margin_eval_set
            As in `XGBRegressor.fit`.
        y : str or array-like of shape (n_samples,), default=None
            Relevance of each row; a column's name where X has names.
        group : str or array-like of int, default=None
            A column's name where X has names, else the sizes of consecutive groups. None takes
            the column with the role "group" (Spark).
        qid : str or array-like of shape (n_samples,), default=None
            A column's name where X has names, else the group of each row.
        sample_weight : str or array-like of shape (n_samples,) or (n_groups,), default=None
            The same for all rows of a group.
        eval_group, eval_qid : list, default=None
            The same as `group` and `qid` for each in-memory evaluation set.

        Returns
        -------
        XGBRanker
            Itself, fitted.

        Raises
        ------
        ValueError
            If nothing says what the groups are, or more than one argument does.
        SchemaError
            As `XGBRegressor.fit`.
        """
        spark = is_spark(X)
        groups = _one_group(group, qid, X)
        if not spark:
            require_y(self, y)
        if groups is None and not spark:
            raise ValueError(
                "XGBRanker needs to know which rows are ranked together. Pass qid (the group of "
                "each row, or a column's name) or group (the sizes of consecutive groups)."
            )
        eval_groups = None
        if eval_group is not None or eval_qid is not None:
            none = [None] * len(eval_qid or eval_group or ())
            sizes = none if eval_group is None else eval_group
            ids = none if eval_qid is None else eval_qid
            sets = cast("Sequence[Any]", eval_set or [])
            if not len(sizes) == len(ids) == len(sets):
                raise ValueError(
                    f"eval_group and eval_qid hold the groups of each evaluation set: there are "
                    f"{len(sets)} in eval_set, and the groups of {len(sizes)}."
                )
            frames = [item[0] if isinstance(item, (tuple, list)) else item for item in sets]
            eval_groups = [_one_group(*given) for given in zip(sizes, ids, frames, strict=True)]
        elif eval_set is not None and not spark:
            if not isinstance(groups, str):
                raise ValueError("Evaluation sets need groups too. Pass eval_qid or eval_group.")
            eval_groups = [groups] * len(cast("list[object]", eval_set))
        given = Given(
            y,
            sample_weight,
            base_margin,
            groups,
            eval_set,
            sample_weight_eval_set,
            base_margin_eval_set,
            eval_groups,
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
        """Predict the score that rows are ranked by, highest first.

        Parameters
        ----------
        X : Spark DataFrame, or any in-memory kind that ``fit`` takes
        output_margin, iteration_range, base_margin
            As in `XGBRegressor.predict`.

        Returns
        -------
        pyspark.sql.DataFrame or ndarray of shape (n_samples,)
            For Spark, lazily: the same DataFrame plus the column `prediction_col`.

        Raises
        ------
        SchemaError
            If a feature is missing, or there is a column `prediction_col` already.
        """
        return self._predicted(
            X,
            "value",
            output_margin=output_margin,
            iteration_range=iteration_range,
            base_margin=base_margin,
        )

    def score(
        self,
        X: Data,
        y: Values | None = None,
        *,
        group: Values | None = None,
        qid: Values | None = None,
    ) -> float:
        """Return the mean NDCG over the groups, with XGBoost's exponential gain.

        Rows of one prediction share their places, as in `sklearn.metrics.ndcg_score`.

        Parameters
        ----------
        X : as in ``predict``
        y : str or array-like of shape (n_samples,), default=None
        group, qid
            As in ``fit``. Data in memory without groups is one group.

        Returns
        -------
        float
        """
        groups = _one_group(group, qid, X)
        if is_spark(X):
            predicted = self._with_prediction(X, PREDICTION, "prediction_col", "value")
            return spark_ndcg(X, predicted, y, groups)
        rows, labels, given = self._score_inputs(X, y, groups)
        of = None if given is None else check_group(given, labels)
        return ndcg(labels, self.predict(rows), of)


def _one_group(group: Values | None, qid: Values | None, X: Data) -> Values | None:
    """Return the groups as a column's name or one id for each row."""
    if group is not None and qid is not None:
        raise ValueError("group and qid say the same thing twice. Pass one of them.")
    if group is None or isinstance(group, str):
        return qid if group is None else group
    if is_spark(X):
        raise ValueError("With a Spark DataFrame, group is the name of the column of the groups.")
    return groups_of_sizes(group, row_count(X))
