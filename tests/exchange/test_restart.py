"""Ray ended and started again under a living process: nothing stale is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import ray, raydp_ml
from raydp_ml.training.gang.actors import actor_gang
from pyspark.sql import SparkSession
import os
builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
spark = builder.getOrCreate()
for _ in range(2):
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    blocks = raydp_ml.from_spark(spark.range(1000))
    assert blocks.to_arrow().num_rows == 1000
    assert raydp_ml.to_spark(blocks, spark).count() == 1000
    with actor_gang(2) as workers:
        assert len(set(workers.run(os.getpid, [(), ()]))) == 2
    ray.shutdown()
print("done")
"""


@pytest.mark.slow
def test_ray_restarted_by_the_user():
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.stdout.strip() == "done", done.stderr
