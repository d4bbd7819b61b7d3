"""`XGBRegressor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from raydp_ml.fit_data.given import Given
from raydp_ml.models.predicting import PredictsNumbers
from raydp_ml.models.trained_model import fit_context
from raydp_ml.xgboost.model import XGBModel
from raydp_ml.xgboost.parameters import CONSTRAINTS
from raydp_ml.xgboost.survival import OBJECTIVE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from xgboost.callback import TrainingCallback

    from raydp_ml.exchange.data_kinds import Data, EvalSets, Values
    from raydp_ml.xgboost.constraints import Interaction, Monotone
    from raydp_ml.xgboost.continuing import StartModel
    from raydp_ml.xgboost.parameters import EvalMetric, Objective


class XGBRegressor(PredictsNumbers, XGBModel):
    """Gradient boosting of regression trees with XGBoost, on Spark data or in memory.

    A Spark DataFrame is trained on by Ray actors, each of which reads its share of the rows from
    the object store; ``predict`` adds a column lazily. Arrays and frames are trained on in this
    process, as by ``xgboost.XGBRegressor``.

    Parameters
    ----------
    n_estimators : int, default=None
        Number of boosting rounds; None for 100.
    max_depth : int, default=None
        Maximum depth of a tree; None for XGBoost's own default, as for all the parameters below.
    max_leaves : int, default=None
        Maximum number of leaves of a tree; 0 for no limit.
    max_bin : int, default=None
        Maximum number of bins per feature of the histogram methods.
    grow_policy : {"depthwise", "lossguide"}, default=None
        Whether to split near the root first, or where the loss falls most.
    learning_rate : float, default=None
        Step size of boosting ("eta").
    verbosity : int, default=None
        From 0 (silent) to 3 (debug).
    objective : str or callable, default="reg:squarederror"
        What to minimize: a name, or a function ``(y_true, y_pred, sample_weight=None) -> grad,
        hess``.
    booster : {"gbtree", "gblinear", "dart"}, default=None
        Which kind of model.
    tree_method : {"auto", "exact", "approx", "hist"}, default=None
        How splits are found. "exact" is for one worker.
    n_jobs : int, default=None
        Threads of each worker; None for all CPUs of the worker.
    gamma : float, default=None
        Least fall of the loss for a split.
    min_child_weight : float, default=None
        Least sum of hessians in a leaf.
    max_delta_step : float, default=None
        Largest step of a leaf's weight.
    subsample : float, default=None
        Share of the rows for each tree.
    sampling_method : {"uniform", "gradient_based"}, default=None
        How they are drawn (on GPUs).
    colsample_bytree, colsample_bylevel, colsample_bynode : float, default=None
        Share of the features for each tree, level, split.
    reg_alpha, reg_lambda : float, default=None
        L1 and L2 penalty on the weights.
    scale_pos_weight : float, default=None
        Weight of the positive class.
    base_score : float, default=None
        Prediction to start from.
    random_state : int, RandomState or Generator, default=None
        The same data, parameters and number of workers give the same model.
    missing : float, default=nan
        The value that stands for a missing one, beside null and NaN.
    num_parallel_tree : int, default=None
        Trees per round (a boosted random forest).
    monotone_constraints : dict, str or sequence, default=None
        Features whose effect must not fall (1) or rise (-1), by name or one value for each.
    interaction_constraints : str or sequence of sequences, default=None
        Features that may occur in one branch together, by name or place.
    importance_type : {"gain", "weight", "cover", "total_gain", "total_cover"}, default=None
        What `feature_importances_` means.
    device : str, default=None
        "cpu" or "cuda"; workers with GPUs use them by default.
    validate_parameters : bool, default=None
        Whether XGBoost warns of parameters that it does not know.
    enable_categorical : bool, default=False
        Whether string and category columns are features. A category that was not in the training
        data is missing.
    feature_types : sequence of str, default=None
        XGBoost's types of the features of an array ("c" for a category).
    feature_weights : array-like of shape (n_features,), default=None
        Chance of each feature where features are drawn.
    max_cat_to_onehot : int, default=None
        Up to how many categories a split singles one out.
    max_cat_threshold : int, default=None
        How many categories a split considers.
    multi_strategy : {"one_output_per_tree", "multi_output_tree"}, default=None
        How several targets are learnt.
    eval_metric : str, callable, or list of them, default=None
        What evaluation sets are scored with: the same numbers for any number of workers. What
        cannot be added up over them ("auc", "aucpr", a function) each worker computes from the
        predictions, labels and weights of all evaluation rows. "ams" and "cox-nloglik" are for one
        worker.
    early_stopping_rounds : int, default=None
        Stop after so many rounds without a better score; needs an evaluation set.
    callbacks : list of xgboost.callback.TrainingCallback, default=None
        Workers get copies of them; what rank 0's ask for is what all do.
    num_workers : int, default=None
        Number of Ray actors that train. 0: this process. None: this process for data in memory,
        one actor per Ray node that holds the data for a Spark DataFrame (one alone for what
        XGBoost trains on one worker only).
    cpus_per_worker : int, default=None
        CPUs of each actor; None divides the CPUs of a node among its actors.
    gpus_per_worker : float, default=0
        GPUs of each actor, Ray's resource ``GPU``.
    resources_per_worker : dict, default=None
        Further Ray resources of each actor.
    prediction_col : str, default="prediction"
        Column that ``predict`` adds to a Spark DataFrame.
    max_retries : int, default=3
        How often training goes on from the last checkpoint after an actor was lost.
    elastic : bool, default=True
        Whether training goes on with fewer actors, and a warning, where an actor was lost and the
        cluster has had no room for another one for a minute. False raises `ResourceError`.
    external_memory : bool, default=None
        Whether each worker reads its rows block by block and keeps XGBoost's bins on disk (in its
        temporary folder), rather than hold both: where they are too many for its memory, by
        default. Split points may then differ a little. Ray spills what the object store cannot
        hold by itself.
    **kwargs
        XGBoost's parameters without a name here (``quantile_alpha``, ``tweedie_variance_power``,
        ``rate_drop``, ``eta``, ...). As in XGBoost, ``fit`` judges them: before any data moves,
        XGBoost itself looks at the values, and a name that it does not know is an error.

    Attributes
    ----------
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Defined when X has names. A vector column ``v`` counts as ``v_0``, ``v_1``, ...
    feature_importances_ : ndarray of shape (n_features_in_,)
    coef_ : ndarray of shape (n_features_in_,) or (n_outputs, n_features_in_)
        Of ``booster="gblinear"``.
    intercept_ : ndarray of shape (n_outputs,)
    evals_result_ : dict of str to dict of str to list of float
        Scores after each round, by evaluation set and metric; defined when there was a set.
    best_iteration : int
    best_score : float
        Defined after early stopping.

    See Also
    --------
    XGBClassifier : The same for classes.
    XGBRanker : The same for rankings.

    Notes
    -----
    Rows of weight zero are left out, so that weights mean repetition.

    What a sparse row does not hold has one meaning for each model, which is kept with it. Fitted
    on a scipy matrix, the model takes it for missing, as XGBoost does. Fitted on anything else (a
    Spark DataFrame of columns or of vectors, sparse or dense, an array, a frame), it takes it for
    zero: a matrix given to ``predict`` is read with zeros. NaN and null are missing to both. A
    model that was fitted on a matrix, which has no names, takes no Spark DataFrame.

    XGBoost's features are of single precision: integers beyond 2**24 and decimals are rounded.
    Classes and groups keep their exact values.

    Over several workers, XGBoost takes the mean of the workers' own quantiles for the leaves of
    "reg:absoluteerror" and "reg:quantileerror", which is another model than that of one worker.
    It trains linear models, "exact" trees, "survival:cox" and ``lambdarank_unbiased`` on one
    worker only: with ``num_workers`` of more, ``fit`` says so.

    Examples
    --------
    >>> import numpy as np
    >>> from raydp_ml.xgboost import XGBRegressor
    >>> X, y = np.arange(20.0).reshape(10, 2), np.arange(10.0)
    >>> XGBRegressor(n_estimators=50).fit(X, y).predict(X).shape
    (10,)
    """

    _task_kind = "regression"
    _xgboost_class = "XGBRegressor"
    _parameter_constraints: ClassVar[dict[str, list[object]]] = CONSTRAINTS

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
        objective: Objective = "reg:squarederror",
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
        sample_weight: Values | None = None,
        base_margin: Values | None = None,
        eval_set: EvalSets | None = None,
        xgb_model: StartModel | None = None,
        sample_weight_eval_set: Sequence[Values | None] | None = None,
        base_margin_eval_set: Sequence[Values | None] | None = None,
    ) -> XGBRegressor:
        """Train on the rows of X.

        Parameters
        ----------
        X : Spark DataFrame, Blocks, Ray Dataset, Arrow or polars or pandas frame, array-like or \
