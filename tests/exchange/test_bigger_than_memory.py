"""Four times as many bytes as Ray's object store, or /dev/shm, has room for."""

from __future__ import annotations

import pytest

PROGRAM = """
    import numpy as np
    import pandas as pd
    import ray
    import raydp_ml
    from raydp_ml.exchange.blocks import put_table
    from raydp_ml.torch import TorchRegressor
    from raydp_ml.xgboost import XGBRegressor

    {start}
    spark = raydp_ml.init_spark("big", driver_memory="1g")
    rows = {mb} * 10**6 // 80
    df = spark.range(0, rows, 1, 8).selectExpr(
        *[f"cast((id * {{i + 3}}) % 1009 as double) c{{i}}" for i in range(9)],
        "cast(id % 97 as double) y",
    )
    total = rows // 97 * 4656 + sum(range(rows % 97))

    with raydp_ml.from_spark(df) as blocks:
        assert blocks.nbytes >= {mb} * 10**6
        assert raydp_ml.to_spark(blocks, spark).selectExpr("sum(y)").first()[0] == total
        for model in (
            XGBRegressor(n_estimators=3, max_depth=3, num_workers=2),
            TorchRegressor(max_epochs=1, batch_size=20_000, num_workers=2),
        ):
            model.fit(blocks, "y")
            made = model.predict(df.drop("y"))
            got = made.limit(100).toPandas()
            assert made.selectExpr("count(prediction)").first()[0] == rows
            np.testing.assert_allclose(
                got.pop("prediction"), model.predict(got), rtol=1e-4, atol=1e-4
            )
    model = XGBRegressor(n_estimators=3, max_depth=3, num_workers=2).fit(df, "y")
    assert model.n_features_in_ == 9
    raydp_ml.stop_spark()
    {end}
"""


@pytest.mark.slow
def test_bigger_than_the_object_store(run_program):
    """What the store cannot hold is on Ray's disk."""
    start = """ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80 << 20
    )"""
    program = run_program(PROGRAM.format(start=start, end="ray.shutdown()", mb=340))
    assert program.finish(580) == 0, program.stderr[-3000:]
    program.assert_nothing_left()


@pytest.mark.slow
def test_bigger_than_shared_memory(run_program):
    """As in a container without --shm-size: Ray keeps its store on disk, and says so."""
    program = run_program(PROGRAM.format(start="", end="", mb=256), disks={"/dev/shm": 64 << 20})
    assert program.finish(580) == 0, program.stderr[-3000:]
    assert "Ray's object store is a file on disk" in program.stderr
    program.assert_nothing_left()
