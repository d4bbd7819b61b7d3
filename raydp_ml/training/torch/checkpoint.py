"""Checkpoints as folders: tensors in safetensors, all else in JSON; nothing in them is code."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydp_ml.session.full import disk_may_be_full
from raydp_ml.training.torch.spec import Best, Checkpoint

if TYPE_CHECKING:
    import torch

_FORMAT = "raydp_ml checkpoint"
_VERSION = 1
_JSON, _TENSORS = "checkpoint.json", "tensors.safetensors"
_PARTS = ("weights", "optimizer", "scheduler", "scaler", "history", "best")


def write_checkpoint(folder: Path, checkpoint: Checkpoint, about: dict[str, object]) -> None:
    """Write a checkpoint; one that was there is replaced when the new one is complete.

    Parameters
    ----------
    folder : Path
    checkpoint : Checkpoint
    about : dict
        Plain values that `read_checkpoint` returns as they are.
    """
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    values = {name: getattr(checkpoint, name) for name in _PARTS}
    values["best"] = vars(checkpoint.best)
    packed = {name: _pack(value, name, tensors) for name, value in values.items()}
    description = {
        "format": _FORMAT,
        "version": _VERSION,
        "epochs": checkpoint.epochs,
        "seed": checkpoint.seed,
        "about": about,
        **packed,
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        disk_may_be_full(str(folder.parent)),
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch,
    ):
        made = Path(scratch) / "new"
        made.mkdir()
        save_file(tensors, made / _TENSORS)
        (made / _JSON).write_text(json.dumps(description, allow_nan=False))
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        made.rename(folder)


def require_writable(folder: Path) -> None:
    """Raise `OSError` where no checkpoint can be written, before a network is trained."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}."):
            pass
    except OSError as error:
        raise type(error)(
            f"checkpoint_path={str(folder)!r} cannot be written ({error}). Choose another path."
        ) from error


def read_checkpoint(folder: Path) -> tuple[Checkpoint, dict[str, Any]]:
    """Read what `write_checkpoint` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it is of another kind, damaged, or newer.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not folder.exists():
        raise FileNotFoundError(
            f"There is no checkpoint {str(folder)!r}. A fit with checkpoint_path=... writes one."
        )
    try:
        description = json.loads((folder / _JSON).read_text())
        if description["format"] != _FORMAT or description["version"] > _VERSION:
            raise KeyError("format")
        tensors = load_file(folder / _TENSORS)
        values = {name: _unpack(description[name], tensors) for name in _PARTS}
        values["best"] = Best(**values["best"])
        made = Checkpoint(description["epochs"], description["seed"], **values)
        return made, description["about"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ValueError(
            f"{str(folder)!r} is not a checkpoint that this raydp_ml can read: "
            f"{type(error).__name__}: {error}. Give the folder that checkpoint_path named."
        ) from error


def is_checkpoint(folder: Path) -> bool:
    """Say whether a folder holds a checkpoint (and so may be replaced by one)."""
    try:
        return bool(json.loads((folder / _JSON).read_text())["format"] == _FORMAT)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _pack(value: object, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        tensors[name] = value.contiguous()
        return {"$tensor": name}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, dict):
        # Keys may be numbers, which JSON has not.
        return {"$dict": [[k, _pack(v, f"{name}.{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"$tuple": [_pack(v, f"{name}.{i}", tensors) for i, v in enumerate(value)]}
    if isinstance(value, list):
        return [_pack(v, f"{name}.{i}", tensors) for i, v in enumerate(value)]
    raise ValueError(
        f"A checkpoint cannot hold {name}, a {type(value).__name__}: it has no open format."
    )


def _unpack(value: object, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$float" in value:
        return float(value["$float"])
    if "$tuple" in value:
        return tuple(_unpack(item, tensors) for item in value["$tuple"])
    return {key: _unpack(item, tensors) for key, item in value["$dict"]}
