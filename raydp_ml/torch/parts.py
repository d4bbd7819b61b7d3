"""What the parameters name: modules, criteria, optimizers and schedulers of torch."""

from __future__ import annotations

import copy
import difflib
import inspect
from collections.abc import Callable, Sequence
from numbers import Integral
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from sklearn.utils._param_validation import InvalidParameterError

from raydp_ml.exceptions import SchemaError
from raydp_ml.torch.nested import check_arguments
from raydp_ml.training.torch.rows import Input

if TYPE_CHECKING:
    import torch
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from raydp_ml.saving.folders import OwnModule

    Criterion = str | type[torch.nn.Module] | Callable[..., torch.Tensor]
    OptimizerLike = str | Callable[..., Optimizer]
    SchedulerLike = str | Callable[..., LRScheduler]

Made = TypeVar("Made")

# Arguments that a module's class or factory is given, where it takes them.
SIZES = ("n_features", "n_outputs")
OF_DEFAULT = ["hidden_layer_sizes", "activation", "dropout", "embedding_dim"]


def import_torch() -> ModuleType:
    """Import torch, or say how to get it."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "raydp_ml.torch needs the packages torch and safetensors. Install them: "
            "pip install raydp_ml[torch]"
        ) from error
    return torch


def _key(text: str) -> str:
    return text.lower().replace("_", "").removesuffix("loss")


def _found(name: str, classes: dict[str, type], parameter: str) -> type:
    """Look a class up by its name, whatever the case, with or without Loss and underscores."""
    by_key = {_key(known): cls for known, cls in classes.items()}
    if _key(name) in by_key:
        return by_key[_key(name)]
    close = difflib.get_close_matches(_key(name), by_key, n=1, cutoff=0.5)
    hint = f"Did you mean {by_key[close[0]].__name__!r}? " if close else ""
    raise InvalidParameterError(
        f"There is no {parameter} {name!r}. {hint}There are: {sorted(classes)}."
    )


def _classes(module: ModuleType, base: type) -> dict[str, type]:
    return {
        name: item
        for name, item in vars(module).items()
        if inspect.isclass(item) and issubclass(item, base) and item is not base
    }


def make_criterion(
    given: Criterion | None, default: str, arguments: dict[str, object]
) -> Callable[..., torch.Tensor]:
    """Return ``criterion(output, target)``, which gives one loss per row where it can.

    Raises
    ------
    InvalidParameterError
        For an unknown name or argument, or a sum of losses.
    """
    torch = import_torch()
    chosen = default if given is None else given
    if "reduction" in arguments:
        raise InvalidParameterError(
            "criterion__reduction cannot be set: losses are taken row by row, weighted, and "
            "averaged over the batch of all workers."
        )
    if isinstance(chosen, str):
        losses = {
            name: item
            for name, item in _classes(torch.nn, torch.nn.Module).items()
            if name.endswith("Loss")
        }
        chosen = _found(chosen, losses, "criterion")
    if inspect.isclass(chosen):
        check_arguments(chosen, arguments, "criterion")
        if "reduction" in inspect.signature(chosen).parameters:
            arguments = {**arguments, "reduction": "none"}
        made: Any = chosen(**arguments)
        return made
    if arguments:
        raise InvalidParameterError(
            f"The criterion is a {type(chosen).__name__}, which takes no {sorted(arguments)}: "
            "criterion__ parameters go to a class. Set them on the criterion itself."
        )
    if isinstance(chosen, torch.nn.Module):
        chosen = copy.deepcopy(chosen)
        if hasattr(chosen, "reduction"):
            if chosen.reduction not in ("mean", "none"):
                raise InvalidParameterError(
                    f"The criterion has reduction={chosen.reduction!r}, and a batch's loss is the "
                    "mean over the rows of all workers. Leave reduction at 'mean' (to take larger "
                    "steps, raise lr)."
                )
            chosen.reduction = "none"
    return chosen


def find_optimizer(
    given: OptimizerLike, arguments: dict[str, object]
) -> tuple[Callable[..., Optimizer], dict[str, object]]:
    """Return the optimizer's class and its arguments, which have made one already.

    Raises
    ------
    InvalidParameterError
        For an unknown name or argument, a value that the class refuses, or an optimizer that needs
        a closure (LBFGS).
    """
    torch = import_torch()
    base = torch.optim.Optimizer
    cls = given
    if isinstance(cls, str):
        cls = _found(cls, _classes(torch.optim, base), "optimizer")
    if issubclass_of(cls, torch.optim.LBFGS):
        raise InvalidParameterError(
            "LBFGS evaluates the loss several times in one step, which mini-batches do not allow. "
            "Choose another optimizer, such as 'adam' or 'sgd'."
        )
    if not inspect.isclass(cls) or issubclass(cls, base):
        check_arguments(cls, arguments, "optimizer")
    _tried_optimizer(cls, arguments)
    return cls, arguments


def _tried_optimizer(cls: Callable[..., Optimizer], arguments: dict[str, object]) -> Optimizer:
    torch = import_torch()
    stand_in = [torch.nn.Parameter(torch.zeros(2, 2))]
    return _tried(cls, stand_in, arguments, "optimizer", torch.optim.Optimizer)


def _tried(
    cls: Callable[..., Made],
    first: object,
    arguments: dict[str, object],
    parameter: str,
    base: type[Made],
) -> Made:
    """Make one, so that values that the class refuses are found before any data has moved."""
    name = getattr(cls, "__name__", type(cls).__name__)
    made: Made | None = None
    fits = not inspect.isclass(cls) or issubclass(cls, base)
    if fits:
        try:
            made = cls(first, **arguments)
        except Exception as error:
            raise InvalidParameterError(
                f"The {parameter} {name} cannot be made with the arguments {arguments}: {error}. "
                f"Set them as {parameter}__*."
            ) from error
    if not isinstance(made, base):
        raise InvalidParameterError(
            f"The {parameter!r} parameter must be the name of a {base.__module__}.{base.__name__}, "
            f"such a class, or a function that makes one. Got {name} instead."
        )
    return made


def find_scheduler(
    given: SchedulerLike | None,
    arguments: dict[str, object],
    optimizer: tuple[Callable[..., Optimizer], dict[str, object]],
) -> tuple[Callable[..., LRScheduler], dict[str, object]] | None:
    """Return the scheduler's class and its arguments, which have made one already; or None.

    Raises
    ------
    InvalidParameterError
        As `find_optimizer`.
    """
    if given is None:
        if arguments:
            raise InvalidParameterError(
                f"lr_scheduler__{sorted(arguments)[0]} was given without an lr_scheduler. Set it, "
                "for example to 'StepLR'."
            )
        return None
    import_torch()
    from torch.optim import lr_scheduler

    cls = given
    if isinstance(cls, str):
        known = _classes(lr_scheduler, lr_scheduler.LRScheduler)
        cls = _found(cls, known, "lr_scheduler")
    if not inspect.isclass(cls) or issubclass(cls, lr_scheduler.LRScheduler):
        check_arguments(cls, arguments, "lr_scheduler")
    tried = arguments
    if cls is lr_scheduler.OneCycleLR and not {"total_steps", "epochs"} & set(arguments):
        # The number of steps is that of all batches, which nobody knows yet.
        tried = {**arguments, "total_steps": 100}
    _tried(cls, _tried_optimizer(*optimizer), tried, "lr_scheduler", lr_scheduler.LRScheduler)
    return cls, arguments


def issubclass_of(value: object, base: type) -> bool:
    """Say whether a value is a class derived from `base`."""
    return inspect.isclass(value) and issubclass(value, base)


def check_module(given: object, arguments: dict[str, object]) -> None:
    """Raise for a module that is none, or arguments that it does not take."""
    torch = import_torch()
    if isinstance(given, torch.nn.Module):
        if arguments:
            raise InvalidParameterError(
                f"module is an instance, which takes no module__{sorted(arguments)[0]}: give the "
                "class or a function that makes one."
            )
        return
    if given is None:
        if arguments:
            raise InvalidParameterError(
                f"module__{sorted(arguments)[0]} is for a module of your own. The default network "
                f"is described by the parameters {OF_DEFAULT}."
            )
        return
    if not callable(given):
        raise InvalidParameterError(
            "The 'module' parameter must be a class of torch.nn.Module, a function that makes one, "
            f"an instance, or None. Got {given!r} instead."
        )
    check_arguments(given, arguments, "module")
    try:
        signature = inspect.signature(given)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(**_with_sizes(given, arguments, dict.fromkeys(SIZES, 0)))
    except TypeError as error:
        name = getattr(given, "__name__", type(given).__name__)
        raise InvalidParameterError(
            f"The module {name}{signature} cannot be made of {sorted(arguments) or 'nothing'}: "
            f"{error}. Set its arguments as module__*."
        ) from error


def hidden_sizes(given: Any) -> list[int]:
    """Return the sizes of the hidden layers as a list.

    Raises
    ------
    InvalidParameterError
        If they are not whole numbers of at least 1.
    """
    sizes = [given] if isinstance(given, Integral) else list(given)
    if not all(isinstance(size, Integral) and int(size) > 0 for size in sizes):
        raise InvalidParameterError(
            "The 'hidden_layer_sizes' parameter must be a whole number of at least 1, or a "
            f"sequence of such. Got {given!r} instead."
        )
    return [int(size) for size in sizes]


def check_forward(module: torch.nn.Module, inputs: Sequence[Input]) -> None:
    """Raise `SchemaError` for a module whose ``forward`` does not take the inputs."""
    try:
        signature = inspect.signature(module.forward)
    except (TypeError, ValueError):
        return
    named = {item.name: None for item in inputs if item.name is not None}
    try:
        signature.bind(*(() if named else (None,) * len(inputs)), **named)
    except TypeError as error:
        what = f"named {sorted(named)}" if named else "the numbers"
        also = ", and the codes of the category columns" if len(inputs) > 1 and not named else ""
        raise SchemaError(
            f"The forward{signature} of the module {type(module).__name__} does not take its "
            f"inputs, which are {what}{also}: {error}. Say which columns feed which argument: "
            "inputs={'argument': ['column', ...], ...}."
        ) from error


def settle_lazy_layers(module: torch.nn.Module, inputs: Sequence[Input], seed: int) -> None:
    """Give lazy layers their shapes and first weights, by a look at rows of zeros."""
    torch = import_torch()
    from torch.nn.parameter import is_lazy

    from raydp_ml.training.torch.tensors import Forward

    if not any(map(is_lazy, [*module.parameters(), *module.buffers()])):
        return
    rows = [torch.zeros(2, item.width, dtype=getattr(torch, item.dtype)) for item in inputs]
    training = module.training
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(seed)
        Forward(module.eval(), inputs)(rows)
    module.train(training)


def make_module(
    given: OwnModule, arguments: dict[str, object], sizes: dict[str, int], seed: int
) -> torch.nn.Module:
    """Make a module with its first weights, or copy the one that is given.

    Parameters
    ----------
    given : class, callable or torch.nn.Module
    arguments : dict
    sizes : dict
        Values for `SIZES`, given where the class or function takes arguments of that name.
    seed : int
        Of the first weights.

    Returns
    -------
    torch.nn.Module
        On the CPU.
    """
    torch = import_torch()
    if isinstance(given, torch.nn.Module):
        return copy.deepcopy(given)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        made = given(**_with_sizes(given, arguments, sizes))
    if not isinstance(made, torch.nn.Module):
        raise InvalidParameterError(
            f"The 'module' function must return a torch.nn.Module. Got {type(made).__name__} "
            "instead."
        )
    return made


def _with_sizes(
    given: Callable[..., object], arguments: dict[str, object], sizes: dict[str, int]
) -> dict[str, object]:
    try:
        known = inspect.signature(given).parameters
    except (TypeError, ValueError):
        return arguments
    wanted = {name: size for name, size in sizes.items() if name in known}
    return {**wanted, **arguments}
