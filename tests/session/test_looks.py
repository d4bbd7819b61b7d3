"""What is shown of a session's data after its end."""

from __future__ import annotations

import pytest


@pytest.mark.slow
def test_blocks_are_shown_after_the_session_and_after_ray(run_program):
    program = run_program("""
        import ray
        import raydp_ml

        spark = raydp_ml.init_spark(driver_memory="600m")
        blocks = raydp_ml.from_spark(spark.range(10))
        raydp_ml.stop_spark()
        print("Ray node" in blocks._repr_html_(), blocks.to_arrow().num_rows)
        ray.shutdown()
        print("shut down" in blocks._repr_html_(), "10 rows" in blocks._repr_html_())
    """)
    assert program.finish() == 0, program.stderr
    assert program.stdout.splitlines() == ["True 10", "True True"]
