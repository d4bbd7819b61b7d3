"""`TorchClassifier`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError, StrOptions

from raydp_ml.exceptions import SchemaError
from raydp_ml.models.predicting import PredictsClasses
from raydp_ml.models.trained_model import fit_context
from raydp_ml.torch.model import TorchModel
from raydp_ml.torch.output import class_shares
from raydp_ml.torch.parameters import CONSTRAINTS
from raydp_ml.torch.parts import import_torch, make_criterion

if TYPE_CHECKING:
    import os

    import torch

    from raydp_ml.exchange.data_kinds import Data, EvalSets, Values
    from raydp_ml.saving.folders import OwnModule
    from raydp_ml.torch.parts import Criterion, OptimizerLike, SchedulerLike


class TorchClassifier(PredictsClasses, TorchModel):
    """Classification with a PyTorch module, on Spark data or in memory.

    Parameters
    ----------
    module : torch.nn.Module class, function that makes one, or instance, default=None
        None for a multilayer perceptron. A class or function gets the ``module__*`` parameters,
        and ``n_features`` and ``n_outputs`` where it takes arguments of these names. An instance
        is copied. Its ``forward`` takes one float tensor of all number columns (arrays and vectors
        side by side) and, where there are category columns, an int64 tensor of their codes, from
        1 (0 is an unknown category); or what `inputs` says.
    hidden_layer_sizes : int or sequence of int, default=(100,)
        Of the default network, as the next three.
    activation : {"relu", "tanh", "logistic", "identity", "gelu", "silu", "elu", "leaky_relu"}, \
