"""Scikit-learn's habits on a Spark DataFrame: fit, score, predict, save, and serve without Spark.

The rows are made by Spark, or read from Parquet: the label is the column `--label`, the features
are all others, which must be numbers.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
from pyspark.errors import PySparkException
from sklearn.pipeline import make_pipeline

import raydp_ml
from raydp_ml.exceptions import RayDPMLError
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.xgboost import XGBRegressor


def fail(text):
    """End the program as a user's mistake does."""
    print(f"quickstart: {str(text).splitlines()[0]}", file=sys.stderr)
    sys.exit(2)


def check_columns(path, label):
    """End the program unless `path` is Parquet with the label and a feature."""
    try:
        names = pyarrow.dataset.dataset(path, format="parquet").schema.names
    except FileNotFoundError:
        fail(f"there is no file or folder {path}")
    except (OSError, pa.ArrowInvalid) as error:
        fail(f"cannot read {path} as Parquet: {str(error).splitlines()[0]}")
    if label not in names or len(names) < 2:
        fail(f"{path} lacks the column {label!r} or any other; it has {names}")


def make_rows(spark, rows):
    """Make a label that follows a known rule, with noise of variance 1/12."""
    df = spark.range(rows).selectExpr("rand(1) as x", "rand(2) as z")
    return df.selectExpr("x", "z", "10 * sin(6 * x) + 5 * z + rand(3) as y")


def train(df, label, workers):
    """Fit a pipeline on 80 % of the rows; return it, and the rest of the rows."""
    train, test = df.randomSplit([0.8, 0.2], seed=0)
    model = make_pipeline(
        StandardScaler(), XGBRegressor(n_estimators=50, random_state=0, num_workers=workers)
    )
    model.fit(train, label)  # to Ray's object store as Arrow, then `workers` Ray actors
    return model, test


def predictions(model, df):
    """Collect the column that `predict` adds."""
    return model.predict(df).select("prediction").toPandas().prediction.to_numpy()


def run(spark, options):
    """Do the whole job."""
    df = spark.read.parquet(options.data) if options.data else make_rows(spark, options.rows)
    model, test = train(df, options.label, options.workers)
    print(f"R² on held-out rows: {model.score(test, options.label):.4f}")  # computed by Spark

    model.predict(test).show(3)  # the transformed DataFrame, plus a column

    with tempfile.TemporaryDirectory() as folder:
        raydp_ml.save(model, Path(folder, "model"))  # JSON and XGBoost's own format, no pickle
        served = raydp_ml.load(Path(folder, "model")).set_output(transform="pandas")
    few = test.limit(1000).cache()
    gap = served.predict(few.drop(options.label).toPandas()) - predictions(model, few)
    print(f"Reloaded, and given a pandas frame, it differs by at most {abs(gap).max():.1g}")


def main():
    """Read the command line, and run the job in a Spark session of its own."""
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="file or folder of Parquet (default: rows are made)")
    parser.add_argument("--label", default="y", help="column to predict (default y)")
    parser.add_argument("--rows", type=int, default=200_000, help="to make (default 200,000)")
    parser.add_argument("--workers", type=int, default=2, help="training workers (default 2)")
    options = parser.parse_args()
    if min(options.rows, options.workers) < 1:
        fail("--rows and --workers must be at least 1")
    if options.data:
        check_columns(options.data, options.label)
    configs = {"spark.ui.showConsoleProgress": False}
    try:
        with raydp_ml.spark_session("quickstart", configs=configs) as spark:
            run(spark, options)
    except (PySparkException, RayDPMLError) as error:
        fail(error)


if __name__ == "__main__":
    main()
