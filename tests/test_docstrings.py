"""The examples in the docstrings do what they show."""

from __future__ import annotations

import doctest
import importlib

import pytest

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
