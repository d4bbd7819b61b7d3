"""mode="native": the AppMaster and the executors in their Ray actors, whole and under faults."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import ray
import xgboost

import raydp_ml
from raydp_ml.exceptions import ResourceError
from raydp_ml.session.lifecycle import executor_cpus
from raydp_ml.xgboost import XGBRegressor
from tests.session.conftest import eventually

pytestmark = [pytest.mark.slow, pytest.mark.modes("native")]

WITHIN = 60  # seconds; generous, as a busy machine takes long to start a JVM


def jvms(spark, what):
    """Process id -> name of this session's JVMs in Ray actors whose log is named for `what`."""
    log = re.compile(rf"-Draydp_ml\.log={spark.sparkContext.applicationId}-({what}\S*)\.log")
    found = {}
    for process in psutil.process_iter(["pid", "name", "cmdline"]):
        match = log.search(" ".join(process.info["cmdline"] or []))
        if match and process.info["name"] == "java":
            found[process.pid] = match[1]
    return found


def registered(spark):
    backend = spark.sparkContext._jsc.sc().schedulerBackend()
    return dict(line.split(" ") for line in backend.executorNodes().splitlines())


def log_folder(ray):
    return Path(ray._private.worker.global_worker.node.get_logs_dir_path())


@pytest.fixture(autouse=True)
def whole_session(spark):
    """Every test begins with two executors."""
    assert eventually(lambda: len(registered(spark)) == 2, WITHIN)


class InBackground(threading.Thread):
    """Runs `function` in a thread and hands out its result."""

    def __init__(self, function):
        super().__init__(daemon=True)
        self.function = function
        self.outcome = None
        self.error = None
        self.start()

    def run(self):
        try:
            self.outcome = self.function()
        except BaseException as error:
            self.error = error

    def result(self, timeout=120):
        self.join(timeout)
        assert not self.is_alive(), "it hangs"
        if self.error is not None:
            raise self.error
        return self.outcome


def test_the_driver_uses_the_libraries_in_the_folder_of_ray_s_session(spark):
    # Left to itself, Ray's Java driver unpacks them into a folder that nobody removes.
    pid = spark._jvm.java.lang.ProcessHandle.current().pid()
    maps = Path(f"/proc/{pid}/maps").read_text()
    (library,) = set(re.findall(r"\S*/libcore_worker_library_java\S*", maps))
    assert Path(library).parent.name.startswith("session_")


def test_each_executor_is_the_jvm_of_a_ray_actor(spark, ray_cluster):
    executors = jvms(spark, "executor-")
    assert len(executors) == 2
    assert len(jvms(spark, "appmaster")) == 1
    assert {name.removeprefix("executor-") for name in executors.values()} == set(registered(spark))

    def parents(rows):
        time.sleep(0.5)  # long enough for both executors to take a task
        daemon = psutil.Process(os.getppid())
        yield daemon.ppid()

    spark.sparkContext.parallelize(range(2), 2).mapPartitions(parents).collect()
    found = spark.sparkContext.parallelize(range(2), 2).mapPartitions(parents).collect()
    assert set(found) == set(executors), "Spark's tasks run in the actors' JVMs"
    node = ray_cluster.get_runtime_context().get_node_id()
    assert set(registered(spark).values()) == {node}
    assert executor_cpus() == {node: 2.0}
    assert ray_cluster.available_resources().get("CPU", 0) == 0
    held = ray_cluster.cluster_resources()["memory"] - ray_cluster.available_resources()["memory"]
    assert held == 2 * 1024**3, "executor_memory is Ray's resource too"
    for pid in executors:
        assert "-Xmx1g" in psutil.Process(pid).cmdline()


