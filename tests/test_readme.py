"""What the README shows runs, in a folder of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def block(mark, language):
    found = re.search(rf"<!-- {mark} -->\n```{language}\n(.*?)```", README, re.DOTALL)
    assert found, f"README.md has no {language} block marked {mark!r}"
    return found[1]


def test_the_quick_start_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", block("test: quickstart", "python")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "|prediction|" in done.stdout.replace(" ", "")
    # The label is 2 (x) plus uniform noise of variance 1/12 beside a signal of variance 3333.
    assert float(done.stdout.split()[-1]) > 0.999
    assert not list(tmp_path.iterdir()), "the quick start left files behind"


def test_the_transformers_run():
    script = 'import raydp_ml\nspark = raydp_ml.init_spark("readme")\n'
    done = subprocess.run(
        [sys.executable, "-c", script + block("test: transformers", "python")],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "|sales__sales|region__region_north|region__region_south|y|" in done.stdout.replace(
        " ", ""
    )


def test_the_commands_install_from_the_constraints():
    for mark in ("command: main-job", "command: tests"):
        assert "pip install -q -c constraints.txt" in block(mark, "bash")
