"""The public names, with their signatures and defaults, are those that are written down.

`public_api.txt` holds them: a change of it is a change that users see. After one that is meant:
``python -m tests.test_public_api > tests/public_api.txt``.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import raydp_ml

WRITTEN = Path(__file__).with_name("public_api.txt")
MODULES = [
    "raydp_ml",
    "raydp_ml.calibration",
    "raydp_ml.compose",
    "raydp_ml.datasets",
    "raydp_ml.decomposition",
    "raydp_ml.diagnosis",
    "raydp_ml.exceptions",
    "raydp_ml.exchange",
    "raydp_ml.feature_extraction.text",
    "raydp_ml.feature_selection",
    "raydp_ml.impute",
    "raydp_ml.inspection",
    "raydp_ml.metrics",
    "raydp_ml.mlflow",
    "raydp_ml.model_selection",
    "raydp_ml.pipeline",
    "raydp_ml.preprocessing",
    "raydp_ml.serve",
    "raydp_ml.session",
    "raydp_ml.sql",
    "raydp_ml.torch",
    "raydp_ml.xgboost",
]


def public_api() -> Iterator[str]:
    for name in MODULES:
        module = importlib.import_module(name)
        for public in sorted(module.__all__):
            yield from described(f"{name}.{public}", getattr(module, public))


def described(place: str, item: Any) -> Iterator[str]:
    if not inspect.isclass(item):
        yield f"{place}{signature(item)}"
        return
    bases = [base.__name__ for base in item.__mro__[1:-1] if is_public(base)]
    yield f"{place}{signature(item)}"
    yield f"    is: {', '.join(bases) or 'object'}"
    for name in sorted(dir(item)):
        value = inspect.getattr_static(item, name)
        if name.startswith("_") or not any(
            name in vars(base) and is_ours(base) for base in item.__mro__
        ):
            continue
        if isinstance(value, property):
            yield f"    {name}"
        elif callable(getattr(item, name, None)):
            yield f"    {name}{signature(getattr(item, name))}"


def is_ours(item: Any) -> bool:
    return item.__module__.partition(".")[0] == raydp_ml.__name__


def is_public(base: type) -> bool:
    """scikit-learn's and Python's bases, by which users tell what a class can do."""
    return not is_ours(base) and not base.__name__.startswith("_")


def signature(item: Any) -> str:
    try:
        found = inspect.signature(item)
    except ValueError:  # of a class written in C, such as an exception
        return ""
    bare = [p.replace(annotation=p.empty) for p in found.parameters.values()]
    # <class 'numpy.float64'>, <function f_classif at 0x7f...>
    return re.sub(r"<(?:class|function) '?([\w.]+)[^>]*>", r"\1", str(inspect.Signature(bare)))


def test_public_api_is_the_one_that_is_written_down():
    assert list(public_api()) == WRITTEN.read_text().splitlines()


def test_documented_names_come_from_the_top():
    for name in raydp_ml.__all__:
        assert getattr(raydp_ml, name).__module__.startswith("raydp_ml.")


if __name__ == "__main__":
    print("\n".join(public_api()))
