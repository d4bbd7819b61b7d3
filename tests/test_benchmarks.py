"""The benchmarks' command line, and that its cases measure contenders that did the same job."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.harness import Contender, Target, compare
from benchmarks.options import CASES, Options

ROOT = Path(__file__).parent.parent


def benchmarks(*arguments, timeout=60):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_without_a_name_the_cases_are_listed():
    result = benchmarks()
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(CASES)
    assert all(line.endswith("?") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["fitt"], "there is no case 'fitt'; there are exchange, fit, all"),
        (["fit", "--rows", "0"], "argument --rows: must be a whole number of at least 1, got '0'"),
        (["fit", "--repeat", "x"], "argument --repeat: must be a whole number of at least 1"),
        (["fit", "--workers", "-1"], "argument --workers: must be a whole number of at least 1"),
        (["fit", "--mode", "yarn"], "argument --mode: invalid choice: 'yarn'"),
        (["fit", "--rouws", "3"], "unrecognized arguments: --rouws 3"),
    ],
)
def test_a_wrong_command_line_gets_one_line_and_code_2(arguments, text):
    result = benchmarks(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"benchmarks: {text}")
    assert result.stderr.count("\n") == 1


def test_contenders_take_turns():
    calls = []

    def contender(name):
        return Contender(
            name,
            run=lambda: calls.append(name) or name,
            check=lambda result: {"rows": 1, "result": result},
            release=lambda result: calls.append(f"free {result}"),
        )

    options = Options(rows=None, workers=1, mode="local", quick=True, repeat=2)
    table = compare("a test", [contender("a"), contender("b")], options, lambda: None)
    turns = ["a", "b", "a", "b", "b", "a", "a", "b"]  # warm-up, two repetitions, memory
    assert calls == [call for name in turns for call in (name, f"free {name}")]
    for row in table.rows:
        assert row.facts == {"rows": 1, "result": row.name}
        assert len(row.seconds) == len(row.cpu_s) == 2
        assert len(row.warm_up_s) == 1
        assert row.memory["peak_pss_mb"] > 10


def test_targets():
    assert Target("at most", 1.7, 1.7).met
    assert not Target("at most", 1.8, 1.7).met
    assert Target("at least", 6.1, 6, at_least=True).met
    assert not Target("at least", 5.9, 6, at_least=True).met


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_quick(tmp_path):
    result = benchmarks("all", "--quick", "--results", str(tmp_path), timeout=800)
    assert result.returncode == 0, result.stderr
    records = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in CASES}
    for name, record in records.items():
        assert record["commit"]
        assert {"pyspark", "ray", "java"} <= set(record["versions"])
        assert f"# {name}: {CASES[name]}" in (tmp_path / f"{name}.md").read_text()
        for table in record["tables"]:
            contenders = table["contenders"]
            assert len({contender["facts"]["rows"] for contender in contenders}) == 1
            for contender in contenders:
                assert 0 < contender["min_s"] <= contender["median_s"] <= contender["max_s"]
                assert contender["cpu_s"] > 0
                assert {"driver", "jvm"} <= set(contender["peak_pss_mb_by_role"])
    for table in records["exchange"]["tables"]:
        sums = {contender["facts"].get("checksum") for contender in table["contenders"]}
        assert len(sums - {None}) == 1
        complete = [row["name"] for row in table["contenders"] if "checksum" not in row["facts"]]
        assert all(name.startswith("floor") for name in complete)
    small, large = records["fit"]["tables"]
    errors = {row["name"]: row["facts"]["held-out RMSE"] for row in large["contenders"]}
    assert max(errors.values()) < 1.1 * min(errors.values())
    assert min(errors.values()) < 1.0  # the label spreads by about 5
    assert {row["name"] for row in small["contenders"]} == set(errors)
