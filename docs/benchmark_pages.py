"""Pages of `benchmarks/results`, as they were measured, for the site."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

# Tables take the room of the list of sections.
WIDE = """---
html_theme.sidebar_secondary.remove: true
---
"""
HEAD = """# Benchmarks

Each page is the table that `python -m benchmarks NAME` wrote, unchanged: the machine, the versions,
the commit, medians and ranges, and targets met and missed. Rivals run in the same run, on the same
rows. Measure on your own machine before you rely on a ratio: what wins depends on the data, the
cores and what else runs. `python -m benchmarks` lists what there is to measure.
<a href="../report.html">The report</a> has all of it on one page, with charts.
"""
LIST = """
```{{toctree}}
:maxdepth: 1

{}
```
"""


def write(results: Path, folder: Path) -> None:
    """Write to `folder` one page for each Markdown table in `results`, and a list of them.

    The list begins with the summary of `report.md`: targets that were missed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    names = sorted(path.stem for path in results.glob("*.md") if path.stem != "report")
    for name in names:
        (folder / f"{name}.md").write_text(WIDE + (results / f"{name}.md").read_text())
    report = (results / "report.md").read_text()
    summary = re.match(r"# .*?\n(.*?)\nThe same with charts", report, re.DOTALL)
    missed = f"\n## Targets\n{summary[1]}" if summary else ""
    (folder / "index.md").write_text(HEAD + LIST.format("\n".join(names)) + missed)
