"""The site, as far as it can be looked at without Sphinx: references, links, calls in examples."""

from __future__ import annotations

import importlib
import re

import pytest

from tests.site_pages import DOCS, PAGES, all_blocks, name_of, unknown_keywords
from tests.test_public_api import WRITTEN

REFERENCE = re.compile(r"\.\. currentmodule:: (\S+)\n(.*?)```", re.DOTALL)
MADE = {"_build", "benchmarks"}
"""Folders that the build writes."""
SOURCES = sorted(p for p in DOCS.rglob("*.md") if p.relative_to(DOCS).parts[0] not in MADE)


def public_names():
    lines = WRITTEN.read_text().splitlines()
    return [line.partition("(")[0] for line in lines if not line.startswith(" ")]


def referred_names():
    for page in (DOCS / "reference").glob("*.md"):
        for module, text in REFERENCE.findall(page.read_text()):
            yield from (
                f"{module}.{name}" for name in re.findall(r"^   (\w+)$", text, re.MULTILINE)
            )


def resolved(name):
    module, _, public = name.rpartition(".")
    return getattr(importlib.import_module(module), public)


def test_every_public_name_is_on_a_reference_page():
    known = {id(resolved(name)) for name in referred_names()}
    assert [name for name in public_names() if id(resolved(name)) not in known] == []


def test_reference_pages_name_what_is_public_once():
    names = list(referred_names())
    assert sorted(names) == sorted(set(names))
    assert set(names) <= set(public_names())


@pytest.mark.parametrize("page", SOURCES, ids=name_of)
def test_links_between_pages_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    places = [(page.parent / target).resolve() for target in targets]
    known = {*SOURCES, DOCS / "benchmarks" / "index.md"}
    assert [place for place in places if place not in known and not place.exists()] == []


@pytest.mark.parametrize("page", SOURCES, ids=name_of)
def test_pages_are_in_a_list_of_contents(page):
    if page == DOCS / "index.md":
        return
    listed = set()
    for other in SOURCES:
        for entries in re.findall(r"```\{toctree\}\n(.*?)```", other.read_text(), re.DOTALL):
            lines = [line for line in entries.split("\n") if line and not line.startswith(":")]
            names = [line.partition("<")[2].rstrip(">") or line for line in lines]
            listed |= {(other.parent / f"{name}.md").resolve() for name in names}
    assert page in listed


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_examples_pass_what_there_is(page):
    assert [call for block in all_blocks(page) for call in unknown_keywords(block)] == []


def test_unknown_keywords_are_found():
    source = "from raydp_ml.xgboost import XGBRegressor\nm = XGBRegressor(n_tree=1).fit(a, q=2)"
    assert list(unknown_keywords(source)) == [
        "XGBRegressor(n_tree=1).fit(q=...)",
        "XGBRegressor(n_tree=...)",
    ]
