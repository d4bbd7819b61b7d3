"""RayDP in a virtual environment of its own: it needs an older Spark than raydp_ml."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "1.6.5"
PYTHON = "3.11"
# It imports pkg_resources, which setuptools 81 has dropped.
PACKAGES = [f"raydp=={VERSION}", "pyspark==3.5.*", "ray==2.60.0", "setuptools<81"]
# It imports what Ray Train had before its second version.
ENVIRONMENT = {"RAY_TRAIN_V2_ENABLED": "0"}


class PeerError(Exception):
    """RayDP cannot run on this machine."""


def python(*, make: bool, extra: tuple[str, ...] = ()) -> str:
    """Return the interpreter of RayDP's environment, which is made once and kept.

    Parameters
    ----------
    make : bool
        Whether to make it where it is not there.
    extra : tuple of str
        Further packages; each set of them has an environment of its own.

    Raises
    ------
    PeerError
        If it cannot be made, or is not there and `make` is False.
    """
    # No "=" in the name: Spark 3.5 takes what stands before one in a path for a key.
    folder = _cache() / "-".join(["raydp", VERSION, *extra]).replace("==", "-")
    interpreter, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        if not make:
            raise PeerError(f"There is no {folder}; a run that is not quick makes it.")
        print(f"making {folder}", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _run([_base_python(), "-m", "venv", str(folder)])
        _run([str(interpreter), "-m", "pip", "install", "--quiet", *PACKAGES, *extra])
        complete.touch()
    return str(interpreter)


def environment() -> dict[str, str]:
    """Return the environment variables that RayDP runs with."""
    return {**os.environ, **ENVIRONMENT}


def _cache() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "raydp_ml" / "benchmarks"


def _base_python() -> str:
    if f"{sys.version_info.major}.{sys.version_info.minor}" == PYTHON:
        return sys.executable
    found = shutil.which(f"python{PYTHON}")
    if found is None:
        raise PeerError(f"RayDP {VERSION} needs Python {PYTHON}, and PATH has no python{PYTHON}.")
    return found


def _run(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        said = (ended.stderr or ended.stdout).strip().splitlines()[-3:]
        raise PeerError(f"`{' '.join(command)}` failed: {' / '.join(said)}")
