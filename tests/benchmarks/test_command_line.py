"""The benchmarks' command line, and that its cases measure contenders that did the same job."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from benchmarks import harness, raydp_peer, report, session
from benchmarks.exchange import joined, mode_targets
from benchmarks.harness import (
    INTERRUPTED,
    Contender,
    Measured,
    Table,
    Target,
    compare,
    complete,
    repetitions,
    turns,
)
from benchmarks.options import CASES, Options

ROOT = Path(__file__).parent.parent.parent
OPTIONS = Options(rows=None, workers=1, modes=(), quick=True, repeat=2)
FULL = replace(OPTIONS, quick=False)


@pytest.fixture(scope="module", autouse=True)
def few_objects():
    """Spare the many collections of a benchmark what other tests have imported and made."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def this_process_alone(monkeypatch):
    """Watch the memory of this process alone: other tests' Ray and JVM make each look a second."""
    monkeypatch.setattr("benchmarks.processes.processes_of_run", lambda: [psutil.Process()])


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
    assert [line.split()[0] for line in lines] == [*CASES, "report"]
    assert all(line.endswith("?") for line in lines[:-1])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["fitt"],
            "there is no case 'fitt'; there are session, exchange, fit, predict, explain, serve, "
            "search, torch, transformers, metrics, airline, memory, external, soak, scaling, "
            "all, report",
        ),
        (["fit", "--rows", "0"], "argument --rows: must be a whole number of at least 1, got '0'"),
        (["fit", "--repeat", "x"], "argument --repeat: must be a whole number of at least 1"),
        (["fit", "--workers", "-1"], "argument --workers: must be a whole number of at least 1"),
        (["fit", "--mode", "yarn"], "argument --mode: there is no 'yarn'; there are local, stand"),
        (["exchange", "--mode", "local,"], "argument --mode: there is no ''; there are local, "),
        (["fit", "--mode", "local,native"], "only exchange takes more than one --mode"),
        (["fit", "--rouws", "3"], "unrecognized arguments: --rouws 3"),
        (["airline", "--data", "/no/such"], "there is no file or folder /no/such"),
        (["airline", "--data", "pyproject.toml"], "cannot read pyproject.toml as Parquet: "),
        (["airline", "--data", "x", "--rows", "9"], "--rows is of generated data: leave it out"),
        (["fit", "--data", "x"], "only airline takes --data"),
        (["report", "--results", "/no/such"], "there are no results in /no/such: run a case first"),
    ],
)
def test_a_wrong_command_line_gets_one_line_and_code_2(arguments, text):
    result = benchmarks(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"benchmarks: {text}")
    assert result.stderr.count("\n") == 1


@pytest.mark.slow
def test_what_the_cluster_has_not_is_said_in_one_line(tmp_path):
    command = ("predict", "--quick", "--workers", "99", "--results", str(tmp_path))
    result = benchmarks(*command, timeout=240)
    assert result.returncode == 2
    assert result.stderr.startswith("benchmarks: predict: num_workers=99 workers with 1 CPU each")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [FULL, OPTIONS], ids=["full", "quick"])
def test_contenders_take_turns(options):
    calls = []

    def contender(name):
        return Contender(
            name,
            run=lambda: calls.append(name) or name,
            check=lambda result: {"rows": 1, "result": result},
            release=lambda result: calls.append(f"free {result}"),
        )

    table = compare("a test", [contender("a"), contender("b")], options, lambda: None, warm_up=1)
    order = ["a", "b", "a", "b", "b", "a", "a", "b"]  # warm-up, two repetitions, memory
    if options.quick:  # the first run is all of these, and the second repetition follows
        order = order[:4]
    assert calls == [call for name in order for call in (name, f"free {name}")]
    for row in table.rows:
        assert row.facts == {"rows": 1, "result": row.name}
        assert len(row.seconds) == len(row.cpu_s) == 2
        assert len(row.warm_up_s) == 1
        assert row.memory["peak_pss_mb"] > 10


def test_a_contender_that_fails_is_reported_and_the_others_run():
    def broken():
        raise OSError("no such device")

    able = Contender("able", run=lambda: 1, check=lambda result: {"rows": result})
    table = compare("a test", [Contender("broken", broken, dict), able], OPTIONS, lambda: None)
    assert table["broken"].error == "OSError: no such device"
    assert table["broken"].seconds == []
    assert len(table["able"].seconds) == 2
    assert table["able"].error is None
    assert table.ratio("able", "broken") is None
    assert table.ratio("able", "able") == 1


