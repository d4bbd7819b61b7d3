"""From Spark to the rest of Ray: Ray Data, Ray Tune and Ray Serve.

Spark prepares the rows, whose Arrow blocks Ray Data then works on without a copy. Ray Tune runs
its trials on them, in parallel. The best model answers over HTTP, from a Ray Serve deployment.
"""

import argparse
import json
import socket
import tempfile
from contextlib import closing
from http.client import HTTPConnection

import pandas as pd
import pyarrow as pa
import ray.data
from pyspark.sql import functions as sql
from ray import serve, tune
from ray.serve.schema import LoggingConfig

import raydp_ml
from raydp_ml.exceptions import RayDPMLError
from raydp_ml.xgboost import XGBRegressor

SPACE = {"max_depth": [2, 4, 6], "learning_rate": [0.1, 0.3]}


def make_rides(spark, rows):
    """Make rides, and the minutes that they take: slower in the rush hour."""
    df = spark.range(rows).select(
        sql.floor(24 * sql.rand(0)).alias("hour"), (15 * sql.rand(1)).alias("miles")
    )
    pace = 3 + 2 * sql.col("hour").between(16, 19).cast("int")
    return df.withColumn("minutes", pace * sql.col("miles") + 2 * sql.randn(2))


def add_rush(rides):
    """Add a feature to a batch of rides, a pandas frame."""
    return rides.assign(rush=rides.hour.between(16, 19).astype(float))


def trial(params, train, check):
    """Train on the blocks of one data set and measure on those of another: one trial."""
    train, check = (pa.concat_tables(ray.get(refs)) for refs in (train, check))
    model = XGBRegressor(**params, n_estimators=50, random_state=0, n_jobs=1, num_workers=0)
    model.fit(train, "minutes", eval_set=[(check, "minutes")])
    return {"rmse": model.evals_result_["validation_0"]["rmse"][-1]}


def search(train, check):
    """Let Ray Tune try every combination; return the best and its error."""
    blocks = {"train": train.to_arrow_refs(), "check": check.to_arrow_refs()}
    with tempfile.TemporaryDirectory() as folder:
        results = tune.Tuner(
            tune.with_parameters(trial, **blocks),
            param_space={name: tune.grid_search(values) for name, values in SPACE.items()},
            tune_config=tune.TuneConfig(metric="rmse", mode="min"),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
        best = results.get_best_result()
    return best.config, best.metrics["rmse"]


@serve.deployment
class Minutes:
    """Answers a POST of rides, a list of JSON objects, with the minutes that each takes."""

    def __init__(self, model):
        self.model = model

    async def __call__(self, request):
        rides = add_rush(pd.DataFrame(await request.json()))
        return self.model.predict(rides).tolist()


def ask(model, rides):
    """Serve the model, ask it over HTTP, and end the service."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    quiet = LoggingConfig(log_level="ERROR")
    serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config=quiet)
    try:
        serve.run(Minutes.bind(model), route_prefix="/minutes")
        with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("POST", "/minutes", json.dumps(rides))
            return json.load(connection.getresponse())
    finally:
        serve.shutdown()


def run(spark, options):
    """Do the whole job, from Spark to the answer over HTTP."""
    ray.data.DataContext.get_current().enable_progress_bars = False
    with raydp_ml.from_spark(make_rides(spark, options.rows)) as blocks:
        dataset = blocks.to_dataset().map_batches(add_rush, batch_format="pandas")
        train, check = dataset.train_test_split(0.2, shuffle=True, seed=0)
        params, error = search(train, check)
        print(f"Best of Ray Tune's trials: RMSE {error:.3f} minutes with {params}")
        model = XGBRegressor(**params, n_estimators=50, random_state=0, num_workers=2)
        model.fit(train, "minutes")
    print(f"Trained on {train.count():,} rides: R² {model.score(check, 'minutes'):.4f}")

    rides = [{"hour": 8, "miles": 10.0}, {"hour": 17, "miles": 10.0}]
    answers = ask(model, rides)
    for ride, minutes in zip(rides, answers, strict=True):
        print(f"{ride}: {minutes:.1f} minutes")
    same = answers == model.predict(add_rush(pd.DataFrame(rides))).tolist()
    print(f"The model in this process says {'the same' if same else 'otherwise'}")


def main():
    """Read the command line, and run the job in a Spark session of its own."""
    # Without its usage, argparse reports an error in one line.
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000, help="to make (default 200,000)")
    options = parser.parse_args()
    if options.rows < 1:
        parser.error("--rows must be at least 1")
    configs = {"spark.ui.showConsoleProgress": False}
    try:
        with raydp_ml.spark_session("ray_ecosystem", configs=configs) as spark:
            run(spark, options)
    except RayDPMLError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
