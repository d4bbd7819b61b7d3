"""Which kind of object is it? Light curves in the two tables of the PLAsTiCC challenge.

Spark aggregates and windows turn the observations of an object into features, and its six bands
into sequences of fortnights. XGBoost learns from the features, a convolutional PyTorch network
from the sequences; the challenge's weighted log-loss compares them.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from pyspark.errors import PySparkException
from pyspark.sql import functions as sql
from sklearn.metrics import ConfusionMatrixDisplay, log_loss
from torch import nn

import raydp_ml
from raydp_ml.datasets import make_light_curves, read_light_curves
from raydp_ml.exceptions import RayDPMLError, SchemaError
from raydp_ml.torch import TorchClassifier
from raydp_ml.xgboost import XGBClassifier

ABOUT = ["object_id", "target", "ddf", "hostgal_photoz", "hostgal_photoz_err", "distmod", "mwebv"]
WINDOWS = """
    select *, max(abs(flux)) over (partition by object_id) as top,
        flux - lag(flux) over (partition by object_id, passband order by mjd) as step
    from {observations}"""
FEATURES = [
    "min(flux) as min",
    "max(flux) as max",
    "avg(flux) as mean",
    "skewness(flux) as skew",
    "max(flux) - min(flux) as amplitude",
    "sum(flux / pow(flux_err, 2)) / sum(1 / pow(flux_err, 2)) as error_weighted",
    "sum(flux * pow(flux / flux_err, 2)) / sum(pow(flux / flux_err, 2)) as signal_weighted",
    "max(if(detected = 1, mjd, null)) - min(if(detected = 1, mjd, null)) as days_detected",
    "coalesce(avg(pow(step, 2)) / nullif(var_pop(flux), 0), 2) as roughness",
]
COLOURS = [f"ln(greatest(1, {b}_max) / greatest(1, {b + 1}_max)) as colour_{b}" for b in range(5)]
CURVES = """
    select object_id, transform(sequence(0, 6 * 79 - 1), at -> coalesce(means[at], 0D)) as curve
    from (select object_id, map_from_entries(collect_list(struct(at, mean))) as means
          from (select object_id, int(passband * 79 + floor((mjd - 59580) / 14)) as at,
                    avg(flux / top) as mean from {observed} group by all) group by object_id)"""
# A class counts as in the challenge; 16 makes the weights 1 on average, as XGBoost's penalties
# are absolute. The network's further channels say what sequences relative to the top do not.
ROLES = """
    select *, count(*) over (partition by test) / count(*) over (partition by test, target)
            * if(target in (15, 64), 2, 1) / 16 as weight,
        concat(curve, flatten(transform(
            array(ddf, hostgal_photoz, roughness, coalesce(days_detected, 0) / 1000,
                ln(1 + amplitude) / 10, colour_0, colour_1, colour_2, colour_3, colour_4),
            constant -> array_repeat(constant, 79)))) as channels
    from (select *, row_number() over (partition by target order by xxhash64(object_id)) % 4 = 2
              as test from {objects})"""
TREES = {"n_estimators": 200, "max_depth": 4, "learning_rate": 0.08, "min_child_weight": 2}
TREES |= {"subsample": 0.7, "colsample_bytree": 0.4, "random_state": 0}
NETWORK = {"max_epochs": 40, "batch_size": 128, "lr": 0.003, "weight_decay": 0.01}
NETWORK |= {"lr_scheduler": "CosineAnnealingLR", "lr_scheduler__T_max": 40, "random_state": 0}


def make_network(n_outputs):
    """Convolutions over the fortnights, the highest of each over time, and a hidden layer."""
    layers = [nn.Conv1d(6 + 10, 32, 5, padding=2), nn.ReLU(), nn.Conv1d(32, 64, 5, padding=2)]
    layers += [nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(nn.Unflatten(1, (6 + 10, 79)), *layers, nn.Linear(64, n_outputs))


def make_features(spark, observations, metadata):
    """One row for each object: features of each band and of all, colours, and the sequences."""
    observed = spark.sql(WINDOWS, observations=observations).cache()
    groups = observed.groupBy("object_id")
    features = [sql.expr(feature) for feature in FEATURES]
    bands = groups.pivot("passband", list(range(6))).agg(*features).selectExpr("*", *COLOURS)
    objects = metadata.select(*ABOUT)
    for table in (bands, groups.agg(*features), spark.sql(CURVES, observed=observed)):
        objects = objects.join(table, "object_id")
    return spark.sql(ROLES, objects=objects).cache()


def learn(objects, workers):
    """Fit on three quarters of each class; return the classes, and probabilities for the rest."""
    objects = raydp_ml.set_roles(objects, label="target", sample_weight="weight")
    train, test = objects.where("not test"), objects.where("test")
    trees = XGBClassifier(num_workers=workers, probability_col="xgboost", **TREES)
    trees.fit(train.drop("object_id", "test", "curve", "channels"))
    network = TorchClassifier(make_network, num_workers=workers, probability_col="torch", **NETWORK)
    network.fit(train.select("target", "weight", "channels"))
    predicted = network.predict_proba(trees.predict_proba(test))
    held_out = predicted.select("target", "weight", "xgboost", "torch").toPandas()
    counts = train.groupBy("target").count().sort("target").toPandas()["count"]
    return trees.classes_, held_out.assign(class_shares=len(held_out) * [counts / counts.sum()])


def weighted_log_loss(held_out, model, classes):
    """The challenge's: each class counts the same, but 15 and 64 twice."""
    shares = np.stack(held_out[model])
    clipped = np.clip(shares / shares.sum(axis=1, keepdims=True), 1e-15, 1 - 1e-15)
    return log_loss(held_out.target, clipped, labels=classes, sample_weight=held_out.weight)


