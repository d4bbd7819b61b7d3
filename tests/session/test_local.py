"""mode="local" as a user's program sees it, from start to whatever end."""

from __future__ import annotations

import signal

import pytest

SESSION = """
    import os, signal, sys, threading
    import raydp_ml
    from raydp_ml.exceptions import SessionError

    spark = raydp_ml.init_spark("first", driver_memory="600m")
    print("up", flush=True)
"""


HEAP = """
    def heap(spark):
        return round(spark._jvm.java.lang.Runtime.getRuntime().maxMemory() / 2**20)
"""


@pytest.mark.slow
def test_a_session_is_reused_or_refused_and_stopped(run_program):
    program = run_program(f"""{HEAP}
    import sys
    import raydp_ml
    from raydp_ml.exceptions import SessionError
    from raydp_ml.session import lifecycle

    assert not {{"ray", "pyspark"}} & set(sys.modules)
    spark = raydp_ml.init_spark("first", driver_memory="600m", configs={{"spark.x.y": "a b=c"}})
    assert spark.sparkContext.master == "local[*]" and spark.sparkContext.appName == "first"
    assert heap(spark) <= 600, heap(spark)
    assert spark.conf.get("spark.x.y") == "a b=c"
    assert spark.conf.get("spark.sql.execution.arrow.pyspark.enabled") == "true"
    assert spark.range(10).toPandas()["id"].sum() == 45
    rows = spark.range(2).mapInPandas(lambda frames: frames, "id long").collect()
    assert [row.id for row in rows] == [0, 1]
    spark.range(3).write.saveAsTable("numbers")
    assert lifecycle.executor_cpus() == {{}}

    again = raydp_ml.init_spark("first", driver_memory="600m", configs={{"spark.x.y": "a b=c"}})
    assert again is spark
    try:
        raydp_ml.init_spark("first", driver_memory="700m", num_executors=2)
    except SessionError as error:
        print(error)

    raydp_ml.stop_spark()
    raydp_ml.stop_spark()
    import ray
    assert not ray.is_initialized()
    """)
    assert program.finish() == 0, program.stderr
    assert (
        "init_spark was asked for num_executors=2, driver_memory='700m', configs={}, but a session "
        "with num_executors=1, driver_memory='600m', configs={'spark.x.y': 'a b=c'} is live. Call "
        "raydp_ml.stop_spark() first"
    ) in program.stdout
    assert program.stderr == ""
    program.assert_nothing_left()


@pytest.mark.slow
def test_what_spark_says_of_an_error_outlives_spark(run_program):
    program = run_program("""
    import raydp_ml
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import AnalysisException

    try:
        with raydp_ml.spark_session() as spark:
            try:
                spark._jvm.java.util.ArrayList().get(3)
            except Py4JJavaError as cause:
                try:
                    spark.sql("select nothing")
                except AnalysisException as error:
                    raise error from cause
    except AnalysisException as error:
        print(error)
        raise
    """)
    assert program.finish() == 1
    analysis = "[UNRESOLVED_COLUMN.WITHOUT_SUGGESTION] A column, variable, or function parameter"
    assert program.stdout.startswith(analysis)
    assert f"\npyspark.errors.exceptions.captured.AnalysisException: {analysis}" in program.stderr
    assert ": java.lang.IndexOutOfBoundsException: Index 3 out of bounds" in program.stderr
    assert "str() failed" not in program.stderr


@pytest.mark.slow
def test_sessions_can_follow_each_other_each_with_its_heap(run_program):
    program = run_program(f"""{HEAP}
    import raydp_ml

    for size in (600, 900, 700):
        with raydp_ml.spark_session(driver_memory=f"{{size}}m") as spark:
            assert size - 150 < heap(spark) <= size, heap(spark)
            assert spark.range(5).count() == 5
        import ray
        assert not ray.is_initialized()
    """)
    assert program.finish() == 0, program.stderr
    assert program.stderr == ""
    program.assert_nothing_left()


OWN = """
    from pyspark.sql import SparkSession
    import raydp_ml

    own = (
        SparkSession.builder.master("local[1]").appName("mine")
        .config("spark.ui.enabled", False).getOrCreate()
    )
"""


