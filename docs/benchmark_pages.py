"""Pages of `benchmarks/results`, as they were measured, for the site."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

HEAD = """# Benchmarks

Each page is the table that `python -m benchmarks NAME` wrote, unchanged: the machine, the versions,
the commit, medians and ranges, and the targets that were missed. Rivals run in the same run, on the
same rows. Measure on your own machine before you rely on a ratio: what wins depends on the data,
the cores and what else runs. `python -m benchmarks` lists what there is to measure.

```{toctree}
:maxdepth: 1

"""


def write(results: Path, folder: Path) -> None:
    """Write one page for each Markdown table in `results`, and a list of them, to `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    names = sorted(path.stem for path in results.glob("*.md") if path.stem != "report")
    for name in names:
        text = (results / f"{name}.md").read_text()
        if not re.match(r"# \S", text):
            text = f"# {name}\n\n{text}"
        (folder / f"{name}.md").write_text(text)
    (folder / "index.md").write_text(HEAD + "\n".join(names) + "\n```\n")
