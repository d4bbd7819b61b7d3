"""Clusters to which Ray's own autoscaler adds nodes when executors wait for a place."""

from __future__ import annotations

import json

import pytest

from raydp_ml.session.autoscaler import adds_nodes
from tests.session.conftest import eventually, finished
from tests.session.fake_nodes import ROOT

BEGIN = """
    import os, sys, time
    sys.path.insert(0, {root!r})
    os.environ |= {{"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 2}}
    import numpy as np
    import ray
    import xgboost
    import raydp_ml
    from raydp_ml.exceptions import ResourceError
    from raydp_ml.session.autoscaler import adds_nodes
    from raydp_ml.session.lifecycle import executor_cpus
    from raydp_ml.xgboost import XGBRegressor
    from tests.session.conftest import eventually, finished
    from tests.session.fake_nodes import AutoscaledCluster, HEAD

    def nodes():
        return {{node["NodeID"] for node in ray.nodes() if node["Alive"]}}

    def start(mode="native", **options):
        memory = dict(executor_memory="600m", driver_memory="600m")
        return raydp_ml.init_spark("grow", mode=mode, **memory, **options)

    cluster = AutoscaledCluster({version!r}, os.environ["RAY_TMPDIR"])
    assert eventually(cluster.attach, 90), "no Ray"
    assert eventually(adds_nodes, 60), "an autoscaler that is not seen"
    assert nodes() == {{HEAD}}
"""
END = """
    raydp_ml.stop_spark()
    ray.shutdown()
    cluster.stop()
    print("done", flush=True)
"""


def begun(version):
    return BEGIN.format(root=str(ROOT), version=version)


@pytest.mark.cluster
def test_what_only_reports_the_nodes_of_a_cluster_is_no_autoscaler(ray_cluster):
    from ray.experimental.internal_kv import _internal_kv_get

    def reported():
        status = _internal_kv_get("__autoscaling_status")
        return status and "autoscaler_report" in json.loads(status)

    assert eventually(reported, 60), "the monitor that every Ray has says nothing"
    assert not adds_nodes()


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.parametrize(
    ("version", "mode"), [("v1", "native"), ("v2", "native"), ("v2", "standalone")]
)
def test_executors_that_find_no_place_get_a_node(run_program, version, mode):
    program = run_program(f"""{begun(version)}
    spark = start({mode!r}, num_executors=2)
    (new,) = nodes() - {{HEAD}}
    assert executor_cpus() == {{HEAD: 1.0, new: 1.0}}, executor_cpus()

    df = spark.range(60_000, numPartitions=6).selectExpr(
        "cast(id % 97 as double) a", "cast(id % 89 as double) b",
        "cast(id % 97 + 2 * (id % 89) as double) y",
    )
    frame = df.toPandas()
    with raydp_ml.from_spark(df) as blocks:
        assert set(blocks.node_ids) == {{HEAD, new}}, "the new executor works too"
        model = XGBRegressor(n_estimators=20, max_depth=4, num_workers=2).fit(blocks, "y")
    plain = xgboost.XGBRegressor(n_estimators=20, max_depth=4).fit(frame[["a", "b"]], frame["y"])
    want = plain.predict(frame[["a", "b"]])
    got = model.predict(df).toPandas()["prediction"].to_numpy()
    assert np.abs(got - want).max() < 0.02 * np.ptp(want)
    np.testing.assert_array_equal(got, model.predict(frame[["a", "b"]]))
    assert nodes() == {{HEAD, new}}

    raydp_ml.stop_spark()
    assert eventually(lambda: nodes() == {{HEAD}}, 120), "an idle node stays"
    {END}""")
    finished(program)


@pytest.mark.slow
@pytest.mark.cluster
def test_what_the_autoscaler_may_not_add_is_waited_for_until_the_timeout(run_program):
    program = run_program(f"""{begun("v2")}
    for strategy in (None, "STRICT_SPREAD"):
        try:
            start(num_executors=4, timeout=20, placement_group_strategy=strategy)
        except ResourceError as error:
            assert "was asked for 4 executors" in str(error), error
            assert "Ray's autoscaler was asked for nodes: `ray status` tells" in str(error), error
        else:
            raise AssertionError("where do four executors run?")
    assert eventually(lambda: nodes() == {{HEAD}}, 120), "executors that never were hold nodes"
    try:
        XGBRegressor(num_workers=2).fit(np.ones((9, 1)), np.arange(9))
    except ResourceError as error:
        assert "ray.autoscaler.sdk.request_resources" in str(error), error
    else:
        raise AssertionError("where do two workers train?")
    {END}""")
    finished(program)


@pytest.mark.slow
@pytest.mark.cluster
def test_dynamic_allocation_brings_nodes_and_gives_them_back(run_program):
    program = run_program(f"""{begun("v2")}
    import threading

    configs = {{
        "spark.dynamicAllocation.enabled": True,
        "spark.dynamicAllocation.minExecutors": 1,
        "spark.dynamicAllocation.maxExecutors": 3,
        "spark.dynamicAllocation.executorIdleTimeout": "2s",
        "spark.dynamicAllocation.schedulerBacklogTimeout": "1s",
    }}
    spark = start(num_executors=1, configs=configs)
    assert executor_cpus() == {{HEAD: 1.0}}, executor_cpus()

    go_on = os.path.join(os.environ["RAY_TMPDIR"], "go_on")

    def when_told(batches):
        while not os.path.exists(go_on):
            time.sleep(0.1)
        yield from batches

    found = []
    rows = spark.range(90, numPartitions=9).mapInArrow(when_told, "id long")
    job = threading.Thread(target=lambda: found.extend(row.id for row in rows.collect()))
    job.start()
    assert eventually(lambda: len(executor_cpus()) == 3, 120), executor_cpus()
    assert set(executor_cpus()) == nodes() and len(nodes()) == 3, "an executor on each new node"
    open(go_on, "w").close()
    job.join(120)
    assert sorted(found) == list(range(90))

    # Which of its executors Spark keeps is its own choice.
    assert eventually(lambda: len(executor_cpus()) == 1, 60), executor_cpus()
    assert eventually(lambda: nodes() == {{HEAD, *executor_cpus()}}, 120), "an idle node stays"
    assert spark.range(90).count() == 90
    {END}""")
    finished(program)
