"""mode="native" on three Ray nodes: executors spread, data stays where it was made, nodes go."""

from __future__ import annotations

import pytest

from tests.session.conftest import finished

THREE_NODES = """
    import json, os, signal, sys, threading, time
    from collections import Counter
    import numpy as np
    import ray
    import xgboost
    from ray.cluster_utils import Cluster
    import raydp_ml
    from raydp_ml.session.lifecycle import executor_cpus
    from raydp_ml.xgboost import XGBRegressor

    def eventually(condition, timeout):
        deadline = time.monotonic() + timeout
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.05)
        return condition()

    def locations(blocks):
        # One at a time: asked for blocks of several owners at once, Ray 2.60 may abort ("Promise
        # already satisfied").
        ask = ray.experimental.get_object_locations
        return [set(ask([ref])[ref]["node_ids"]) for ref in blocks.refs]

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    others = [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=cluster.address, logging_level="error", log_to_driver=False)
    spark = raydp_ml.init_spark(
        "nodes", mode="native", num_executors=3, executor_memory="600m",
        placement_group_strategy="STRICT_SPREAD",
    )
    names = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
    assert executor_cpus() == dict.fromkeys(names, 1.0), executor_cpus()
"""
END = """
    raydp_ml.stop_spark()
    ray.shutdown()
    cluster.shutdown()
    print("done", flush=True)
"""


@pytest.mark.slow
def test_blocks_and_workers_stay_on_their_executors_nodes(run_program):
    program = run_program(f"""{THREE_NODES}
    df = spark.range(120_000, numPartitions=6).selectExpr(
        "cast(id % 97 as double) a", "cast(id % 89 as double) b",
        "cast(id % 97 + 2 * (id % 89) as double) y",
    )

    blocks = raydp_ml.from_spark(df)
    assert set(blocks.node_ids) == names, "each executor wrote to its own node's store"
    assert locations(blocks) == [{{node}} for node in blocks.node_ids]
    table = blocks.to_arrow()  # brings copies to this node, so the check below needs a new export
    np.testing.assert_array_equal(table["a"].to_numpy(), np.arange(120_000) % 97)
    blocks.free()

    blocks = raydp_ml.from_spark(df)
    before = locations(blocks)
    model = XGBRegressor(n_estimators=20, max_depth=4, num_workers=3).fit(blocks, "y")
    after = locations(blocks)
    # Spark may have given an executor more than its two partitions, which then goes to another.
    held = Counter()
    for node, rows in zip(blocks.node_ids, blocks.block_rows, strict=True):
        held[node] += rows
    copied = [i for i in range(len(after)) if after[i] != before[i]]
    assert all(held[blocks.node_ids[i]] > 40_000 for i in copied), (before, after, held)
    frame = table.to_pandas()
    plain = xgboost.XGBRegressor(n_estimators=20, max_depth=4).fit(frame[["a", "b"]], frame["y"])
    want = plain.predict(frame[["a", "b"]])
    got = model.predict(frame[["a", "b"]])
    assert np.abs(got - want).max() < 0.02 * np.ptp(want)
    # By default, one worker on each node that holds rows.
    default = XGBRegressor(n_estimators=2).fit(df, "y")
    assert default.get_booster().num_boosted_rounds() == 2
    blocks.free()
    {END}""")
    finished(program)


@pytest.mark.slow
@pytest.mark.parametrize("during", ["job", "from_spark"])
def test_a_node_that_goes_while_its_executor_works(run_program, during):
    program = run_program(f"""{THREE_NODES}
    def slowly(batches):
        for batch in batches:
            time.sleep(0.4)
            yield batch

    df = spark.range(6000, numPartitions=12).mapInArrow(slowly, "id long")
    found = []

    def work():
        if {during!r} == "job":
            found.extend(row.id for row in df.collect())
        else:
            with raydp_ml.from_spark(df) as blocks:
                found.extend(blocks.to_arrow()["id"].to_pylist())

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(1.5)
    gone = others[0].node_id
    cluster.remove_node(others[0])
    assert eventually(lambda: gone not in executor_cpus(), 60)
    cluster.add_node(num_cpus=1)
    thread.join(120)
    assert not thread.is_alive(), "it hangs"
    assert found == list(range(6000)), len(found)
    assert eventually(lambda: len(executor_cpus()) == 3, 60), executor_cpus()
    {END}""")
    finished(program)


@pytest.mark.slow
def test_a_job_waits_for_a_first_executor_as_long_as_the_session_did(run_program):
    program = run_program("""
    import ray
    from ray.cluster_utils import Cluster
    import raydp_ml

    head = {"num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    other = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, logging_level="error", log_to_driver=False)
    spark = raydp_ml.init_spark("one", mode="native", executor_memory="600m", timeout=40)
    cluster.remove_node(other)
    try:
        spark.range(1000).repartition(3).count()
    except raydp_ml.exceptions.ResourceError as error:
        print(error, flush=True)
    # Given room again, the session goes on.
    cluster.add_node(num_cpus=1)
    assert spark.range(1000).repartition(3).count() == 1000
    raydp_ml.stop_spark()
    ray.shutdown()
    cluster.shutdown()
    print("done", flush=True)
    """)
    finished(program)
    assert "none took their place within timeout=40 seconds" in program.stdout
