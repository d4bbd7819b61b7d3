"""Expected failures of upstream's tests: a file of reasons, and pytest made to hold them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest


def read(path: Path) -> dict[str, str]:
    """Return the reason of each test, from a table per class of reasons with lists of tests."""
    tables = tomllib.loads(path.read_text())
    listed = [
        (test, f"{name}: {reason}")
        for name, reasons in tables.items()
        for reason, tests in reasons.items()
        for test in tests
    ]
    reasons = dict(listed)
    assert len(reasons) == len(listed), f"{path} lists a test twice"
    return reasons


class ExpectedFailures:
    """A pytest plugin: what is listed must fail, and whatever is not must pass."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_collection_modifyitems(self, items):
        files = {item.nodeid.split("::")[0] for item in items}  # one may run a few of all files
        reasons = read(self._path)
        left = {test: why for test, why in reasons.items() if test.split("::")[0] in files}
        for item in items:
            if reason := left.pop(item.nodeid, None):
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
        if left:
            raise pytest.UsageError(f"{self._path} lists tests that do not exist: {sorted(left)}")
