"""What a full disk is told as, wherever it is met. (A full store: tests/faults.)"""

from __future__ import annotations

import pytest

from raydp_ml.exceptions import ResourceError
from raydp_ml.session.full import shortage_in

JAVA = """org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 1.0
\tat org.apache.spark.Job.run(Job.scala:1)
Caused by: java.io.FileNotFoundException: /data/blockmgr/temp_shuffle_1 (No space left on device)
\tat java.base/java.io.FileOutputStream.open0(Native Method)
"""


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (JAVA, "A disk is full: /data/blockmgr/temp_shuffle_1 (No space left on device). "),
        (
            "[Errno 28] No space left on device: '/data/x'",
            "A disk is full: [Errno 28] No space left on device: '/data/x'. ",
        ),
        (
            "org.apache.spark.SparkException: Job 1 cancelled All executors of the session are "
            "lost, and none took their place",
            "All executors of the session are lost, and none took their place",
        ),
    ],
)
def test_a_shortage_is_found_in_what_was_said(said, told):
    found = shortage_in(said)
    assert isinstance(found, ResourceError)
    assert str(found).startswith(told)


def test_other_errors_are_none():
    assert shortage_in("java.lang.OutOfMemoryError: Java heap space") is None


@pytest.mark.slow
def test_a_full_disk_of_temporary_files(run_program):
    """Spark's shuffles need it, the start of a session, models that are sent or kept, and bins."""
    program = run_program(
        """
    import contextlib, os, tempfile
    import numpy as np
    import pandas as pd
    from pathlib import Path

    small = Path(os.environ["TMPDIR"]).parent / "small"
    tempfile.tempdir = os.environ["TMPDIR"] = str(small)
    import pytest
    import ray
    import raydp_ml
    from pyspark.sql import SparkSession
    from raydp_ml.preprocessing import OrdinalEncoder
    from raydp_ml.torch import TorchRegressor
    from raydp_ml.xgboost import XGBRegressor

    def full(call, *, name=str(small)):
        try:
            call()
        except raydp_ml.exceptions.ResourceError as error:
            assert str(error).startswith("A disk is full: "), error
            assert f"{name}: 0 of 64 MB free" in str(error), error
        else:
            raise AssertionError("it was not full")

    @contextlib.contextmanager
    def filled():
        with contextlib.suppress(OSError), (small / "fill").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        yield
        (small / "fill").unlink()

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    with filled():
        full(lambda: raydp_ml.init_spark("full"))
    assert not os.listdir(small), os.listdir(small)

    X = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 2)), columns=["a", "b"])
    model = TorchRegressor(max_epochs=1, num_workers=0).fit(X, X["a"])
    trees = XGBRegressor(n_estimators=2, num_workers=0).fit(X, X["a"])
    trees.save(small / "trees")
    with filled():
        full(lambda: trees.save(small / "trees"))
        full(lambda: model.save(small / "network"))
        with pytest.raises(raydp_ml.exceptions.ResourceError, match="XGBoost's bins on disk"):
            XGBRegressor(num_workers=0, external_memory=True).fit(X, X["a"])
        kept = TorchRegressor(max_epochs=1, num_workers=0, external_memory=True)
        full(lambda: kept.fit(X, X["a"]))
    assert (raydp_ml.load(small / "trees").predict(X) == trees.predict(X)).all()
    assert not [*small.glob(".*")], "a half-written model is left"

    spark = raydp_ml.init_spark("full", driver_memory="1g")
    df = spark.range(2000).selectExpr("id % 7 as a", "id % 5 as b")
    with filled():
        full(lambda: df.repartition(3).count())
        full(lambda: OrdinalEncoder().fit(df))
        full(lambda: raydp_ml.from_spark(df.repartition(3)))
        full(lambda: model.predict(df))
    (categories,) = OrdinalEncoder().fit(df.select("a")).categories_
    assert categories.tolist() == [*range(7)]
    raydp_ml.stop_spark()

    # A session of the user's own.
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", False)
    spark = builder.config("spark.local.dir", str(small)).getOrCreate()
    df = spark.range(2000).selectExpr("id % 7 as a", "id % 5 as b")
    with filled():
        full(lambda: OrdinalEncoder().fit(df))
        full(lambda: raydp_ml.from_spark(df.repartition(3)))
    spark.stop()
    raydp_ml.stop_spark()
    ray.shutdown()
    """,
        disks={"small": 64_000_000},
    )
    assert program.finish() == 0, program.stderr[-3000:]
    program.assert_nothing_left()