sparse matrix of shape (n_samples, n_features)
        y : str, or array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            The label: a column's name where X has names (always for Spark), of numbers or, for
            several targets, arrays of numbers or vectors. None takes the column with the role
            "label". With ``objective="survival:aft"``, the names of two columns, or two columns of
            an array: a lower bound of each label and an upper one, which is infinite where the
            end was not seen.
        sample_weight : str or array-like of shape (n_samples,), default=None
        base_margin : str, or array-like of shape (n_samples,) or (n_samples, n_outputs), \
default=None
            Where the sum over the trees begins, for each row, before the link function. A column's
            name where X has names; mark it with the role "ignore" where other steps see it. What a
            model that was trained with it predicts is without it, unless ``predict`` gets it too.
        eval_set : list of pairs (X, y); for Spark also a DataFrame or a list of DataFrames
            Evaluation sets. A Spark DataFrame's rows marked by the role "validation" are another,
            the last one.
        xgb_model : estimator of raydp_ml or xgboost, xgboost.Booster, or path, default=None
            A fitted model to go on from: `n_estimators` rounds come after its own (after its best,
            if it was stopped early). Columns, targets, classes and categories must be its own.
        sample_weight_eval_set, base_margin_eval_set : list, default=None
            The weights and the base margins of each evaluation set, in the order of `eval_set`;
            an entry of None is for a set without. Where X has names, names of columns too; without
            such a list, a set's weights are in its column named like that of X, if there is one
            (for Spark, first that with the role "sample_weight"), and its base margins must be in
            the column named like that of X.

        Returns
        -------
        XGBRegressor
            Itself, fitted.

        Raises
        ------
        SchemaError
            If a column is missing or of the wrong type, there are no rows, labels, weights or
            base margins hold null, NaN or infinity, or `xgb_model` was trained on other columns.
        ResourceError
            If the cluster cannot hold the workers.
        TrainingError
            If a worker failed.
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
        """Predict the target.

        Parameters
        ----------
        X : Spark DataFrame, or any in-memory kind that ``fit`` takes
        output_margin : bool, default=False
            Whether to give the output before the link function.
        iteration_range : (int, int), default=None
            First of the rounds that count, and the end, which does not. None takes the best after
            early stopping, else all.
        base_margin : str, or array-like of shape (n_samples,) or (n_samples, n_outputs), \
default=None
            As in ``fit``; for Spark a column's name.

        Returns
        -------
        pyspark.sql.DataFrame, or ndarray of shape (n_samples,) or (n_samples, n_outputs)
            For Spark, lazily: the same DataFrame plus the column `prediction_col`, of doubles or,
            for several targets or quantiles, arrays of doubles. In a Pipeline, the same that the
            Pipeline got.

        Raises
        ------
        SchemaError
            If a feature is missing, or there is a column `prediction_col` already. If a vector or
            array has another length than in ``fit``; for Spark that is found when the column is
            computed, and raised by Spark with the same text.
        ValueError
            If the model has no such rounds.
        """
        return self._predicted(
            X,
            "value",
            output_margin=output_margin,
            iteration_range=iteration_range,
            base_margin=base_margin,
        )

    def score(self, X: Data, y: Values | None = None, sample_weight: Values | None = None) -> float:
        """Return the coefficient of determination R² of the predictions.

        Parameters
        ----------
        X : as in ``predict``
        y : str or array-like of shape (n_samples,), default=None
            A column's name where X has names; None takes the role "label" (Spark).
        sample_weight : str or array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            For several targets, the mean of their R².

        Raises
        ------
        TypeError
            For ``objective="survival:aft"``, whose labels are bounds.
        """
        if self.objective == OBJECTIVE:
            raise TypeError(
                f"There is no R² of objective={OBJECTIVE!r}, whose labels are bounds. Judge it by "
                "an eval_set with eval_metric='aft-nloglik' or 'interval-regression-accuracy'."
            )
        return super().score(X, y, sample_weight)
