"""The examples in the docstrings do what they show, and every parameter is described."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import importlib.util
import inspect

import pytest

from tests.site_pages import DOCS
from tests.test_public_api import is_ours
from tests.test_site import public_names, resolved

MODULES = [
    "calibration",
    "compose",
    "datasets",
    "decomposition",
    "feature_extraction.text",
    "feature_selection",
    "impute",
    "metrics",
    "pipeline",
    "preprocessing",
    "transformers.spark_stage",
    "sql",
    "torch",
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(f"raydp_ml.{name}")
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    for public in module.__all__:
        item = getattr(module, public)
        assert item.__doc__, public
        if item.__module__.startswith("raydp_ml"):
            for example in finder.find(item, public, globs={}):
                result = runner.run(example)
                assert not result.failed, f"{public}: see the captured output"


spec = importlib.util.spec_from_file_location("parameters", DOCS / "parameters.py")
parameters = importlib.util.module_from_spec(spec)
spec.loader.exec_module(parameters)


def documented(name):
    """A public name and the methods of its page, which are what ours or overridden by ours."""
    yield name
    item = resolved(name)
    for method in dir(item) if inspect.isclass(item) else ():
        defined = [base for base in item.__mro__ if method in vars(base)]
        if method.startswith("_") or not any(map(is_ours, defined)):
            continue
        if inspect.isroutine(getattr(item, method)) and not method.endswith("_request"):
            yield f"{name}.{method}"


@pytest.mark.parametrize("name", public_names())
def test_every_parameter_is_described_on_the_site(name):
    item = resolved(name)
    if dataclasses.is_dataclass(item) or (inspect.isclass(item) and issubclass(item, Exception)):
        return  # what users get, and do not make
    for place in documented(name):
        known = item if place == name else getattr(item, place.rpartition(".")[2])
        entries = parameters.listed(parameters.completed(place, inspect.getdoc(known) or ""))
        for parameter in parameters.parameters_of(known):
            assert parameter in entries, f"{place}: {parameter}"
            said = entries[parameter].desc
            # What rows may be is said where others have their type.
            assert any(said) or (place != name and entries[parameter].type), f"{place}: {parameter}"


def test_parameters_are_completed_in_the_order_of_the_signature():
    text = "Scale.\n\nNotes\n-----\nOf ours.\n"
    done = parameters.completed("raydp_ml.preprocessing.RobustScaler", text)
    assert list(parameters.listed(done)) == parameters.parameters_of(
        resolved("raydp_ml.preprocessing.RobustScaler")
    )
    assert done.startswith("Scale.\n\nParameters\n")
    assert done.endswith("Notes\n-----\nOf ours.\n")
