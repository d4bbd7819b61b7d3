"""Saving fitted estimators to folders of open formats, and loading them without running code.

A folder holds ``estimator.json`` (class, parameters, fitted attributes) and, for XGBoost,
``model.ubj`` and ``model_config.json`` (how it was trained), for PyTorch ``module.safetensors``; a
Pipeline's folder holds one such folder for each step, and that of a meta-estimator one for each
estimator that it holds.
"""

from __future__ import annotations

import importlib
import json
import os
import tempfile
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from raydp_ml.saving.files import FolderError, is_file, read_json
from raydp_ml.saving.json_estimators import TRANSFORMERS, Json
from raydp_ml.saving.json_values import decode, encode
from raydp_ml.saving.restored import check_names, check_params, check_state
from raydp_ml.session.full import disk_may_be_full

if TYPE_CHECKING:
    import torch
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

    OwnModule = torch.nn.Module | type[torch.nn.Module] | Callable[..., torch.nn.Module]

__all__ = ["load", "save"]

_FORMAT = "raydp_ml"
_VERSION = 1
_DESCRIPTION = "estimator.json"
_DEEPEST = 32
"""Estimators within estimators."""
_LONGEST = 500
"""Characters of an error, which may hold what a file does."""

# Only these classes are ever made from a file.
_CLASSES = {
    "CalibratedClassifierCV": "raydp_ml.calibration",
    "FixedThresholdClassifier": "raydp_ml.model_selection",
    "FrozenEstimator": "sklearn.frozen",
    "SelectFromModel": "raydp_ml.feature_selection",
    "TorchClassifier": "raydp_ml.torch",
    "TorchRegressor": "raydp_ml.torch",
    "TransformedTargetRegressor": "raydp_ml.compose",
    "TunedThresholdClassifierCV": "raydp_ml.model_selection",
    "XGBClassifier": "raydp_ml.xgboost",
    "XGBRFClassifier": "raydp_ml.xgboost",
    "XGBRFRegressor": "raydp_ml.xgboost",
    "XGBRanker": "raydp_ml.xgboost",
    "XGBRegressor": "raydp_ml.xgboost",
    "Pipeline": "sklearn.pipeline",
    **TRANSFORMERS,
}


