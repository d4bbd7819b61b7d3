"""The list of dependencies in SECURITY.md is that of the pinned versions."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_the_list_has_the_pinned_versions():
    rows = re.findall(
        r"^\| ([\w-]+) \| ([\d.]+) \| (\d{4}-\d\d-\d\d) \|$",
        (ROOT / "SECURITY.md").read_text(),
        re.MULTILINE,
    )
    assert len(rows) >= 10
    versions = pinned()
    for name, version, _ in rows:
        assert versions[name] == version, "look at it again, and write the version and the day"


def test_the_list_has_what_is_required():
    listed = (ROOT / "SECURITY.md").read_text()
    required = re.search(r"install_requires=\[(.*?)\]", (ROOT / "setup.py").read_text(), re.DOTALL)
    names = re.findall(r'"([\w-]+)[<>=]', required[1])
    assert "pyspark" in names
    assert [name for name in names if f"| {name} |" not in listed] == []
