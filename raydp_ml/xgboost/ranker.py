"""`XGBRanker`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from raydp_ml.base import kind_of
from raydp_ml.fit_data.memory_data import require_y
from raydp_ml.fit_data.targets import groups_of_sizes
from raydp_ml.scoring import PREDICTION, ndcg, spark_ndcg
from raydp_ml.trained_model import fit_context
from raydp_ml.xgboost.model import XGBModel
from raydp_ml.xgboost.parameters import CONSTRAINTS


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
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {**CONSTRAINTS, "objective": [str]}

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
        objective: Any = "rank:ndcg",
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
        base_score: Any = None,
        random_state: Any = None,
        missing: float = np.nan,
        num_parallel_tree: int | None = None,
        monotone_constraints: Any = None,
        interaction_constraints: Any = None,
        importance_type: str | None = None,
        device: str | None = None,
        validate_parameters: bool | None = None,
        enable_categorical: bool = False,
        feature_types: Any = None,
        feature_weights: Any = None,
        max_cat_to_onehot: int | None = None,
        max_cat_threshold: int | None = None,
        multi_strategy: str | None = None,
        eval_metric: Any = None,
        early_stopping_rounds: int | None = None,
        callbacks: Any = None,
        num_workers: int | None = None,
        cpus_per_worker: int | None = None,
        gpus_per_worker: float = 0,
        resources_per_worker: dict[str, float] | None = None,
        prediction_col: str = "prediction",
        max_retries: int = 3,
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
        self._keep(kwargs)

    @fit_context
    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        group: Any = None,
        qid: Any = None,
        sample_weight: Any = None,
        eval_set: Any = None,
        eval_group: Any = None,
        eval_qid: Any = None,
    ) -> XGBRanker:
        """Train on the rows of X.

        Parameters
        ----------
        X, eval_set
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
        spark = kind_of(X) == "spark"
        groups = _one_group(group, qid)
        if not spark:
            require_y(self, y)
        if groups is None and not spark:
            raise ValueError(
                "XGBRanker needs to know which rows are ranked together. Pass qid (the group of "
                "each row, or a column's name) or group (the sizes of consecutive groups)."
            )
        eval_groups = None
        if eval_group is not None or eval_qid is not None:
            sizes = eval_group if eval_group is not None else [None] * len(eval_qid)
            ids = eval_qid if eval_qid is not None else [None] * len(eval_group)
            eval_groups = [_one_group(size, id_) for size, id_ in zip(sizes, ids, strict=True)]
        elif eval_set is not None and not spark:
            if not isinstance(groups, str):
                raise ValueError("Evaluation sets need groups too. Pass eval_qid or eval_group.")
            eval_groups = [groups] * len(eval_set)
        self._fit(X, y, sample_weight, eval_set, groups, eval_groups)
        return self

    def predict(self, X: Any) -> Any:
        """Predict the score that rows are ranked by, highest first.

        Parameters
        ----------
        X : Spark DataFrame, or any in-memory kind that ``fit`` takes

        Returns
        -------
        pyspark.sql.DataFrame or ndarray of shape (n_samples,)
            For Spark, lazily: the same DataFrame plus the column `prediction_col`.

        Raises
        ------
        SchemaError
            If a feature is missing, or there is a column `prediction_col` already.
        """
        if kind_of(X) == "spark":
            return self._with_prediction(X, self.prediction_col, "prediction_col", "value")
        return self._raw(X).astype(np.float64)

    def score(self, X: Any, y: Any = None, *, group: Any = None, qid: Any = None) -> float:
        """Return the mean NDCG over the groups, with XGBoost's exponential gain.

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
        groups = _one_group(group, qid)
        if kind_of(X) == "spark":
            predicted = self._with_prediction(X, PREDICTION, "prediction_col", "value")
            return spark_ndcg(X, predicted, y, groups)
        X, y, groups = self._score_inputs(X, y, groups)
        return ndcg(y, self.predict(X), groups)


def _one_group(group: Any, qid: Any) -> Any:
    """Return the groups as a column's name or one id for each row."""
    if group is not None and qid is not None:
        raise ValueError("group and qid say the same thing twice. Pass one of them.")
    if group is None or isinstance(group, str):
        return qid if group is None else group
    return groups_of_sizes(group)
