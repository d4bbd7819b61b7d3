"""What the PyTorch estimators share: fit on any kind of data, predict, the fitted module."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import kind_of
from raydp_ml.events import Stopwatch
from raydp_ml.exceptions import ResourceError, SchemaError
from raydp_ml.fit_data.given import Given
from raydp_ml.fit_data.memory_data import MATRIX
from raydp_ml.fit_data.training_data import Task, TrainingData
from raydp_ml.models.progress import Progress
from raydp_ml.saving.files import FolderError
from raydp_ml.torch.nested import NestedParameters
from raydp_ml.torch.output import module_output
from raydp_ml.torch.parts import (
    check_forward,
    check_module,
    find_optimizer,
    find_scheduler,
    hidden_sizes,
    import_torch,
    make_criterion,
    make_module,
    settle_lazy_layers,
)
from raydp_ml.torch.plots import Plottable
from raydp_ml.torch.predict import ModulePredictor
from raydp_ml.torch.saved_weights import WEIGHTS, saved_shapes
from raydp_ml.training.gang.attempts import (
    explain_lost_workers,
    open_gang,
    require_room,
    starts,
)
from raydp_ml.training.gang.memory import reads_blocks
from raydp_ml.training.rows.classes import holds_decimals
from raydp_ml.training.rows.inspection import Inspected, inspect
from raydp_ml.training.rows.layout import Layout, dense_column, zero_filled
from raydp_ml.training.torch.checkpoint import (
    is_checkpoint,
    read_checkpoint,
    require_writable,
    write_checkpoint,
)
from raydp_ml.training.torch.fit import NetworkTraining
from raydp_ml.training.torch.rows import arrays_of, inputs_of, require_finite
from raydp_ml.training.torch.spec import Checkpoint, Epoch, Outcome, TorchSpec

_SEEDS = 2**31 - 1


@dataclass(frozen=True)
class _Plan:
    """The parameters, checked, before any data has moved."""

    criterion: Any
    optimizer: tuple[Any, dict[str, Any]]
    scheduler: tuple[Any, dict[str, Any]] | None
    seed: int
    checkpoint: Checkpoint | None
    about: dict[str, Any]


class TorchModel(NestedParameters, Plottable):
    """Base of the PyTorch estimators."""

    _default_criterion: str
    _n_outputs: int
    module_: Any
    history_: list[dict[str, Any]]
    module: Any
    hidden_layer_sizes: Any
    activation: str
    dropout: float
    embedding_dim: int | None
    inputs: Any
    criterion: Any
    optimizer: Any
    lr: float
    weight_decay: float
    lr_scheduler: Any
    batch_size: int
    max_epochs: int
    validation_fraction: float
    early_stopping: bool
    patience: int
    tol: float
    gradient_clip: float | None
    mixed_precision: Any
    compile: bool
    random_state: Any
    enable_categorical: bool
    checkpoint_every: int | None
    checkpoint_path: Any
    external_memory: bool | None

    @property
    def _has_one_logit(self) -> bool:
        """Whether one output stands for the second of two classes."""
        return False

    # ----------------------------------------------------------------- fit

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        eval_set: Any,
        eval_weight: Any = None,
        resume_from: Any = None,
    ) -> None:
        """Train on any kind of X; the public ``fit`` methods say what is taken."""
        watch = Stopwatch()
        plan = self._plan(resume_from, kind_of(X) == "spark")
        require_room(self._workers(self.num_workers))
        task = Task(
            self._task_kind,
            self.enable_categorical,
            type(self).__name__,
            array_label=self._task_kind == "regression",
        )
        workers = self._workers(self._count(X))
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        progress = Progress(self, self.max_epochs, "epoch", "epochs", X, y, metadata)
        given = Given(y, sample_weight, eval_set=eval_set, eval_weight=eval_weight)
        for export in self._exports(X):
            with (
                export,
                self._training_data(X, given, task) as data,
                explain_lost_workers(workers),
                progress.bar(),
            ):
                training = NetworkTraining(plan.checkpoint, reports_epochs=progress.listened)
                spec = None  # kept over all starts, which begin with the same weights
                for start in starts(workers):
                    with start, open_gang(workers, data.sets, again=start.number > 1) as gang:
                        external = reads_blocks(
                            self.external_memory, data.sets, gang, self.resources_per_worker
                        )
                        rows = inspect(
                            data.sets, gang, task.kind, check_features=True, by_slices=external
                        )
                        if spec is None:
                            spec = self._spec(plan, rows, progress, data.labels)
                            self._check_resumed(plan, rows, spec.module)
                        on_epoch = partial(self._on_epoch, progress, spec.module, rows, data)
                        spec = replace(spec, external=external)
                        outcome = training.run(gang, rows, spec, on_epoch, self._keeper(rows))
                        module = copy.deepcopy(spec.module)
        for name in ("best_epoch_", "best_score_"):
            self.__dict__.pop(name, None)
        self._set_fitted(self._fitted_attributes(module, outcome, rows, data))
        progress.end()
        self._tell_fit(watch, gang, rows, data, start.number + export.number - 2)

    def _on_epoch(
        self, progress: Progress, module: Any, rows: Inspected, data: TrainingData, event: Epoch
    ) -> bool:
        """Tell of an epoch; True asks to stop after it."""
        if event.weights is None:
            return progress.step(None)
        outcome = Outcome(event.weights, [event.record])
        attributes = self._fitted_attributes(copy.deepcopy(module), outcome, rows, data)
        return progress.step(attributes)

    def _keeper(self, rows: Inspected) -> Callable[[Checkpoint], None] | None:
        """Return what writes checkpoints, where they are wanted."""
        if self.checkpoint_path is None:
            return None
        return partial(write_checkpoint, Path(self.checkpoint_path), about=_about(rows))

    def _plan(self, resume_from: Any, spark: bool) -> _Plan:
        """Check what can be checked without the data."""
        torch = import_torch()
        check_module(self.module, self._nested("module"))
        self._check_device(torch, spark)
        hidden_sizes(self.hidden_layer_sizes)
        arguments = {"lr": self.lr, **self._nested("optimizer")}
        if self.weight_decay:
            arguments = {"weight_decay": self.weight_decay, **arguments}
        checkpoint = None
        seed = int(check_random_state(self.random_state).randint(_SEEDS))
        about: dict[str, Any] = {}
        if resume_from is not None:
            checkpoint, about = read_checkpoint(Path(resume_from))
            seed = checkpoint.seed
        if self.checkpoint_path is not None:
            folder = Path(self.checkpoint_path)
            if folder.exists() and not is_checkpoint(folder):
                raise FileExistsError(
                    f"checkpoint_path={str(folder)!r} exists and is no checkpoint of raydp_ml, so "
                    "it is left as it is. Choose another path, or remove it first."
                )
            require_writable(folder)
        optimizer = find_optimizer(self.optimizer, arguments)
        return _Plan(
            make_criterion(self.criterion, self._default_criterion, self._nested("criterion")),
            optimizer,
            find_scheduler(self.lr_scheduler, self._nested("lr_scheduler"), optimizer),
            seed,
            checkpoint,
            about,
        )

    def _check_device(self, torch: Any, spark: bool) -> None:
        if self.mixed_precision == "float16" and not self.gpus_per_worker:
            raise ValueError(
                "mixed_precision='float16' needs a GPU (gpus_per_worker=1). On CPUs, take "
                "'bfloat16'."
            )
        in_process = self.num_workers == 0 or (self.num_workers is None and not spark)
        if self.gpus_per_worker and in_process and not torch.cuda.is_available():
            raise ResourceError(
                f"gpus_per_worker={self.gpus_per_worker:g} asks for a GPU in this process, where "
                "the fit would run, and torch finds no CUDA device here. Set gpus_per_worker=0."
            )

    def _spec(
        self, plan: _Plan, rows: Inspected, progress: Progress, labels: np.ndarray | None
    ) -> TorchSpec:
        inputs = inputs_of(rows.layout, self.inputs)
        precision = self.mixed_precision
        if isinstance(precision, bool):
            precision = "bfloat16" if precision else None
        one_logit = self._one_logit(plan.criterion, rows.classes)
        every = self.checkpoint_every
        if every is None and self.checkpoint_path is not None:
            every = 1
        return TorchSpec(
            task=self._task_kind,
            module=self._built_module(rows.layout, _outputs(rows, one_logit), plan.seed),
            inputs=inputs,
            criterion=plan.criterion,
            optimizer=plan.optimizer,
            scheduler=plan.scheduler,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            seed=plan.seed,
            n_targets=rows.layout.targets,
            classes=rows.classes,
            one_logit=one_logit,
            class_weight=self._class_weights(rows.classes, labels),
            validation_fraction=self.validation_fraction if self.early_stopping else 0.0,
            patience=self.patience if self.early_stopping else None,
            tol=self.tol,
            gradient_clip=self.gradient_clip,
            mixed_precision=precision,
            compile=self.compile,
            device="cuda" if self.gpus_per_worker else "cpu",
            threads=self.cpus_per_worker,
            reports_models=progress.shows_models,
            checkpoint_every=every,
        )

    def _one_logit(self, criterion: Any, classes: np.ndarray | None) -> bool:
        return False

    def _class_weights(self, classes: np.ndarray | None, labels: np.ndarray | None) -> Any:
        return None

    def _built_module(self, layout: Layout, outputs: int, seed: int) -> Any:
        numbers = sum(item.width for item in layout.features if item.kind != "category")
        sizes = {"n_features": numbers, "n_outputs": outputs}
        if self.module is not None:
            inputs = inputs_of(layout, self.inputs)
            made = make_module(self.module, self._nested("module"), sizes, seed)
            check_forward(made, inputs)
            settle_lazy_layers(made, inputs, seed)
            return made
        if self.inputs is not None:
            raise SchemaError(
                "inputs names arguments of a module's forward, and the default network has none "
                "but its features. Give a module, or leave inputs out."
            )
        from raydp_ml.training.torch.modules import MLP

        own = {
            "hidden_layer_sizes": hidden_sizes(self.hidden_layer_sizes),
            "activation": self.activation,
            "dropout": self.dropout,
            "categories": [
                len(item.categories or ()) for item in layout.features if item.kind == "category"
            ],
            "embedding_dim": self.embedding_dim,
        }
        return make_module(MLP, own, sizes, seed)

    def _check_resumed(self, plan: _Plan, rows: Inspected, module: Any) -> None:
        """Raise `SchemaError` for a checkpoint of other data or another module."""
        if plan.checkpoint is None:
            return
        now = _about(rows)
        for name, value in now.items():
            if plan.about.get(name) != value:
                raise SchemaError(
                    f"resume_from is a checkpoint of a fit with the {name} {plan.about.get(name)}, "
                    f"and this fit has {value}. Give it the same data, or begin anew."
                )
        theirs = {name: tuple(item.shape) for name, item in plan.checkpoint.weights.items()}
        ours = {name: tuple(item.shape) for name, item in module.state_dict().items()}
        if theirs != ours:
            names = sorted(name for name in {*theirs, *ours} if theirs.get(name) != ours.get(name))
            raise SchemaError(
                "resume_from is a checkpoint of another module: these weights differ in shape or "
                f"are missing: {names[:10]}. Set the module's parameters as they were, or begin "
                "anew."
            )

    def _fitted_attributes(
        self, module: Any, outcome: Outcome, rows: Inspected, data: TrainingData
    ) -> dict[str, Any]:
        """Return all that ``fit`` sets, for the weights after any number of epochs."""
        module.load_state_dict(outcome.weights)
        module.eval()
        attributes = {
            "module_": module,
            "history_": list(outcome.history),
            "_n_outputs": _outputs(rows, self._has_one_logit),
            **self._described(rows.layout, rows.classes, data),
        }
        if outcome.best_epoch is not None:
            attributes |= {"best_epoch_": outcome.best_epoch, "best_score_": outcome.best_loss}
        return attributes

    # ----------------------------------------------------------------- predict

    def _raw(self, X: Any) -> np.ndarray:
        """Return the module's output for an in-memory X, shape (n,) or (n, n_outputs)."""
        data = self._checked_features(X)
        if isinstance(data, (pa.Table, np.ndarray)):
            return self._output(data)
        return np.concatenate([self._output(part) for part in zero_filled(data)])

    def _output(self, data: pa.Table | np.ndarray) -> np.ndarray:
        if not isinstance(data, pa.Table):
            data = self._matrix_table(data)
        inputs = inputs_of(self._layout, self.inputs)
        arrays = arrays_of(data, inputs)
        require_finite(arrays, inputs, self._layout.named)
        return module_output(self.module_, inputs, arrays)

    def _with_prediction(self, df: Any, column: str, parameter: str, output: str) -> Any:
        from pyspark import cloudpickle

        check_is_fitted(self)
        predictor = ModulePredictor(
            self._layout,
            "values" if output == "value" and self._n_targets else output,
            self._class_array() if output == "class" else None,
            inputs_of(self._layout, self.inputs),
            self._has_one_logit,
        )
        return self._add_prediction(
            df, column, parameter, predictor, lambda: cloudpickle.dumps(self.module_)
        )

    def _matrix_table(self, matrix: np.ndarray) -> pa.Table:
        features = self._layout.features
        if not self._layout.named:
            return pa.table({MATRIX: dense_column(matrix)})
        columns, start = {}, 0
        for item in features:
            part = matrix[:, start : start + item.width]
            start += item.width
            columns[item.name] = (
                dense_column(part)
                if item.kind == "vector"
                else pa.array(np.ascontiguousarray(part[:, 0]))
            )
        return pa.table(columns)

    # ----------------------------------------------------------------- the fitted model

    def to_torch(self) -> Any:
        """Return a copy of the fitted ``torch.nn.Module``, in evaluation mode, on the CPU.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self)
        return copy.deepcopy(self.module_)

    def _genuine_object(self) -> Any:
        raise TypeError(
            f"scikit-learn has no object that is a {type(self).__name__}. to_torch() returns the "
            "network as PyTorch's own, and raydp_ml.save keeps the estimator whole."
        )

    def _write_onnx(self, nodes: Any, x: str, in_pipeline: bool) -> tuple[str, int]:
        raise TypeError(
            f"A {type(self).__name__} is not converted to ONNX. PyTorch does it itself: "
            "torch.onnx.export(model.to_torch(), ...)."
        )

    def _saved_params(self) -> dict[str, Any]:
        """Return the parameters as plain values: torch's own classes by name, a module too."""
        params = self.get_params(deep=False)
        torch = import_torch()
        for name in ("criterion", "optimizer", "lr_scheduler"):
            value = params[name]
            if isinstance(value, type) and value.__module__.startswith("torch."):
                params[name] = value.__name__
        module = params["module"]
        if module is not None:
            of = type(module) if isinstance(module, torch.nn.Module) else module
            name = getattr(of, "__qualname__", type(of).__qualname__)
            params["module"] = {"own_module": f"{of.__module__}.{name}"}
        return params

    def _saved_state(self, folder: Path) -> dict[str, Any]:
        from safetensors.torch import save_file

        weights = {name: item.contiguous() for name, item in self.module_.state_dict().items()}
        save_file(_unshared(weights), folder / WEIGHTS)
        state = super()._saved_state(folder)
        del state["module_"]
        return {**state, "n_outputs": self._n_outputs}

    def _restore_state(self, state: dict[str, Any], folder: Path) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        outputs = state.pop("n_outputs")
        super()._restore_state(state, folder)
        self._n_outputs = outputs
        self._check_outputs()
        shapes = saved_shapes(folder / WEIGHTS)
        try:
            self._check_size(shapes)
            module = self._built_module(self._layout, self._n_outputs, seed=0)
            module.load_state_dict(load_file(folder / WEIGHTS))
        except (RuntimeError, SafetensorError) as error:
            raise FolderError(
                f"The weights in {str(folder)!r} do not fit the module: {error}. Give the module "
                "that was trained, or save the estimator again."
            ) from error
        self.module_ = module.eval()

    def _distrust(self) -> None:
        """Forget a path that a file would have training write to."""
        self.checkpoint_path = None

    def _check_outputs(self) -> None:
        classes = getattr(self, "classes_", None)
        wanted = {max(1, self._n_targets) if classes is None else len(classes)}
        if classes is not None and len(classes) == 2:
            wanted.add(1)
        if type(self._n_outputs) is not int or self._n_outputs not in wanted:
            raise ValueError(f"{self._n_outputs!r} outputs, where there are {sorted(wanted)}")

    def _check_size(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Raise for a default network that is not that of the weights, before it takes memory."""
        if self.module is not None:
            return
        tables = sum(item.kind == "category" for item in self._layout.features)
        layers = len(hidden_sizes(self.hidden_layer_sizes)) + 1
        made = {}
        if len(shapes) == 2 * layers + tables:
            with import_torch().device("meta"):
                module = self._built_module(self._layout, self._n_outputs, seed=0)
            made = {name: tuple(item.shape) for name, item in module.state_dict().items()}
        if made != shapes:
            raise RuntimeError(f"they are of the shapes {str(shapes)[:500]}")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.categorical = bool(self.enable_categorical)
        tags.input_tags.string = bool(self.enable_categorical)
        tags.target_tags.required = True
        return tags


def _outputs(rows: Inspected, one_logit: bool) -> int:
    if rows.classes is None:
        return max(1, rows.layout.targets)
    return 1 if one_logit else len(rows.classes)


def _about(rows: Inspected) -> dict[str, Any]:
    classes = None
    if rows.classes is not None:
        exact = holds_decimals(rows.classes)  # which JSON has not
        classes = [str(value) if exact else value for value in rows.classes.tolist()]
    return {
        "features": [name for item in rows.layout.features for name in item.names],
        "classes": classes,
    }


def _unshared(weights: dict[str, Any]) -> dict[str, Any]:
    """Give tied weights memory of their own, which safetensors asks for."""
    seen: set[int] = set()
    made = {}
    for name, item in weights.items():
        made[name] = item.clone() if item.data_ptr() in seen else item
        seen.add(item.data_ptr())
    return made
