"""What should a taxi ride in New York cost? Fares, learnt from the city's trip records.

Spark SQL drops what careless records cannot mean and derives features; XGBoost and a PyTorch
network learn from them side by side. What follows from the fare (tip, total) is no feature.
"""

import argparse
from pathlib import Path

from matplotlib import pyplot as plt
from pyspark.errors import PySparkException
from sklearn.pipeline import make_pipeline

import raydp_ml
from raydp_ml.datasets import make_taxi_trips, read_taxi_trips
from raydp_ml.exceptions import RayDPMLError, SchemaError
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.torch import TorchRegressor
from raydp_ml.xgboost import XGBRegressor

# 2.50 dollars is the least fare, 5 a negotiated rate; zones 132 and 1 are the airports JFK, Newark.
FEATURES = """
    select fare_amount as fare, trip_distance as miles, minutes, trip_distance / minutes as speed,
        passenger_count as passengers, PULocationID as from_zone, DOLocationID as to_zone,
        int(132 in (PULocationID, DOLocationID)) as jfk, int(DOLocationID = 1) as newark,
        hour(start) + minute(start) / 60 as hour, weekday(start) as weekday,
        pmod(xxhash64(start, minutes, PULocationID, DOLocationID), 5) = 0 as held_out
    from (select *, tpep_pickup_datetime as start, timestampdiff(
              second, tpep_pickup_datetime, tpep_dropoff_datetime) / 60 as minutes from {trips})
    where fare_amount between 2.5 and 500 and trip_distance between 0.01 and 100 and
        minutes between 1 and 180 and passenger_count between 1 and 9 and RatecodeID between 1 and 3
"""
TREES = {"n_estimators": 300, "max_depth": 6, "learning_rate": 0.05, "subsample": 0.8}
TREES |= {"colsample_bytree": 0.8, "min_child_weight": 10, "random_state": 0}
NETWORK = {"hidden_layer_sizes": (64, 64), "max_epochs": 40, "batch_size": 512, "lr": 0.005}
NETWORK |= {"lr_scheduler": "CosineAnnealingLR", "lr_scheduler__T_max": 40, "random_state": 0}


def split(spark, trips):
    """Clean and derive; return four fifths of the trips to learn from, and the rest."""
    rows = spark.sql(FEATURES, trips=trips).cache()
    return [rows.where(part).drop("held_out") for part in ("not held_out", "held_out")]


def learn(train, test, workers):
    """Fit the models, and give the true fares of `test` with a column of predictions by each."""
    line = train.selectExpr("regr_intercept(fare, miles) as a", "regr_slope(fare, miles) as b")
    line = "{a} + {b} * miles as distance_only".format(**line.first().asDict())
    trees = XGBRegressor(num_workers=workers, prediction_col="xgboost", **TREES)
    network = TorchRegressor(num_workers=workers, prediction_col="torch", **NETWORK)
    predicted = trees.fit(train, "fare").predict(test.selectExpr("*", line))
    predicted = make_pipeline(StandardScaler(), network).fit(train, "fare").predict(predicted)
    return predicted.select("fare", "distance_only", "xgboost", "torch").cache()


def score(predicted, model):
    """RMSE in dollars, and R², computed by Spark."""
    square = f"avg(pow(fare - {model}, 2))"
    return predicted.selectExpr(f"sqrt({square})", f"1 - {square} / var_pop(fare)").first()


def draw(predicted):
    """Draw predicted against true fares, of at most 20,000 trips."""
    rows = predicted.limit(20_000).toPandas()
    top = rows.fare.quantile(0.999) + 5
    figure, panels = plt.subplots(1, 2, figsize=(10.5, 5), sharey=True, layout="constrained")
    for axes, model in zip(panels, ("xgboost", "torch"), strict=True):
        cells = {"extent": (0, top, 0, top), "gridsize": 60, "bins": "log", "mincnt": 1}
        shown = axes.hexbin(rows.fare, rows[model], cmap="viridis", **cells)
        axes.axline((0, 0), slope=1, color="#d9822b", linewidth=1)
        axes.set(title=model, xlabel="true fare, $", xlim=(0, top), ylim=(0, top))
    panels[0].set_ylabel("predicted fare, $")
    figure.colorbar(shown, ax=panels, label="held-out trips")
    return figure


def run(spark, options):
    """Do the whole job, from the records to the picture."""
    if options.data:
        trips = read_taxi_trips(spark, options.data).cache()
    else:
        trips = make_taxi_trips(spark, options.rows, random_state=0).cache()
    options.output.mkdir(parents=True, exist_ok=True)
    train, test = split(spark, trips)
    counts = [trips.count(), train.count(), test.count()]
    if min(counts) < 20:
        needed = "at least 20 clean trips to learn from and 20 to test are needed"
        raise SchemaError(f"{needed}; got {counts[1:]}")
    print("{:,} trips: {:,} to learn from, {:,} held out, the rest is dirt".format(*counts))
    predicted = learn(train, test, options.workers)
    print(f"{'On the held-out trips':24}{'RMSE, $':>8}{'R²':>8}")
    for model in ("distance_only", "xgboost", "torch"):
        print("{:24}{:8.3f}{:8.4f}".format(model, *score(predicted, model)))
    draw(predicted).savefig(options.output / "fares.png", dpi=150)
    print(f"Drew {options.output / 'fares.png'}")


def main():
    """Read the command line, and run the job in a Spark session of its own."""
    # Without its usage, argparse reports an error in one line.
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="CSV or Parquet (default: trips are generated)")
    parser.add_argument("--rows", type=int, default=100_000, help="to generate (default 100,000)")
    parser.add_argument("--workers", type=int, default=2, help="training workers (default 2)")
    here = Path(__file__).parent / "output"
    parser.add_argument("--output", type=Path, default=here, help="folder (default %(default)s)")
    options = parser.parse_args()
    if min(options.rows, options.workers) < 1:
        parser.error("--rows and --workers must be at least 1")
    configs = {"spark.sql.session.timeZone": "UTC", "spark.ui.showConsoleProgress": False}
    try:
        with raydp_ml.spark_session("nyc_taxi", configs=configs) as spark:
            run(spark, options)
    except (OSError, PySparkException, RayDPMLError) as error:
        parser.error(str(error).splitlines()[0])


if __name__ == "__main__":
    main()
