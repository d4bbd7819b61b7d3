"""Parameters that a docstring leaves to another one: on the site each has its sentence."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

from sklearn.externals._numpydoc.docscrape import NumpyDocString, Parameter

DELEGATES = {
    "raydp_ml.metrics.calibration_curve": "sklearn.calibration.calibration_curve",
    "raydp_ml.session.spark_session": "raydp_ml.init_spark",
    "raydp_ml.spark_session": "raydp_ml.init_spark",
}
WHATEVER = {"self", "args", "kwargs"}
HEADER = re.compile(r"\S.*\n-{3,}$", re.MULTILINE)
FOREIGN = re.compile(r" ?\[\d+\]_|^( *)\.\. (version|deprecated).*\n(\1 +.*\n)*", re.MULTILINE)
SECTION = re.compile(r"Parameters\n-{3,}\n(?:(?!\S.*\n-{3,}$).*\n?)*", re.MULTILINE)


def completed(name: str, docstring: str) -> str:
    """Return the docstring of a class or function with the parameters that it lacks.

    A class has them from the classes that it extends (scikit-learn's, mostly), and XGBoost's
    estimators from `XGBRegressor`, to which their docstrings send; a method from those that it
    overrides; a function from scikit-learn's of the same name. What the docstring itself says of
    a parameter wins.
    """
    item, sources = _item_and_sources(name)
    wanted = parameters_of(item)
    own = listed(docstring)
    if all(key in own and any(own[key].desc) for key in wanted):
        return docstring
    found = dict(own)
    for source in sources:
        for key, entry in listed(_borrowed(source)).items():
            if key not in found:
                found[key] = entry
            elif key in wanted and not any(found[key].desc):
                found[key] = Parameter(key, found[key].type, entry.desc)
    kept = [key for key in own if key not in wanted and not own[key].name.startswith("**")]
    # One entry may be of several parameters.
    entries = {id(found[key]): found[key] for key in [*wanted, *kept] if key in found}
    section = "Parameters\n----------\n" + "".join(map(_text, entries.values())) + "\n"
    without = SECTION.sub("", docstring)
    first = HEADER.search(without)
    place = first.start() if first else len(without)
    return f"{without[:place].rstrip()}\n\n{section}{without[place:]}"


def parameters_of(item: Any) -> list[str]:
    """Names of the parameters of a class or function, but for those that take whatever comes."""
    try:
        names = inspect.signature(item).parameters
    except (TypeError, ValueError):  # a property, a class written in C
        return []
    return [name for name in names if name not in WHATEVER]


def listed(docstring: str) -> dict[str, Parameter]:
    """Return the entries of the parameters that a docstring lists, by their names."""
    entries = NumpyDocString(docstring)["Parameters"]
    return {
        name.strip(" *\\"): entry for entry in entries for name in entry.name.split(",") if name
    }


def _item_and_sources(name: str) -> tuple[Any, list[str]]:
    """Find what `name` names, and the docstrings that may describe its parameters."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            item = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        break
    owner = item
    for part in parts[end:]:
        owner, item = item, getattr(item, part)
    if inspect.isclass(item):
        bases = [*item.__mro__[1:], *_described_for(item)]
        return item, [inspect.cleandoc(base.__doc__ or "") for base in bases]
    if not inspect.isclass(owner):
        theirs = DELEGATES.get(name, name.replace("raydp_ml.", "sklearn.", 1))
        module, _, function = theirs.rpartition(".")
        try:
            source = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError, ValueError):
            return item, []
        return item, [inspect.cleandoc(source.__doc__ or "")]
    overridden = [vars(base)[parts[-1]] for base in owner.__mro__ if parts[-1] in vars(base)]
    return item, [inspect.cleandoc(method.__doc__ or "") for method in overridden]


def _borrowed(docstring: str) -> str:
    """Return it without links to its own notes, and without the history of another library."""
    return FOREIGN.sub("", docstring)


def _described_for(cls: type) -> list[type]:
    if not cls.__module__.startswith("raydp_ml.xgboost."):
        return []
    return [importlib.import_module("raydp_ml.xgboost").XGBRegressor]


def _text(entry: Parameter) -> str:
    kind = " ".join(entry.type.split())
    head = f"{entry.name} : {kind}" if kind else entry.name
    return "\n".join([head, *(f"    {line}".rstrip() for line in entry.desc)]) + "\n"