default="relu"
        What follows each hidden layer.
    dropout : float, default=0.0
        Share of each hidden layer that is dropped in training.
    embedding_dim : int, default=None
        Width of the embedding of each category column; None for 1.6 * n_categories ** 0.56.
    inputs : dict of str to (str, list of str, or pair (columns, dtype)), default=None
        Which columns feed which named argument of the module's ``forward``, as in
        ``{"image": "pixels", "rest": ["age", "fare"], "shop": (["shop_id"], "int64")}``. The dtype
        is "float32" unless given, or "int64" for category columns.
    criterion : str, class, instance or function, default=None
        The loss, by default "cross_entropy": a name or class of ``torch.nn`` (``criterion__*`` are
        its arguments); "bce_with_logits" has one output for two classes. Weights of the classes
        (``CrossEntropyLoss(weight=...)``) count in the mean as torch has it, and as
        `class_weight` does.
        A function ``criterion(output, target)`` returns one loss per row, or their plain mean.
    optimizer : str or class, default="adam"
        Of ``torch.optim``; ``optimizer__*`` are its arguments.
    lr : float, default=0.001
        Learning rate.
    weight_decay : float, default=0.0
        Penalty on the size of the weights, as the optimizer takes it.
    lr_scheduler : str or class, default=None
        Of ``torch.optim.lr_scheduler``, stepped after each epoch (OneCycleLR and CyclicLR after
        each batch); ``lr_scheduler__*`` are its arguments.
    batch_size : int, default=256
        Rows of a batch, over all workers together.
    max_epochs : int, default=20
        Passes over all rows; fewer where `early_stopping` ends them.
    validation_fraction : float, default=0.1
        Share of the rows, in proportion to the classes, that early stopping holds out where there
        is no evaluation set. A class keeps at least one row to train on.
    early_stopping : bool, default=False
        Whether to stop when the loss of the last evaluation set has not improved by more than
        `tol` in `patience` epochs, and to keep the weights of the best epoch.
    patience : int, default=10
        Epochs without improvement after which `early_stopping` ends the training.
    tol : float, default=0.0001
        Least fall of the loss that counts as an improvement.
    gradient_clip : float, default=None
        Largest norm of the gradient of all weights.
    mixed_precision : bool or {"bfloat16", "float16"}, default=False
        True is "bfloat16"; "float16" needs a GPU.
    compile : bool, default=False
        Whether to train with ``torch.compile``.
    random_state : int, RandomState instance or None, default=None
        Of the first weights, the order of the rows and dropout.
    class_weight : dict or "balanced", default=None
        Weights of the classes in the loss, times those of the rows; "balanced" for n_rows /
        (n_classes * rows of the class), as in scikit-learn.
    enable_categorical : bool, default=False
        Whether string and category columns may be features.
    num_workers : int, default=None
        Training actors; 0 trains in this process, which None does for data in memory. With Spark
        data, None is one actor per Ray node that holds rows.
    cpus_per_worker : int, default=None
        The CPUs of a node divided among its workers by default.
    gpus_per_worker : float, default=0
        With GPUs, workers talk through nccl instead of gloo.
    resources_per_worker : dict of str to float, default=None
        Further Ray resources of each worker.
    checkpoint_every : int, default=None
        Epochs between two checkpoints. None makes one every 10 seconds, at the end of an epoch,
        or with a `checkpoint_path` after every epoch.
    checkpoint_path : str or path-like, default=None
        A folder for the last checkpoint; without it the driver keeps it in memory.
    prediction_col : str, default="prediction"
        Column that ``predict`` adds to a Spark DataFrame.
    probability_col : str, default="probability"
        Column that ``predict_proba`` adds to a Spark DataFrame.
    max_retries : int, default=3
        How often training may go on from the last checkpoint after a worker was lost.
    elastic : bool, default=True
        Whether training goes on with fewer workers, and a warning, where a worker was lost and the
        cluster has had no room for another one for a minute. False raises `ResourceError`.
    external_memory : bool, default=None
        Whether each worker keeps its rows in files of its temporary folder, rather than in memory:
        where they are too many for its memory, by default. The batches and the model are the same.
        Ray spills what the object store cannot hold by itself.
    **nested
        ``module__*``, ``optimizer__*``, ``criterion__*`` and ``lr_scheduler__*``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted: strings, numbers or booleans. Decimals are int64 where all of them are
        whole and fit, else objects of `decimal.Decimal`.
    module_ : torch.nn.Module
        Fitted, on the CPU.
    history_ : list of dict
        As `TorchRegressor` has it, with "validation_0_accuracy" for each evaluation set.
    best_epoch_ : int
        Epoch (from 1) of the weights; defined with early stopping, as the next.
    best_score_ : float
        Loss of the last evaluation set in that epoch.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Defined when X has names.

    See Also
    --------
    TorchRegressor : The same for numbers, with notes on how rows are shuffled.

    Examples
    --------
    >>> import numpy as np
    >>> from raydp_ml.torch import TorchClassifier
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> y = np.where(X[:, 0] > X[:, 1], "more", "less")
    >>> model = TorchClassifier(max_epochs=100, lr=0.01, random_state=0).fit(X, y)
    >>> model.predict([[0.0, 2.0], [2.0, 0.0]])
    array(['less', 'more'], dtype='<U4')
    """

    _task_kind = "classification"
    _default_criterion = "cross_entropy"
    _parameter_constraints: ClassVar[dict[str, list[object]]] = {
        **CONSTRAINTS,
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "probability_col": [str],
    }

    def __init__(
        self,
        module: OwnModule | None = None,
        *,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        dropout: float = 0.0,
        embedding_dim: int | None = None,
        inputs: Mapping[str, object] | None = None,
        criterion: Criterion | None = None,
        optimizer: OptimizerLike = "adam",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        lr_scheduler: SchedulerLike | None = None,
        batch_size: int = 256,
        max_epochs: int = 20,
        validation_fraction: float = 0.1,
        early_stopping: bool = False,
        patience: int = 10,
        tol: float = 1e-4,
        gradient_clip: float | None = None,
        mixed_precision: bool | str = False,
        compile: bool = False,
        random_state: int | np.random.RandomState | None = None,
        class_weight: str | Mapping[object, float] | None = None,
        enable_categorical: bool = False,
        num_workers: int | None = None,
        cpus_per_worker: int | None = None,
        gpus_per_worker: float = 0,
        resources_per_worker: dict[str, float] | None = None,
        checkpoint_every: int | None = None,
        checkpoint_path: str | os.PathLike[str] | None = None,
        prediction_col: str = "prediction",
        probability_col: str = "probability",
        max_retries: int = 3,
        elastic: bool = True,
        external_memory: bool | None = None,
        **nested: object,
    ) -> None:
        self.module = module
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.embedding_dim = embedding_dim
        self.inputs = inputs
        self.criterion = criterion
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.lr_scheduler = lr_scheduler
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.tol = tol
        self.gradient_clip = gradient_clip
        self.mixed_precision = mixed_precision
        self.compile = compile
        self.random_state = random_state
        self.class_weight = class_weight
        self.enable_categorical = enable_categorical
        self.num_workers = num_workers
        self.cpus_per_worker = cpus_per_worker
        self.gpus_per_worker = gpus_per_worker
        self.resources_per_worker = resources_per_worker
        self.checkpoint_every = checkpoint_every
        self.checkpoint_path = checkpoint_path
        self.prediction_col = prediction_col
        self.probability_col = probability_col
        self.max_retries = max_retries
        self.elastic = elastic
        self.external_memory = external_memory
        self._store_nested(nested)

    @fit_context
    def fit(
        self,
        X: Data,
        y: Values | None = None,
        *,
        sample_weight: Values | None = None,
        eval_set: EvalSets | None = None,
        sample_weight_eval_set: Sequence[Values | None] | None = None,
        resume_from: str | os.PathLike[str] | None = None,
    ) -> TorchClassifier:
        """Train on the rows of X.

        Parameters
        ----------
        X, sample_weight, eval_set, sample_weight_eval_set, resume_from
            As in `TorchRegressor.fit`.
        y : str or array-like of shape (n_samples,), default=None
            The classes: strings, numbers or booleans; a column's name where X has names.

        Returns
        -------
        TorchClassifier
            Itself, fitted.

        Raises
        ------
        SchemaError, ResourceError, TrainingError
            As `TorchRegressor.fit`; `SchemaError` also for labels of one class only.
        """
        self._check_class_weight()
        self._fit(X, y, sample_weight, eval_set, sample_weight_eval_set, resume_from)
        return self

    def _shares(self, X: Data) -> np.ndarray:
        return class_shares(self._raw(X), self._has_one_logit)

    def _one_logit(
        self, criterion: Callable[..., torch.Tensor], classes: np.ndarray | None
    ) -> bool:
        if not isinstance(criterion, import_torch().nn.BCEWithLogitsLoss):
            return False
        if classes is not None and len(classes) > 2:
            raise InvalidParameterError(
                f"The criterion BCEWithLogitsLoss is for two classes, and the label has "
                f"{len(classes)}. Leave criterion out, or set 'cross_entropy'."
            )
        return True

    @property
    def _has_one_logit(self) -> bool:
        # (Of torch's own ones, some would hold weights: as many as a saved file says.)
        named = self.criterion is None or isinstance(self.criterion, str)
        with import_torch().device("meta") if named else nullcontext():
            criterion = make_criterion(
                self.criterion, self._default_criterion, self._nested("criterion")
            )
        return self._one_logit(criterion, None)

    def _check_class_weight(self) -> None:
        given = self.class_weight if isinstance(self.class_weight, dict) else {}
        bad = {
            label: weight
            for label, weight in given.items()
            if not isinstance(weight, Real) or not 0 <= float(weight) < np.inf
        }
        if bad:
            raise InvalidParameterError(
                "The 'class_weight' parameter must hold finite numbers of at least 0. Got "
                f"{bad} instead."
            )

    def _class_weights(self, classes: np.ndarray | None, labels: np.ndarray | None) -> Any:
        given = self.class_weight
        if given is None or isinstance(given, str) or classes is None:
            return given
        known = classes if labels is None else labels[classes]
        unknown = [label for label in given if label not in known.tolist()]
        if unknown:
            raise SchemaError(
                f"class_weight names the classes {unknown}, which the label has not. Its classes "
                f"are {known[:10].tolist()}."
            )
        weights = np.array([given.get(label, 1.0) for label in known.tolist()], dtype=np.float64)
        if not weights.any():
            raise InvalidParameterError(
                f"class_weight={given} leaves no class to learn from. Give one a positive weight."
            )
        return weights