@pytest.mark.parametrize("step", ["run", "check", "release"])
@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_a_contender_that_fails_later_keeps_what_it_has_done(step, call):
    """Its calls are a warm-up, two repetitions and one for the memory; only the first checks."""
    calls = {"run": 0, "check": 0, "release": 0}

    def counted(name):
        calls[name] += 1
        if (name, calls[name]) == (step, call):
            raise ValueError(f"{name} {call}")

    def contender(name, act):
        return Contender(
            name, lambda: act("run"), lambda _: act("check") or {}, lambda _: act("release")
        )

    able = contender("able", lambda _: None)
    contenders = [contender("failing", counted), able]
    table = compare("a test", contenders, FULL, lambda: None, warm_up=1)
    fails = step != "check" or call == 1
    assert table["failing"].error == (f"ValueError: {step} {call}" if fails else None)
    if step == "run":
        assert len(table["failing"].seconds) == max(0, min(call - 2, 2))
        assert calls["run"] == call, "it is not run again"
    assert len(table["able"].seconds) == 2
    assert table["able"].error is None


def test_targets():
    assert Target("at most", 1.7, 1.7).met
    assert not Target("at most", 1.8, 1.7).met
    assert Target("at least", 6.1, 6, at_least=True).met
    assert not Target("at least", 5.9, 6, at_least=True).met
    assert not Target("not measured", None, 6).met


def test_each_goes_first_in_turn():
    assert list(turns("abc", 4, "a test")) == list("abc" + "bca" + "cab" + "abc")
    assert list(turns("", 2, "a test")) == []


def test_what_is_complete_is_kept_when_the_user_interrupts(capsys):
    def tables(*titles):
        yield from (Table(title, []) for title in titles)
        raise KeyboardInterrupt

    one, two = complete(tables("one", "two"))
    assert (one.title, one.note, two.title, two.note) == ("one", "", "two", INTERRUPTED)
    assert capsys.readouterr().err == "interrupted: kept are one, two\n"
    with pytest.raises(KeyboardInterrupt):
        complete(tables())


def measured(name, *seconds, **facts):
    row = Measured(name, facts=facts)
    for each in seconds:
        row.add(each, cpu_s=each, other_cpu_s=0)
    return row


def test_sessions_of_one_mode_are_joined_and_compared_with_local():
    seen = [
        measured("local", 2.0, rows=7),
        measured("native", 2.0, rows=7),
        measured("local", 4.0, rows=7),
        measured("native", 5.2, rows=7),
    ]
    local, native = rows = joined("from_spark", seen)
    assert (local.name, local.seconds, local.cpu_s) == ("from_spark in local", [2, 4], [2, 4])
    assert local.facts == {"mode": "local", "rows": 7, "of local": 1.0}
    assert native.facts == {"mode": "native", "rows": 7, "of local": 1.2}
    (target,) = mode_targets([Table("by mode", rows)])
    assert target == Target("from_spark in native takes, of local", 1.2, 1.2)
    assert target.met
    alone = joined("from_spark", [measured("native", 2.0), measured("standalone", 2.0)])
    assert mode_targets([Table("by mode", alone)]) == []
    failed = replace(measured("local"), error="OSError: gone")
    local, native = rows = joined("from_spark", [failed, measured("native", 2.0), failed])
    assert (local.error, native.error) == ("OSError: gone", None)
    assert mode_targets([Table("by mode", rows)]) == []


def started(cold, warm=None, error=None):
    def part(seconds):
        usage = {"seconds": seconds, "cpu_s": 2 * seconds, "other_cpu_s": 0.5}
        return usage | {"facts": {"pyspark": "1.2", "stop s": seconds / 10}}

    record = {} if cold is None else {"cold": part(cold)}
    record |= {} if warm is None else {"warm": part(warm)}
    return record if error is None else record | {"error": error}


def session_tables(raydp):
    seen = {
        session.PLAIN: [started(2.0, 1.0), started(4.0, 3.0), started(3.0, 2.0)],
        session.PLAIN_ENDING: [started(None, 2.5)] * 3,
        session.JVM: [started(0.5)] * 3,
        session.NATIVE: [started(4.4, 3.2)] * 3,
        session.RAYDP: raydp,
    }
    first = {name: records[0] for name, records in seen.items()}
    return [Table(part, session.rows_of(seen, first, part)) for part in ("cold", "warm")]


