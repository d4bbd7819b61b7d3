"""What docs/interoperation.md shows runs, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "interoperation.md").read_text()
BLOCKS = dict(re.findall(r"<!-- test: (\S+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
FIRST = BLOCKS.pop("pipe")

BEFORE = {
    "mlflow": "import mlflow; mlflow.set_tracking_uri('sqlite:///runs.db')",
    "serve": "import ray; ray.init(num_cpus=2, include_dashboard=False)",
}
SAME = "assert (found == pipe.predict(rows)).all()"
CHECK = {
    "mlflow": SAME,
    "onnx": "assert (classes == pipe.predict(rows)).all() and shares.shape == (100, 2)",
    "serve": f"{SAME}; serve.shutdown(); ray.shutdown()",
    "skops": "assert (again.predict(rows) == pipe.predict(rows)).all()",
    "sklearn": "assert (plain.predict(rows) == pipe.predict(rows)).all()",
}
NEEDS = {"onnx": "onnxruntime", "skops": "skops", "mlflow": "mlflow"}


def test_every_block_has_a_mark_of_its_own():
    assert sorted(BLOCKS) == sorted(CHECK)
    assert PAGE.count("```python") == len(BLOCKS) + 1


@pytest.mark.slow
@pytest.mark.parametrize("mark", CHECK)
def test_a_block_runs(mark, tmp_path):
    if mark in NEEDS and find_spec(NEEDS[mark]) is None:
        pytest.skip(f"needs {NEEDS[mark]}")
    source = "\n".join([FIRST, BEFORE.get(mark, ""), BLOCKS[mark], CHECK[mark]])
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr[-3000:]