@pytest.mark.slow
def test_a_session_of_the_users_own_is_left_alone(run_program):
    program = run_program(f"""{OWN}
    try:
        raydp_ml.init_spark()
    except raydp_ml.exceptions.SessionError as error:
        print(error)
    raydp_ml.stop_spark()
    assert own.range(3).count() == 3
    """)
    assert program.finish() == 0, program.stderr
    assert "a Spark session of its own, 'mine' on master 'local[1]'" in program.stdout
    assert "without init_spark), or call its stop()" in program.stdout


@pytest.mark.slow
def test_the_jvm_of_a_stopped_session_of_the_users_own_is_used_and_left(run_program):
    program = run_program(f"""{OWN}
    own.stop()
    spark = raydp_ml.init_spark("ours")
    assert spark.sparkContext.appName == "ours" and spark.range(3).count() == 3
    raydp_ml.stop_spark()
    assert SparkSession.builder.master("local[1]").getOrCreate().range(3).count() == 3
    """)
    assert program.finish() == 0, program.stderr


@pytest.mark.slow
def test_ctrl_c_ends_a_running_job_and_the_program(run_program):
    program = run_program(f"""{SESSION}
    import time

    def say_when_running():
        while not spark.sparkContext.statusTracker().getActiveJobsIds():
            time.sleep(0.05)
        print("running", flush=True)

    threading.Thread(target=say_when_running, daemon=True).start()
    spark.range(10**13).selectExpr("sum(id % 7)").collect()
    """)
    program.wait_for("running")
    program.process.send_signal(signal.SIGINT)
    assert program.finish(60) != 0
    assert program.stderr.count("Traceback") == 1, program.stderr
    # Spark tells of each task that it killed, before or after Python ends.
    said = [line for line in program.stderr.splitlines() if "WARN TaskSetManager: Lost" not in line]
    assert said[-1] == "KeyboardInterrupt", program.stderr
    program.assert_nothing_left()


@pytest.mark.slow
def test_a_jvm_that_cannot_start_is_one_clear_error(run_program):
    program = run_program("""
        import raydp_ml
        try:
            raydp_ml.init_spark(driver_memory="900000t")
        except raydp_ml.exceptions.SessionError as error:
            print(error)
        import ray
        assert not ray.is_initialized()
    """)
    assert program.finish() == 0, program.stderr
    assert "The driver JVM ended before Spark started. Check driver_memory" in program.stdout
    assert "Could not reserve enough space" in program.stdout
    program.assert_nothing_left()


@pytest.mark.slow
def test_a_config_that_spark_refuses_is_one_clear_error(run_program):
    program = run_program("""
        import raydp_ml
        try:
            raydp_ml.init_spark(configs={"spark.task.cpus": "many"})
        except raydp_ml.exceptions.SessionError as error:
            print(error)
        import ray
        assert not ray.is_initialized()
        assert raydp_ml.init_spark().range(3).count() == 3
    """)
    assert program.finish() == 0, program.stderr
    assert "Spark did not start: " in program.stdout
    assert "spark.task.cpus" in program.stdout
    program.assert_nothing_left()


@pytest.mark.slow
def test_every_quiet_end_is_clean(run_program):
    endings = {"sys.exit(3)": 3, "spark.stop()": 0, "import ray; ray.shutdown()": 0}
    programs = [run_program(f"{SESSION}\n    {ending}") for ending in endings]
    for program, status in zip(programs, endings.values(), strict=True):
        assert program.finish() == status
        assert program.stderr == ""
        program.assert_nothing_left()


@pytest.mark.slow
@pytest.mark.parametrize(
    "death",
    [
        "spark.stop()",
        "jvm = spark.sparkContext._gateway.proc; jvm.kill(); jvm.wait()",
    ],
)
def test_a_session_that_died_is_replaced(run_program, death):
    program = run_program(f"""{SESSION}
    {death}
    spark = raydp_ml.init_spark("first", driver_memory="600m")
    print("count", spark.range(7).count())
    """)
    assert program.finish() == 0, program.stderr
    assert "count 7" in program.stdout
    program.assert_nothing_left()


@pytest.mark.slow
def test_a_forked_child_does_not_end_its_parents_session(run_program):
    program = run_program(f"""{SESSION}
    import atexit
    import ray

    pid = os.fork()
    if pid == 0:
        atexit.unregister(ray.shutdown)  # it hangs in any forked child, with or without us
        sys.exit(0)
    os.waitpid(pid, 0)
    print("count", spark.range(7).count())
    """)
    assert program.finish() == 0, program.stderr
    assert "count 7" in program.stdout
    program.assert_nothing_left()
