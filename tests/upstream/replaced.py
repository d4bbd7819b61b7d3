"""Our names in the place of an upstream package's own, for its test modules only."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

Classes = dict[str, dict[str, Any]]
"""For each upstream module, what stands in for the names in it."""


class Replaced:
    """A pytest plugin that imports test modules while upstream's names mean our classes.

    Only what a test module imports itself is replaced: all that upstream's own modules import was
    imported before, and the names are given back when the test module is there.
    """

    def __init__(self, classes: Classes) -> None:
        self._classes = classes

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector):
        if not isinstance(collector, pytest.Module):
            return (yield)
        with self._in_place():
            report = yield
        ours = {id(item) for names in self._classes.values() for item in names.values()}
        if report.passed and ours.isdisjoint(map(id, vars(collector.obj).values())):
            raise pytest.UsageError(f"{collector.nodeid} imports nothing that is replaced")
        return report

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        before = []
        for path, names in self._classes.items():
            module = importlib.import_module(path)
            for name, ours in names.items():
                before.append((module, name, getattr(module, name)))
                setattr(module, name, ours)
        try:
            yield
        finally:
            for module, name, value in before:
                setattr(module, name, value)
