"""pytest plugin: scikit-learn's tests with our classes, which send their data to Spark."""

from __future__ import annotations

from pathlib import Path

import pytest

from raydp_ml import pipeline
from raydp_ml.base import SparkEstimator
from raydp_ml.compose import _column_transformer
from raydp_ml.preprocessing import FunctionTransformer
from tests.upstream import sent_to_spark
from tests.upstream.expected import ExpectedFailures
from tests.upstream.replaced import Replaced
from tests.upstream.sklearn_classes import exposed_again

EXPECTED = Path(__file__).with_name("sklearn_on_spark.toml")


def pytest_configure(config):
    config.pluginmanager.register(Replaced(sent_classes()))
    config.pluginmanager.register(ExpectedFailures(EXPECTED))
    config.pluginmanager.register(UsesOfSpark())


def sent_classes():
    """Return, by module and name, the classes that send what they are given to Spark."""
    made, classes = {}, {}
    for module, names in exposed_again().items():
        classes[module] = {}
        for name, ours in names.items():
            if isinstance(ours, type) and issubclass(ours, SparkEstimator):
                if ours not in made:
                    made[ours] = sent_to_spark.sent(ours)
                classes[module][name] = made[ours]
    # What stands for "passthrough" is to be of the class that the tests know.
    for module in (_column_transformer, pipeline):
        module.FunctionTransformer = made[FunctionTransformer]
    return classes


class UsesOfSpark:
    """A pytest plugin that counts the tests that sent data to Spark."""

    def __init__(self) -> None:
        self._count = 0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self):
        sent_to_spark.used.clear()
        try:
            return (yield)
        finally:
            self._count += bool(sent_to_spark.used)

    def pytest_terminal_summary(self, terminalreporter):
        terminalreporter.write_line(f"{self._count} tests used Spark")
