"""The bar of an exchange shows the tasks of its Spark jobs."""

from __future__ import annotations

import re

import pytest

from raydp_ml import from_spark, progress_bars
from tests.test_bars import states, threads

pytestmark = pytest.mark.modes("local", "own")
TASKS = 6


def slow(spark):
    """A DataFrame whose partitions take half a second each."""
    sleep = "java_method('java.lang.Thread', 'sleep', 500L + id % 2)"
    return spark.range(0, TASKS, 1, TASKS).selectExpr("id", f"{sleep} AS slept")


def test_an_exchange_shows_its_tasks(spark, at_once, capsys):
    assert from_spark(slow(spark)).num_rows == TASKS
    assert capsys.readouterr().err == ""
    with progress_bars(True):
        assert from_spark(slow(spark)).num_rows == TASKS
    out, err = capsys.readouterr()
    assert out == ""
    seen = [match for state in states(err) if (match := re.search(r"(\d+)/(\d+) \[", state))]
    assert all(state.startswith("from_spark: ") for state in states(err))
    counts = [(int(match[1]), int(match[2])) for match in seen]
    assert counts
    assert {total for _, total in counts} == {TASKS}
    assert [done for done, _ in counts] == sorted(done for done, _ in counts)
    assert any(0 < done < TASKS for done, _ in counts)
    assert threads() == []


def test_a_job_that_fails_ends_its_bar(spark, at_once, capsys):
    refused = spark.range(4).selectExpr("id", "int(raise_error('refused here')) AS x")
    with progress_bars(True), pytest.raises(Exception, match="refused here"):
        from_spark(refused)
    assert capsys.readouterr().err.split("\r")[-2].isspace()
    assert threads() == []
