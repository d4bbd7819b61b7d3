"""Seams; what may import what is in `pyproject.toml`, for `lint-imports`."""

from __future__ import annotations

import ast
from pathlib import Path

import raydp_ml

PACKAGE = Path(raydp_ml.__file__).parent
HANDLES = {"_jc", "_jdf", "_jsc", "_jsparkSession", "_jvm"}


def users_of(names):
    """Files of the package that name such an attribute."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        if any(isinstance(node, ast.Attribute) and node.attr in names for node in nodes):
            found.add(path.relative_to(PACKAGE))
    return found


def test_py4j_handles_occur_in_the_session_and_in_one_seam():
    outside = {path.as_posix() for path in users_of(HANDLES) if path.parts[0] != "session"}
    assert outside == {"exchange/jvm.py"}


def test_ray_tasks_and_actors_are_made_below_the_estimators():
    rooms = {path.parts[0] for path in users_of({"remote"})}
    assert rooms <= {"session", "exchange", "training"}