def draw(target, predicted):
    """Draw the confusion matrix: of each class, the shares that are taken for each class."""
    figure, axes = plt.subplots(figsize=(8, 7.5), layout="constrained")
    looks = {"cmap": "Blues", "colorbar": False, "values_format": ".0%", "text_kw": {"fontsize": 8}}
    ConfusionMatrixDisplay.from_predictions(target, predicted, normalize="true", ax=axes, **looks)
    axes.set_title("Held-out objects, XGBoost: shares of each true class")
    return figure


def run(spark, options):
    """Do the whole job, from the observations to the picture."""
    if options.data:
        tables = read_light_curves(spark, options.data)
    else:
        tables = make_light_curves(spark, options.objects, random_state=0)
    options.output.mkdir(parents=True, exist_ok=True)
    objects = make_features(spark, *tables)
    counts = [objects.where(part).count() for part in ("not test", "test")]
    if min(counts) < 20:
        raise SchemaError(f"20 objects to learn from and 20 to test are needed; got {counts}")
    classes, held_out = learn(objects, options.workers)
    print(f"{sum(counts):,} objects, {len(held_out):,} of them held out")
    print("Weighted log-loss on the held-out objects")
    for model in ("class_shares", "xgboost", "torch"):
        print(f"{model:16}{weighted_log_loss(held_out, model, classes):8.4f}")
    predicted = classes[np.stack(held_out.xgboost).argmax(axis=1)]
    draw(held_out.target, predicted).savefig(options.output / "confusion.png", dpi=150)
    print(f"Drew {options.output / 'confusion.png'}")


def main():
    """Read the command line, and run the job in a Spark session of its own."""
    # Without its usage, argparse reports an error in one line.
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="folder with the challenge's training set")
    parser.add_argument("--objects", type=int, default=4000, help="to generate (default 4,000)")
    parser.add_argument("--workers", type=int, default=2, help="training workers (default 2)")
    here = Path(__file__).parent / "output"
    parser.add_argument("--output", type=Path, default=here, help="folder (default %(default)s)")
    options = parser.parse_args()
    if min(options.objects, options.workers) < 1:
        parser.error("--objects and --workers must be at least 1")
    configs = {"spark.ui.showConsoleProgress": False, "spark.sql.shuffle.partitions": 8}
    try:
        with raydp_ml.spark_session("plasticc", configs=configs) as spark:
            run(spark, options)
    except (OSError, PySparkException, RayDPMLError) as error:
        parser.error(str(error).splitlines()[0])


if __name__ == "__main__":
    main()