def test_cold_and_warm_starts_are_put_together():
    cold, warm = session_tables([started(8.8, 4.5)] * 3)
    row = cold[session.PLAIN]
    assert (row.median, row.seconds, row.cpu_s) == (3, [2, 4, 3], [4, 8, 6])
    assert row.warm_up_s == [2]
    assert row.facts == {"pyspark": "1.2", "stop s": pytest.approx(0.3)}
    assert warm[session.PLAIN].median == 2
    assert session.JVM not in {row.name for row in warm.rows}
    values = [(target.value, target.met) for target in session.targets_of(cold, warm)]
    expected = [((4.4 - 0.5) / 3, True), (2.7 / 2, False), (2.7 / 2.5, True), (2.0, True)]
    assert values[:4] == [(pytest.approx(value), met) for value, met in expected]
    assert values[4] == (pytest.approx(4.5 / 3.2), False)


@pytest.mark.parametrize("cold_works", [True, False])
def test_a_peer_that_cannot_run_is_reported_with_its_error(cold_works):
    error = "ActorAlreadyExistsError: the name\nis taken"
    tables = session_tables([started(8.8 if cold_works else None, error=error)])
    targets = session.targets_of(*tables)
    assert [target.value is None for target in targets] == [*[False] * 3, not cold_works, True]
    run = report.begin("session", OPTIONS)
    record = json.loads(json.dumps(report.finish(run, tables, targets)))
    text = report.markdown(record)
    assert text.count(f"| {session.RAYDP} | could not run |") == (1 if cold_works else 2)
    assert f"- {session.RAYDP} failed: ActorAlreadyExistsError: the name is taken\n" in text
    assert "| warm: native is times as fast as RayDP | not measured | ≥ 1.5 | **no** |" in text
    assert "peak memory" not in text  # nobody's memory was measured


def test_a_start_that_fails_says_why(tmp_path):
    record = session._start("no such kind", OPTIONS, tmp_path, sys.executable, {})
    assert record == {"error": "KeyError: 'no such kind'"}
    record = session._start("plain", OPTIONS, tmp_path, "/bin/false", {})
    assert record == {"error": "exit status 1: no output"}


def test_a_quick_run_makes_no_environment_for_raydp(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(raydp_peer.PeerError, match="a run that is not quick makes it"):
        raydp_peer.python(make=False)
    assert list(tmp_path.iterdir()) == []
    error = session._raydp(OPTIONS, tmp_path)()["error"]
    assert error.startswith("There is no ")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_one_start_of_plain_spark(tmp_path):
    record = session._start("plain", OPTIONS, tmp_path, sys.executable, {})
    assert set(record) == {"cold", "warm"}
    assert record["cold"]["seconds"] > record["warm"]["seconds"] > 0
    assert record["warm"]["facts"]["left"] == 0
    assert "Ray s" not in record["cold"]["facts"]


def test_long_runs_are_repeated_less_often():
    rows = [measured("a"), measured("b")]
    options = replace(OPTIONS, repeat=5)
    assert repetitions(options, rows) == 5
    rows[0].warm_up_s, rows[1].warm_up_s = [59.0, 2.0], [3.0]
    assert repetitions(options, rows) == 5
    rows[1].warm_up_s = [61.0]
    assert repetitions(options, rows) == 3
    assert repetitions(OPTIONS, rows) == 2


def test_the_memory_of_long_jobs_is_seen_while_they_warm_up():
    runs = []
    contender = Contender("a", lambda: runs.append(1), lambda _: {})
    (row,) = compare("a test", [contender], FULL, lambda: None, 3, watch_warm_up=True).rows
    assert (len(runs), len(row.warm_up_s), len(row.seconds)) == (5, 3, 2)
    assert row.memory["peak_pss_mb"] > 10


def test_the_first_round_of_jobs_of_minutes_is_a_repetition(monkeypatch):
    monkeypatch.setattr(harness, "_LONG_SECONDS", 0.005)
    order = []

    def contender(name, seconds):
        def run():
            order.append(name)
            time.sleep(seconds)

        return Contender(name, run, lambda _: {}, parts=lambda _: {"sleep": seconds})

    both = [contender("long", 0.01), contender("short", 0)]
    options = replace(FULL, repeat=5)
    table = compare("a test", both, options, lambda: None, 1, watch_warm_up=True)
    assert [order.count(row.name) for row in table.rows] == [3, 3]
    for row in table.rows:
        assert len(row.seconds) == len(row.cpu_s) == len(row.parts["sleep"]) == 3
        assert row.seconds[0] == row.warm_up_s[0]
        assert row.memory["peak_pss_mb"] > 10


def test_parts_of_a_job_are_kept_by_repetition():
    runs = iter([9.0, 1.0, 3.0, 9.0])  # warm-up, two repetitions, memory
    contender = Contender("a", lambda: next(runs), lambda _: {}, parts=lambda s: {"read": s})
    (row,) = compare("a test", [contender], FULL, lambda: None, warm_up=1).rows
    assert row.parts == {"read": [1.0, 3.0]}
