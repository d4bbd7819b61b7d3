"""pytest plugin: scikit-learn's tests with our classes, on the data in memory that they have."""

from __future__ import annotations

from pathlib import Path

from tests.upstream.expected import ExpectedFailures
from tests.upstream.replaced import Replaced
from tests.upstream.sklearn_classes import exposed_again

EXPECTED = Path(__file__).with_name("sklearn_in_memory.toml")


def pytest_configure(config):
    config.pluginmanager.register(Replaced(exposed_again()))
    config.pluginmanager.register(ExpectedFailures(EXPECTED))
