"""pytest plugin: scikit-learn's tests with our classes, which send their data to Spark."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raydp_ml.base import SparkEstimator
from tests.upstream import sent_to_spark
from tests.upstream.expected import ExpectedFailures
from tests.upstream.replaced import Replaced
from tests.upstream.sklearn_classes import exposed_again

EXPECTED = Path(__file__).with_name("sklearn_on_spark.toml")
USED = pytest.StashKey[set[str]]()


def pytest_configure(config):
    adapters = {}
    classes = {}
    for module, names in exposed_again().items():
        classes[module] = {}
        for name, ours in names.items():
            if isinstance(ours, type) and issubclass(ours, SparkEstimator):
                if ours not in adapters:
                    adapters[ours] = sent_to_spark.sent(ours)
                classes[module][name] = adapters[ours]
    config.pluginmanager.register(Replaced(classes))
    config.pluginmanager.register(ExpectedFailures(EXPECTED))
    config.pluginmanager.register(UsesOfSpark())


class UsesOfSpark:
    """A pytest plugin that says which of our classes each test sent to Spark."""

    def __init__(self) -> None:
        self.count = 0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        sent_to_spark.used.clear()
        try:
            return (yield)
        finally:
            item.stash[USED] = set(sent_to_spark.used)
            self.count += bool(sent_to_spark.used)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        if call.when == "call":
            report.user_properties.append(("classes", sorted(item.stash[USED])))
            if path := os.environ.get("UPSTREAM_REPORT"):
                import json

                line = str(call.excinfo.value).strip() if call.excinfo else ""
                kind = call.excinfo.typename if call.excinfo else ""
                with open(path, "a") as f:
                    f.write(
                        json.dumps(
                            [
                                item.nodeid,
                                report.outcome,
                                sorted(item.stash[USED]),
                                kind,
                                line,
                                round(call.duration, 2),
                            ]
                        )
                        + "\n"
                    )
        return report

    def pytest_terminal_summary(self, terminalreporter):
        terminalreporter.write_line(f"{self.count} tests used Spark")
