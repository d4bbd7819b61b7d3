"""The pages of the site, and the programs that they show."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(
    [
        DOCS / "first_steps.md",
        DOCS / "tutorial.md",
        *DOCS.glob("how_to/*.md"),
        *DOCS.glob("coming_from/*.md"),
    ]
)
INCLUDE = re.compile(r'```\{include\} (\S+)\n:start-after: "(.*?)"\n:end-before: "(.*?)"\n```')
BLOCK = re.compile(r"<!-- test(?:: \w+)? -->\n```python\n(.*?)```", re.DOTALL)


def name_of(page: Path) -> str:
    """Name of a page, as the tests call it."""
    return page.relative_to(DOCS).with_suffix("").as_posix()


def text_of(page: Path) -> str:
    """Return the text of a page, with what it includes of others."""

    def included(directive: re.Match[str]) -> str:
        name, start, end = directive.groups()
        text = (page.parent / name).read_text()
        return text.split(start.replace(r"\n", "\n"), 1)[1].split(end, 1)[0]

    return INCLUDE.sub(included, page.read_text())


def blocks(page: Path) -> list[str]:
    """Return the Python blocks of a page that are marked to be run, in their order.

    A block of another library (in "coming from") or of another cluster has no mark.
    """
    return BLOCK.findall(text_of(page))


def all_blocks(page: Path) -> list[str]:
    """Return every Python block of a page."""
    return re.findall(r"```python\n(.*?)```", text_of(page), re.DOTALL)


def unknown_keywords(source: str) -> Iterator[str]:
    """Yield the keyword arguments of calls of raydp_ml that its signatures do not have."""
    tree = ast.parse(source)
    names: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("raydp_ml"):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                names[alias.asname or alias.name] = getattr(module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("raydp_ml"):
                    importlib.import_module(alias.name)
                    names["raydp_ml"] = importlib.import_module("raydp_ml")
    models = _models(tree, names)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = _found(node.func, {**names, **models})
        if called is None:
            continue
        known = inspect.signature(called).parameters
        for keyword in node.keywords:
            name = keyword.arg
            if name is not None and name not in known and "__" not in name:
                yield f"{ast.unparse(node.func)}({name}=...)"


def _models(tree: ast.AST, names: dict[str, Any]) -> dict[str, Any]:
    """Find the class of each variable that is made by calling one of ours, or such and `fit`."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)):
            continue
        call = node.value
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call):
            call = call.func.value
        made = _found(call.func, names)
        if inspect.isclass(made) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = made
    return found


def _found(node: ast.expr, names: dict[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        base = _found(node.value, names)
        return None if base is None else getattr(base, node.attr)
    if isinstance(node, ast.Call):  # XGBClassifier(...).fit
        made = _found(node.func, names)
        return made if inspect.isclass(made) else None
    return None