def save(estimator: BaseEstimator, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator, or a Pipeline of them, to a folder.

    Parameters
    ----------
    estimator : estimator of raydp_ml, or scikit-learn's Pipeline or FrozenEstimator of such
        What to save; it has to be fitted.
    path : str or path-like
        A folder; one that `save` wrote before is replaced, as a whole.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        Before ``fit``.
    ValueError
        If a parameter cannot be written, such as a function, or the class is not one of ours.
    FileExistsError
        If `path` exists and is not such a folder.
    raydp_ml.exceptions.ResourceError
        If the disk is full. What was there stays.
    """
    target = Path(path)
    if target.exists() and not _is_ours(target):
        raise FileExistsError(
            f"{str(target)!r} exists and is not a folder that raydp_ml saved, so it is left as it "
            "is. Choose another path, or remove it first."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    # Written beside the target and moved there when complete: a crash leaves the old one whole.
    with (
        disk_may_be_full(str(target.parent)),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch,
    ):
        made = Path(scratch) / "new"
        _write(estimator, made)
        old = Path(scratch) / "old"
        if target.exists():
            target.rename(old)
        try:
            made.rename(target)
        except BaseException:  # another program was faster, say
            if old.exists() and not target.exists():
                old.rename(target)
            raise


def load(path: str | os.PathLike[str], *, module: OwnModule | None = None) -> Any:
    """Read what `save` or an estimator's ``save`` wrote.

    No code from the files is run, now or later: they are JSON, safetensors and XGBoost's own model
    format, only raydp_ml's own classes (and Pipelines of them) are made, and what these hold is
    checked before a library sees it. A file that a stranger wrote can predict nonsense; it cannot
    crash the process, or take memory beyond its own size. SQL that was loaded reads no other
    tables, and calls no functions but Spark's own (see `raydp_ml.sql.SQLTransformer`). What starts
    processes or writes files is not kept: the `n_jobs` of a ColumnTransformer or FeatureUnion, and
    the `checkpoint_path` of a PyTorch estimator.

    Parameters
    ----------
    path : str or path-like
        A folder that `save` wrote.
    module : torch.nn.Module class, function that makes one, or instance, default=None
        The module of a PyTorch estimator that was trained with one of the user's own: a file
        cannot name code to run.

    Returns
    -------
    estimator
        Fitted.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If the folder is of another kind, damaged, or written by a newer raydp_ml, or a `module`
        is needed. The text names the folder.
    """
    folder = Path(path)
    if not is_file(folder):
        raise FileNotFoundError(
            f"There is no folder {str(folder)!r}. It must be one that an estimator's save(path) "
            "wrote."
        )
    if not _is_ours(folder):
        raise ValueError(
            f"{str(folder)!r} is not a folder that raydp_ml saved: it holds no readable "
            f"{_DESCRIPTION} with the format {_FORMAT!r}."
        )
    return _read(folder, module)


def _is_ours(folder: Path) -> bool:
    try:
        description = read_json(folder / _DESCRIPTION)
    except (OSError, ValueError):
        return False
    return isinstance(description, dict) and description.get("format") == _FORMAT


def _write(estimator: BaseEstimator, folder: Path, fitted: bool = True) -> None:
    """Write an estimator; one that a parameter holds, for others to be fitted like it, is not."""
    from raydp_ml import __version__

    name = type(estimator).__name__
    if _class_of(name) is not type(estimator):
        raise ValueError(
            f"A {type(estimator).__module__}.{name} cannot be saved. These can: {sorted(_CLASSES)}."
        )
    fitted = fitted or name == "FrozenEstimator"
    if fitted:
        check_is_fitted(estimator)
    folder.mkdir()
    description: dict[str, Json] = {
        "format": _FORMAT,
        "version": _VERSION,
        "raydp_ml": __version__,
        "class": name,
        "fitted": fitted,
    }
    params: dict[str, object]
    held: dict[str, BaseEstimator] = {}
    if name == "Pipeline":
        description["steps"] = _write_steps(estimator, folder, fitted)
        params = {key: getattr(estimator, key) for key in ("transform_input", "verbose")}
    elif name == "FrozenEstimator":
        params, held = {}, {"estimator": estimator.estimator}
    else:
        held = getattr(estimator, "_saved_estimators", dict)()
        params = getattr(estimator, "_saved_params", partial(estimator.get_params, False))()
    description["held"] = _write_held(held, params, folder)
    # (Of the class: one that is frozen answers for what it holds, which has a folder of its own.)
    if fitted and hasattr(type(estimator), "_saved_state"):
        description["attributes"] = {
            key: encode(value, f"the attribute {key!r} of {name}")
            for key, value in estimator._saved_state(folder).items()
            if key not in held
        }
    description["params"] = {
        key: encode(value, f"the parameter {key!r} of {name}")
        for key, value in params.items()
        if key not in held
    }
    (folder / _DESCRIPTION).write_text(json.dumps(description, indent=1, allow_nan=False))


def _write_held(
    held: dict[str, BaseEstimator], params: Collection[str], folder: Path
) -> list[Json]:
    """Write the estimators that one holds; those that are its parameters may wait to be fitted."""
    for index, (name, estimator) in enumerate(held.items()):
        fitted = name not in params or _is_fitted(estimator)
        _write(estimator, folder / f"held_{index}", fitted)
    return list(held)


def _is_fitted(estimator: BaseEstimator) -> bool:
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def _write_steps(pipeline: Pipeline, folder: Path, fitted: bool) -> list[Json]:
    steps: list[Json] = []
    for index, (name, step) in enumerate(pipeline.steps):
        if step is None or step == "passthrough":
            steps.append([name, None])
            continue
        steps.append([name, f"step_{index}"])
        _write(step, folder / f"step_{index}", fitted)
    return steps


def _read(folder: Path, module: OwnModule | None, depth: int = 0) -> BaseEstimator:
    try:
        return _checked(folder, module, depth)
    except (FolderError, ImportError):
        raise
    # What a library makes of a file that was tampered with, nobody can tell beforehand.
    except Exception as error:
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        # (Of XGBoost, the rest is where in its C++.)
        said = str(error).partition("\n")[0][:_LONGEST]
        raise FolderError(
            f"The saved estimator in {str(folder)!r} is damaged: {kind}{said}. Save it again."
        ) from error


def _checked(folder: Path, module: OwnModule | None, depth: int) -> BaseEstimator:
    if depth > _DEEPEST:
        raise ValueError(f"it holds estimators within estimators, more than {_DEEPEST} times")
    if depth and folder.is_symlink():
        raise ValueError(f"{folder.name} is a link, which could lead anywhere")
    description = read_json(folder / _DESCRIPTION)
    version = description["version"]
    if type(version) is not int or version < 1:
        raise ValueError(f"the format version is {version!r}")
    if version > _VERSION:
        raise FolderError(
            f"{str(folder)!r} is of format version {str(version)[:9]}, and this raydp_ml reads up "
            f"to {_VERSION}. Upgrade raydp_ml (it was written by "
            f"{str(description.get('raydp_ml'))[:9]})."
        )
    name = description["class"]
    cls = _class_of(name)
    if cls is None:
        raise FolderError(
            f"{str(folder)!r} holds a {str(name)[:_LONGEST]!r}, which is not one of "
            f"{sorted(_CLASSES)}."
        )
    return _made(cls, description, folder, module, depth)


def _made(
    cls: Any, description: dict[str, Any], folder: Path, module: OwnModule | None, depth: int
) -> BaseEstimator:
    params = {key: decode(value) for key, value in description["params"].items()}
    check_params(cls, params)
    if description["class"] == "Pipeline":
        return cls(_read_steps(description["steps"], folder, module, depth), **params)
    own = params.get("module")
    if isinstance(own, dict) and "own_module" in own:
        params["module"] = _given_module(own["own_module"], folder, module)
    # The names of the sub-folders are ours, as those of steps are.
    held = {
        name: _read(folder / f"held_{index}", module, depth + 1)
        for index, name in enumerate(description.get("held", ()))
    }
    for name in [name for name in held if name in cls._get_param_names()]:
        params[name] = held.pop(name)
    estimator: BaseEstimator = cls(**params)
    if hasattr(estimator, "_distrust"):
        estimator._distrust()
    if description.get("fitted", True) and description["class"] != "FrozenEstimator":
        attributes = {key: decode(value) for key, value in description["attributes"].items()}
        state = {**attributes, **held}
        check_names(cls, state)
        estimator._restore_state(state, folder)
        check_state(estimator)
    return estimator


def _given_module(name: object, folder: Path, module: OwnModule | None) -> OwnModule:
    if module is None:
        name = str(name)[:_LONGEST]
        last = name.rsplit(".", 1)[-1]
        raise FolderError(
            f"The estimator in {str(folder)!r} was trained with the module {name}, and loading "
            f"runs no code that a file names. Pass it: raydp_ml.load(path, module={last})."
        )
    return module


def _read_steps(
    steps: list[tuple[str, str | None]], folder: Path, module: OwnModule | None, depth: int
) -> list[tuple[str, BaseEstimator | str]]:
    read: list[tuple[str, BaseEstimator | str]] = []
    for index, (name, sub) in enumerate(steps):
        if not isinstance(name, str):
            raise ValueError(f"the step {index} has the name {name!r}")
        # The name of the sub-folder is ours, so that a file cannot point elsewhere.
        inner = "passthrough" if sub is None else _read(folder / f"step_{index}", module, depth + 1)
        read.append((name, inner))
    return read


def _class_of(name: object) -> type[BaseEstimator] | None:
    if not isinstance(name, str) or name not in _CLASSES:
        return None
    found: type[BaseEstimator] = getattr(importlib.import_module(_CLASSES[name]), name)
    return found
