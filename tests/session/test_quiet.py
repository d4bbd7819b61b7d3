"""What a program shows is what it prints: Spark's and Ray's own lines go to their logs."""

from __future__ import annotations

import re

import pytest

MAIN_JOB = """
    import raydp_ml
    from raydp_ml.preprocessing import StandardScaler
    from raydp_ml.torch import TorchRegressor
    from raydp_ml.xgboost import XGBRegressor

    spark = raydp_ml.init_spark(mode={mode!r})
    df = spark.range(500).selectExpr("id % 50 AS x", "rand(1) AS z", "(id % 50) * 2D AS y")
    scaled = StandardScaler().fit(df, "y").transform(df)
    model = XGBRegressor(n_estimators=3, num_workers=1).fit(scaled, "y")
    print("trees", model.predict(scaled).count())
    network = TorchRegressor(max_epochs=1, num_workers=1).fit(scaled, "y")
    print("network", len(network.predict(scaled).collect()))
    print("Python", df.mapInPandas(lambda frames: frames, df.schema).count())
    raydp_ml.stop_spark()
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["local", "standalone", "native"])
def test_a_main_job_shows_what_it_prints(run_program, mode):
    program = run_program(MAIN_JOB.format(mode=mode))
    assert program.finish() == 0, program.stderr
    assert program.stdout.splitlines() == ["trees 500", "network 500", "Python 500"]
    assert program.stderr == ""


@pytest.mark.slow
def test_warnings_of_spark_are_in_a_log_and_shown_when_asked_for(run_program):
    program = run_program("""
        import logging
        import sys
        import warnings
        import raydp_ml

        spark = raydp_ml.init_spark(driver_memory="600m")
        theirs = spark._jvm.org.apache.logging.log4j.LogManager.getLogger("org.apache.spark.Some")

        def say(number):
            theirs.info(f"information {number}")
            theirs.warn(f"warning {number}")

        say(1)
        theirs.error("error 1")
        logging.getLogger("raydp_ml.some").warning("ours")
        spark.sparkContext.setLogLevel("WARN")
        say(2)
        spark.sparkContext.setLogLevel("INFO")
        say(3)
        raydp_ml.stop_spark()
    """)
    assert program.finish() == 0, program.stderr
    lines = program.stderr.splitlines()
    assert lines.count("ours") == 1
    shown = [line.partition(" Some: ")[2] for line in lines if " Some: " in line]
    assert shown == ["error 1", "warning 2", "information 3", "warning 3"]
    assert "information 1" not in program.stderr
    (log,) = program.folder.glob("ray/session_2*/logs/spark-driver-*.log")
    assert log.stat().st_mode & 0o077 == 0
    kept = re.findall(r" (\w+) Some: (.*)", log.read_text())
    assert kept[:3] == [("WARN", "warning 1"), ("ERROR", "error 1"), ("WARN", "warning 2")]


@pytest.mark.slow
def test_the_level_of_the_configuration_is_shown_from_the_start(run_program):
    program = run_program("""
        import raydp_ml

        spark = raydp_ml.init_spark(driver_memory="600m", configs={"spark.log.level": "WARN"})
        spark._jvm.org.apache.logging.log4j.LogManager.getLogger("x.Some").warn("a warning")
    """)
    assert program.finish() == 0, program.stderr
    assert program.stderr.rstrip().endswith("WARN Some: a warning")
