"""Spark on a Ray cluster of several nodes: placement, locality, and dynamic allocation.

Ray's own `Cluster` plays several nodes on this machine; on a real cluster, `ray.init("auto")` takes
its place. Every Spark executor is the JVM of a Ray actor, so Ray alone says where it runs.
"""

import argparse
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import ray
from ray.cluster_utils import Cluster

import raydp_ml
from raydp_ml.exceptions import RayDPMLError
from raydp_ml.xgboost import XGBRegressor

CONFIGS = {"spark.ui.showConsoleProgress": False}
DYNAMIC = {
    "spark.dynamicAllocation.enabled": True,
    "spark.dynamicAllocation.minExecutors": 1,
    "spark.dynamicAllocation.executorIdleTimeout": "2s",
    "spark.dynamicAllocation.schedulerBacklogTimeout": "1s",
}


def pretend_nodes(count):
    """Start a Ray cluster of `count` nodes with one CPU each on this machine."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    for _ in range(count - 1):
        cluster.add_node(num_cpus=1)
    return cluster


def spread(nodes, rows):
    """Place one executor on each node, and train where the data is."""
    with raydp_ml.spark_session(
        "spread",
        mode="native",
        num_executors=nodes,
        executor_memory="600m",
        placement_group_strategy="STRICT_SPREAD",  # refused where there are fewer nodes
        configs=CONFIGS,
    ) as spark:
        df = spark.range(rows, numPartitions=4 * nodes).selectExpr(
            "cast(id % 97 as double) a", "cast(id % 89 as double) b", "id % 97 + 2 * (id % 89) y"
        )
        with raydp_ml.from_spark(df) as blocks:  # each executor writes to its own node's store
            for node, count in Counter(blocks.node_ids).items():
                print(f"Node {node[:8]} holds {count} of {len(blocks.refs)} blocks")
            model = XGBRegressor(n_estimators=20, num_workers=nodes).fit(blocks, "y")
        print(f"Trained by {nodes} workers, one on each node: R² {model.score(df, 'y'):.3f}")


def watch(nodes, wanted, timeout=60):
    """Wait until Spark's executors hold `wanted` CPUs of the cluster, and say so."""
    begin = time.monotonic()
    while (held := nodes - ray.available_resources().get("CPU", 0)) != wanted:
        if time.monotonic() - begin > timeout:
            raise TimeoutError(f"After {timeout} s executors hold {held:.0f} CPUs, not {wanted}")
        time.sleep(0.1)
    print(f"  {wanted} executors after {time.monotonic() - begin:.1f} s")


def follow_the_load(nodes):
    """Let Spark ask for executors as tasks wait, and give them back when idle."""

    def slowly(batches):  # in here, it travels by value: executors cannot import this file
        for batch in batches:
            time.sleep(1)
            yield batch

    configs = {**CONFIGS, **DYNAMIC, "spark.dynamicAllocation.maxExecutors": nodes}
    with (
        raydp_ml.spark_session(
            "load", mode="native", num_executors=1, executor_memory="600m", configs=configs
        ) as spark,
        ThreadPoolExecutor() as pool,
    ):
        print("Dynamic allocation: at rest")
        watch(nodes, 1)
        tasks = 8 * nodes
        slow = spark.range(tasks, numPartitions=tasks).mapInArrow(slowly, "id long")
        job = pool.submit(slow.collect)
        print(f"{tasks} tasks wait")
        watch(nodes, nodes)
        print(f"The job has brought {len(job.result())} rows")
        watch(nodes, 1)


def main():
    """Read the command line, start the cluster, and tell both stories on it."""
    # Without its usage, argparse reports an error in one line.
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", type=int, default=3, help="of one CPU each (default 3)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="default 1,000,000")
    options = parser.parse_args()
    if min(options.nodes, options.rows) < 1:
        parser.error("--nodes and --rows must be at least 1")
    cluster = pretend_nodes(options.nodes)
    try:
        ray.init(address=cluster.address, logging_level="warning", log_to_driver=False)
        spread(options.nodes, options.rows)
        follow_the_load(options.nodes)
    except RayDPMLError as error:
        parser.error(str(error))
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
