"""A training on Spark executors in the pods of a Ray cluster, for KubeRay's `RayJob`.

The executors ask Ray for their room; where there is none, its autoscaler adds pods for them.
"""

import argparse

import ray

import raydp_ml
from raydp_ml.exceptions import RayDPMLError
from raydp_ml.model_selection import train_test_split
from raydp_ml.xgboost import XGBRegressor


def arguments():
    """Return the parser of the command line; its defaults are what rayjob.yaml is made for."""
    # Without its usage, argparse reports an error in one line.
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="Parquet with a column y (default: made-up rows)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="made up (default 1,000,000)")
    parser.add_argument("--executors", type=int, default=3, help="one to a pod (default 3)")
    parser.add_argument("--executor-cores", type=int, default=4, help="default 4")
    parser.add_argument("--executor-memory", default="4g", help="of the JVM's heap (default 4g)")
    parser.add_argument("--driver-memory", default="2g", help="of the JVM's heap (default 2g)")
    parser.add_argument("--timeout", type=float, default=900, help="seconds (default 900)")
    return parser


def made_up(spark, rows):
    """Return rows whose label follows from two columns."""
    return spark.range(rows).selectExpr(
        "cast(id % 97 as double) a", "cast(id % 89 as double) b", "id % 97 + 2 * (id % 89) y"
    )


def main():
    """Read the command line, wait for the executors, fit, and score on rows that were kept out."""
    parser = arguments()
    options = parser.parse_args()
    if min(options.rows, options.executors) < 1:
        parser.error("--rows and --executors must be at least 1")
    try:
        ray.init(address="auto", log_to_driver=False)  # the cluster of the pod
        with raydp_ml.spark_session(
            "job",
            mode="native",
            num_executors=options.executors,
            executor_cores=options.executor_cores,
            executor_memory=options.executor_memory,
            driver_memory=options.driver_memory,
            timeout=options.timeout,  # a pod may have to wait for a machine, and load its image
            # Spark's UI has no password.
            configs={"spark.ui.enabled": False, "spark.ui.showConsoleProgress": False},
        ) as spark:
            df = spark.read.parquet(options.data) if options.data else made_up(spark, options.rows)
            train, test = train_test_split(df, test_size=0.2, random_state=0)
            model = XGBRegressor(n_estimators=50).fit(train, "y")  # a worker on each node with rows
            print(f"{options.executors} executors, {test.count():,} rows kept out", flush=True)
            print(f"R² {model.score(test, 'y'):.4f}", flush=True)
    except RayDPMLError as error:
        parser.error(str(error))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
