"""However a program that trains ends, nothing of it remains: no process and no temporary file."""

from __future__ import annotations

import signal

import pytest

PROGRAM = """
    import time
    import raydp_ml
    from raydp_ml.xgboost import XGBRegressor

    mode, ending = {mode!r}, {ending!r}
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
    if ending == "exception":
        raise RuntimeError("the user's own error")
    if ending != "exit":
        time.sleep(300)
"""

# The ways to end differ in the Python driver; the other modes add processes to the hardest ones.
ENDINGS = {
    "local": ("exit", "stop", "exception", "SIGINT", "SIGKILL"),
    "native": ("stop", "SIGKILL"),
    "standalone": ("stop", "SIGKILL"),
    "own": ("exit", "SIGKILL"),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ENDINGS)
def test_nothing_remains(run_program, mode):
    for ending in ENDINGS[mode]:
        ends_without_trace(run_program(PROGRAM.format(mode=mode, ending=ending)), ending)


def ends_without_trace(program, ending):
    program.wait_for("stopped" if ending == "stop" else "ready")
    if ending == "stop":
        program.assert_nothing_left(but={program.process.pid})
        program.process.kill()
    elif ending.startswith("SIG"):
        program.process.send_signal(getattr(signal, ending))
    status = program.finish()
    program.assert_nothing_left()
    if ending == "exit":
        assert status == 0
        assert "Traceback" not in program.stderr
    if ending == "exception":
        assert status == 1
        assert program.stderr.count("Traceback") == 1
        assert program.stderr.rstrip().endswith("RuntimeError: the user's own error")