def test_python_in_executors(spark):
    from pyspark.sql import functions
    from pyspark.sql.types import LongType

    df = spark.range(1000, numPartitions=4)
    plain = functions.udf(lambda value: value * 3, LongType())
    assert df.select(functions.sum(plain("id"))).first()[0] == 3 * 499500

    @functions.pandas_udf("long")
    def doubled(values):
        return values * 2

    assert df.select(functions.sum(doubled("id"))).first()[0] == 2 * 499500

    def halves(batches):
        for batch in batches:
            yield batch.slice(0, batch.num_rows // 2)

    assert df.mapInArrow(halves, "id long").count() == 500


def test_ray_data_is_told_that_spark_holds_all_cpus(spark):
    with (
        raydp_ml.from_spark(spark.range(10)) as blocks,
        pytest.raises(ResourceError, match="Spark's executors hold 2 of the cluster's 2"),
    ):
        blocks.to_dataset()
    with pytest.raises(ResourceError, match="Spark's executors hold 2 of the cluster's 2"):
        raydp_ml.to_spark(ray.data.range(10))


def test_cache_shuffle_and_broadcast(spark):
    from pyspark.sql import functions

    left = spark.range(2000, numPartitions=4).selectExpr("id", "id % 7 as k").cache()
    assert left.count() == 2000
    assert left.count() == 2000
    right = spark.createDataFrame([(k, f"name{k}") for k in range(7)], "k long, name string")
    joined = left.join(functions.broadcast(right), "k").groupBy("name").count()
    want = {f"name{k}": len(range(k, 2000, 7)) for k in range(7)}
    assert {row["name"]: row["count"] for row in joined.collect()} == want
    shuffled = left.repartition(5, "k").groupBy("k").agg(functions.sum("id").alias("s"))
    assert {row["k"]: row["s"] for row in shuffled.collect()} == {
        k: sum(range(k, 2000, 7)) for k in range(7)
    }
    left.unpersist()


def test_files_that_users_add_stay_out_of_the_working_folder(spark, tmp_path):
    before = set(os.listdir("."))
    (tmp_path / "added_words.txt").write_text("from the driver")
    spark.sparkContext.addFile(str(tmp_path / "added_words.txt"))

    def read(rows):
        from pyspark import SparkFiles

        yield Path(SparkFiles.get("added_words.txt")).read_text()

    found = spark.sparkContext.parallelize(range(2), 2).mapPartitions(read).collect()
    assert found == ["from the driver"] * 2
    # A test beside this one may make the folder of Spark's tables meanwhile.
    assert set(os.listdir(".")) - before <= {"spark-warehouse"}


def test_the_secret_is_in_no_command_line_and_no_log(spark, ray_cluster):
    conf = spark.sparkContext.getConf()
    secret = conf.get("spark.authenticate.secret")
    assert len(secret) == 64
    assert conf.get("spark.authenticate") == "true"
    assert conf.get("spark.network.crypto.enabled") == "true"
    for process in psutil.process_iter(["cmdline"]):
        assert secret not in " ".join(process.info["cmdline"] or [])
    logs = [path for path in log_folder(ray_cluster).rglob("*") if path.is_file()]
    mine = [p for p in logs if p.name.startswith(f"{spark.sparkContext.applicationId}-")]
    assert len(mine) >= 3, "the AppMaster's and the executors'"
    for path in logs:
        assert secret not in path.read_text(errors="replace"), path


def test_a_stranger_without_the_secret_is_turned_away(spark, tmp_path):
    """An executor of the same Spark that knows the driver's address, but not the secret."""
    conf = spark.sparkContext.getConf()
    host, port = conf.get("spark.driver.host"), conf.get("spark.driver.port")
    command = [
        "java",
        "--add-opens=java.base/java.nio=ALL-UNNAMED",
        "--add-opens=java.base/java.lang=ALL-UNNAMED",
        "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
        "-cp",
        conf.get("spark.executor.extraClassPath"),
        "org.apache.spark.executor.CoarseGrainedExecutorBackend",
        *("--driver-url", f"spark://CoarseGrainedScheduler@{host}:{port}"),
        *("--executor-id", "99", "--hostname", host, "--cores", "1", "--app-id", "x"),
    ]
    stranger = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert stranger.returncode != 0
    said = stranger.stdout + stranger.stderr
    assert "authenticated" in said or "Authentication" in said or "SASL" in said, said[-2000:]
    assert "99" not in registered(spark)


def test_more_and_fewer_executors_on_request(spark, ray_cluster):
    scheduler = spark.sparkContext._jsc.sc()
    python_utils = spark._jvm.org.apache.spark.api.python.PythonUtils
    first = set(registered(spark))
    gone = min(first)
    assert scheduler.killExecutors(python_utils.toSeq([gone]))
    assert eventually(lambda: set(registered(spark)) == first - {gone}, WITHIN)
    assert eventually(lambda: ray_cluster.available_resources().get("CPU", 0) == 1, WITHIN)
    assert sum(executor_cpus().values()) == 1
    assert scheduler.requestTotalExecutors(2, 0, python_utils.toScalaMap({}))
    assert eventually(lambda: len(registered(spark)) == 2, WITHIN)
    assert gone not in registered(spark), "an id is never used twice"
    # A third finds no CPU in Ray; it waits there until it is no longer wanted.
    assert scheduler.requestExecutors(1)
    assert eventually(lambda: len(jvms(spark, "executor-")) == 2, WITHIN)
    assert scheduler.requestTotalExecutors(2, 0, python_utils.toScalaMap({}))
    (victim,) = [
        pid
        for pid, name in jvms(spark, "executor-").items()
        if name != f"executor-{max(registered(spark))}"
    ]
    os.kill(victim, signal.SIGKILL)
    assert eventually(lambda: len(registered(spark)) == 1, WITHIN)
    assert eventually(lambda: len(registered(spark)) == 2, WITHIN)


def test_an_executor_killed_during_a_job(spark):
    slow = spark.range(40, numPartitions=8).rdd.map(lambda row: (time.sleep(0.1), row.id)[1])
    job = InBackground(slow.sum)
    time.sleep(1.5)
    before = set(registered(spark))
    victim, name = next(iter(jvms(spark, "executor-").items()))
    os.kill(victim, signal.SIGKILL)
    lost = name.removeprefix("executor-")
    assert eventually(lambda: lost not in registered(spark), WITHIN)
    assert eventually(lambda: len(registered(spark)) == 2, WITHIN)
    assert registered(spark).keys() - before, "a replacement under a new id"
    assert job.result() == sum(range(40))


def test_an_executor_killed_during_from_spark(spark):
    def slowly(batches):
        for batch in batches:
            time.sleep(0.4)
            yield batch

    df = spark.range(4000, numPartitions=8).mapInArrow(slowly, "id long")
    export = InBackground(lambda: raydp_ml.from_spark(df))
    time.sleep(1.2)
    os.kill(next(iter(jvms(spark, "executor-"))), signal.SIGKILL)
    with export.result() as blocks:
        ids = blocks.to_arrow().column("id").to_numpy()
    np.testing.assert_array_equal(ids, np.arange(4000))


def test_an_executor_killed_during_fit(spark):
    # The base score is the mean of the label over all rows, so that a partition that is lost or
    # doubled shows.
    rows = spark.range(3000, numPartitions=8).selectExpr(
        "cast(id % 97 as double) a", "cast(id as double) b", "cast(id as double) y"
    )

    def slowly(batches):
        for batch in batches:
            time.sleep(0.4)
            yield batch

    df = rows.mapInArrow(slowly, rows.schema)
    fit = InBackground(
        lambda: XGBRegressor(n_estimators=20, max_depth=4, num_workers=2).fit(df, "y")
    )
    time.sleep(1.2)
    os.kill(next(iter(jvms(spark, "executor-"))), signal.SIGKILL)
    frame = rows.toPandas()
    plain = xgboost.XGBRegressor(n_estimators=20, max_depth=4).fit(frame[["a", "b"]], frame["y"])
    model = fit.result()
    assert base_score(model) == pytest.approx(base_score(plain), rel=1e-6)
    want = plain.predict(frame[["a", "b"]])
    assert np.abs(model.predict(frame[["a", "b"]]) - want).max() < 0.02 * np.ptp(want)


def base_score(model):
    config = json.loads(model.get_booster().save_config())
    return float(config["learner"]["learner_model_param"]["base_score"].strip("[]"))


def test_the_appmaster_killed_during_a_job(spark):
    slow = spark.range(40, numPartitions=8).rdd.map(lambda row: (time.sleep(0.1), row.id)[1])
    job = InBackground(slow.sum)
    time.sleep(1.5)
    before = set(registered(spark))
    executors = jvms(spark, "executor-")
    (master,) = jvms(spark, "appmaster")
    os.kill(master, signal.SIGKILL)
    assert eventually(lambda: not before & set(registered(spark)), WITHIN), "Ray ends its executors"
    assert eventually(lambda: len(registered(spark)) == 2, WITHIN)
    assert eventually(lambda: not any(psutil.pid_exists(pid) for pid in executors), WITHIN)
    assert len(jvms(spark, "appmaster")) == 1
    assert job.result() == sum(range(40))
