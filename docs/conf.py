"""Sphinx's settings: `make -C docs html` with the extra `[docs]` installed; warnings are errors.

Docstrings are read by importing raydp_ml, which starts neither Spark nor Ray.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path[:0] = [str(ROOT), str(DOCS)]

import benchmark_pages  # noqa: E402
import parameters  # noqa: E402

import raydp_ml  # noqa: E402
from raydp_ml import documentation  # noqa: E402

project = "raydp_ml"
author = "the contributors of raydp_ml"
copyright = author
version = release = raydp_ml.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "literal"  # `name` in docstrings, as in scikit-learn's
suppress_warnings: list[str] = []

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # types are in the docstrings
toc_object_entries_show_parents = "hide"
autodoc_member_order = "alphabetical"
numpydoc_show_class_members = False  # the template of classes lists them
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = f"raydp_ml {version}"
html_baseurl = documentation.address()
html_static_path = ["_static"]
html_extra_path = ["../benchmarks/results/report.html"]
html_css_files = ["site.css"]
html_show_copyright = False
html_theme_options = {
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["sphinx-version"],
    "footer_end": ["theme-version"],
}
html_sidebars = {"first_steps": [], "tutorial": [], "changelog": []}


def not_ours(app: Any, kind: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what scikit-learn and Python define: their own pages describe it."""
    if name.startswith("_") or re.fullmatch(r"set_\w+_request", name):
        return True
    function = member.fget if isinstance(member, property) else member
    function = getattr(function, "__func__", function)  # of a class method
    place = getattr(function, "__module__", None)
    return True if place and not place.startswith("raydp_ml") else None


def with_all_parameters(
    app: Any, kind: str, name: str, item: Any, options: Any, lines: list[str]
) -> None:
    """Describe the parameters that a docstring leaves to another one."""
    if kind in ("class", "function", "method"):
        lines[:] = parameters.completed(name, "\n".join(lines)).split("\n")


def without_foreign_roles(
    app: Any, kind: str, name: str, item: Any, options: Any, lines: list[str]
) -> None:
    """Turn references to sections of scikit-learn's user guide into plain text."""
    text = "\n".join(lines)
    text = re.sub(r"Read more in the :ref:`[^`]*`\.\n?", "", text)
    text = re.sub(r":(?:ref|term):`([^`<]*?)\s*(?:<[^`]*>)?`", r"\1", text)
    text = re.sub(r"For an? example[^.]*?,?\s*see\s+:(?:ref|doc):`[^`]*`\.\n?", "", text)
    lines[:] = text.split("\n")


def without_links_by_underscore(
    app: Any, kind: str, name: str, item: Any, options: Any, lines: list[str]
) -> None:
    """Escape scikit-learn's trailing underscore, which means a link, outside literals."""
    for index, line in enumerate(lines):
        if line.lstrip().startswith((">>>", "...", "..")):
            continue
        parts = re.split(r"(``.*?``|`[^`]*`)", line)
        parts[::2] = [re.sub(r"\b([A-Za-z]\w*)_(?![\w\\])", r"\1\\_", part) for part in parts[::2]]
        lines[index] = "".join(parts)


def setup(app: Any) -> None:
    """Write the pages of benchmarks, and look at members before they are documented."""
    benchmark_pages.write(ROOT / "benchmarks" / "results", DOCS / "benchmarks")
    app.connect("autodoc-skip-member", not_ours)
    app.connect("autodoc-process-docstring", with_all_parameters, priority=-1)
    app.connect("autodoc-process-docstring", without_foreign_roles, priority=0)
    app.connect("autodoc-process-docstring", without_links_by_underscore, priority=900)
