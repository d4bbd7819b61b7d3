"""However a program ends, nothing of ours remains: no process, socket file or shared memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import pytest

from tests.fresh_folder import MARK, make_class_archive, marked

PROGRAM = """
import os, sys, time
import raydp_ml
from raydp_ml.xgboost import XGBRegressor
mode, ending = sys.argv[1:]
if mode == "own":
    from pyspark.sql import SparkSession
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = builder.getOrCreate()
else:
    spark = raydp_ml.init_spark(mode=mode, num_executors=2)
df = spark.range(2000).selectExpr("id", "id * 2.0 as y")
blocks = raydp_ml.from_spark(df)
assert raydp_ml.to_spark(blocks, spark).count() == 2000
XGBRegressor(n_estimators=2, num_workers=2).fit(df, "y")
print("ready", flush=True)
if ending == "stop":
    raydp_ml.stop_spark()
    assert blocks.to_arrow().num_rows == 2000  # readable after stop_spark
    blocks.free()
    print("stopped", flush=True)
    time.sleep(300)
if ending == "exception":
    raise RuntimeError("the user's own error")
if ending in ("SIGINT", "SIGKILL"):
    time.sleep(300)
"""


@pytest.fixture
def temporary():
    """A folder for the program's temporary files; its path leaves room for a socket's name."""
    with tempfile.TemporaryDirectory(prefix="t") as folder:
        yield Path(folder)


ENDINGS = ["exit", "stop", "exception", "SIGINT", "SIGKILL"]
# The ways to end differ in the Python driver; the other modes add processes to the hardest ones.
OTHERS = [("standalone", "stop"), ("standalone", "SIGKILL"), ("own", "exit"), ("own", "SIGKILL")]


@pytest.mark.parametrize(
    ("mode", "ending"),
    [
        *((mode, ending) for mode in ("local", "native") for ending in ENDINGS),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in OTHERS),
    ],
)
def test_nothing_remains(mode, ending, tmp_path, temporary):
    make_class_archive()
    mark = uuid.uuid4().hex
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, mode, ending],
        env={**os.environ, MARK: mark, "TMPDIR": str(temporary)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout.readline() == "ready\n", program.communicate(timeout=120)
        if ending == "stop":
            assert program.stdout.readline() == "stopped\n", program.communicate(timeout=120)
        elif ending.startswith("SIG"):
            program.send_signal(getattr(signal, ending))
        if ending != "stop":
            program.wait(timeout=60)
        # After stop_spark the program itself lives on, and everything else has ended.
        but = {program.pid} if ending == "stop" else set()
        deadline = time.monotonic() + 30
        while left := [
            *(process for process in marked(mark) if process.pid not in but),
            *temporary.glob("*raydp_ml*"),
        ]:
            assert time.monotonic() < deadline, f"30 s after {ending} there still are {left}"
            time.sleep(0.2)
    finally:
        program.kill()
        _, errors = program.communicate(timeout=60)
    assert not list(tmp_path.glob("hs_err*"))
    if ending == "exit":
        assert program.returncode == 0
        assert "Traceback" not in errors
    if ending == "exception":
        assert errors.count("Traceback") == 1
        assert "the user's own error" in errors
