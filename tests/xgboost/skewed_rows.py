"""A program: fits on frames whose rows lie unevenly, and on the same rows evenly spread.

    python -m tests.xgboost.skewed_rows RESULTS

Four workers need a Ray of four CPUs, on whatever machine. All features are few different numbers,
so that workers cannot but find the split points of plain xgboost, and models differ in the order of
sums only.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
from pathlib import Path

from pyspark.sql import functions

import raydp_ml
from raydp_ml.torch import TorchRegressor
from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor

PARAMS = {"n_estimators": 8, "max_depth": 3, "min_child_weight": 0, "n_jobs": 1, "random_state": 0}
PARAMS |= {"tree_method": "hist"}
STOPS = {**PARAMS, "n_estimators": 60, "early_stopping_rounds": 3}
CATEGORIES = {**PARAMS, "enable_categorical": True, "max_cat_to_onehot": 1}
# All pairs of a group count alike, in whatever order its rows are.
PAIRS = {**PARAMS, "objective": "rank:pairwise", "lambdarank_num_pair_per_sample": 100}
NETWORK = {"hidden_layer_sizes": (8,), "max_epochs": 4, "batch_size": 64, "random_state": 0}
WORKERS = (1, 2, 4)
FEATURES = ("a", "b", "c")
SHAPES = {
    # name: (estimator, its parameters, columns beside the features by their roles)
    "one positive label": (XGBClassifier, PARAMS, {}),
    "most rows in one partition": (XGBRegressor, PARAMS, {}),
    "empty partitions": (XGBRegressor, PARAMS, {}),
    "validation rows in one partition": (XGBRegressor, STOPS, {"validation": "v"}),
    "half of the rows for validation": (XGBRegressor, STOPS, {"validation": "v"}),
    "weights of zero in one partition": (XGBRegressor, PARAMS, {"sample_weight": "w"}),
    "sorted classes": (XGBClassifier, PARAMS, {}),
    "sorted categories": (XGBRegressor, CATEGORIES, {}),
    "scattered groups": (XGBRanker, PAIRS, {"group": "q"}),
    "groups for validation": (XGBRanker, PAIRS, {"group": "q", "validation": "v"}),
    "three rows": (XGBRegressor, PARAMS, {}),
    "three rows of classes": (XGBClassifier, PARAMS, {}),
    "three rows of categories": (XGBRegressor, CATEGORIES, {}),
    "three rows, one for validation": (XGBRegressor, CATEGORIES, {"validation": "v"}),
    "three rows and medians": (XGBRegressor, {**PARAMS, "objective": "reg:absoluteerror"}, {}),
    "three rows and dropped trees": (
        XGBRegressor,
        {**PARAMS, "booster": "dart", "subsample": 0.7, "rate_drop": 0.5},
        {},
    ),
    "network, most rows in one partition": (TorchRegressor, NETWORK, {}),
    "network, validation rows in one partition": (TorchRegressor, NETWORK, {"validation": "v"}),
    "network, three rows": (TorchRegressor, NETWORK, {}),
}


def rows_of(spark, count):
    return spark.range(count).selectExpr(
        "id",
        "double(pmod(hash(id), 97)) AS a",
        "double(pmod(hash(id, 1), 89)) AS b",
        "double(pmod(hash(id, 2), 53)) AS c",
        "double(pmod(hash(id), 97) + 2 * pmod(hash(id, 1), 89) + pmod(hash(id, 3), 50)) AS y",
    )


def one_partition(df, condition, others):
    """Put the rows of a condition into one partition, and the other ones into several."""
    rest = df.where(f"not ({condition})").repartition(others, "id")
    return df.where(condition).coalesce(1).union(rest)


def skewed(spark, shape):
    """Return the frame of a shape."""
    kind = shape.removeprefix("network, ")
    df = rows_of(spark, 2000)
    if kind == "one positive label":
        df = rows_of(spark, 100_000).withColumn("y", functions.expr("int(id = 77777)"))
        return df.repartition(8).orderBy("y")
    if kind == "most rows in one partition":
        return one_partition(df, "id % 20 > 0", 7)
    if kind == "empty partitions":
        return df.repartition(12, functions.expr("id < 3"))
    if "validation rows" in kind:
        return one_partition(df.withColumn("v", functions.expr("id % 4 = 0")), "v", 5)
    if kind == "half of the rows for validation":
        return one_partition(df.withColumn("v", functions.expr("id % 2 = 0")), "v", 1)
    if kind == "weights of zero in one partition":
        weighted = df.withColumn("w", functions.expr("if(id % 2 = 0, 0.0D, 1 + id % 3)"))
        return one_partition(weighted, "w = 0", 1)
    if kind == "sorted classes":
        return df.withColumn("y", functions.expr("int(y / 60)")).orderBy("y")
    if kind == "sorted categories":
        return df.withColumn("c", functions.expr("concat('c', int(c))")).coalesce(1).sort("c")
    if "groups" in kind:
        df = df.withColumn("q", functions.expr("int(pmod(hash(id, 4), 80))"))
        df = df.withColumn("y", functions.expr("double(int(y / 80))"))
        if kind == "groups for validation":
            return one_partition(df.withColumn("v", functions.expr("q >= 40")), "v", 7)
        return df.repartition(8, "id")
    values = [(0, 1.0, 2.0, "x", 1.0), (1, 2.0, 0.0, "y", 2.0), (2, 3.0, 1.0, "z", 4.0)]
    few = spark.createDataFrame(values, ["id", "a", "b", "c", "y"])
    if "validation" in kind:
        return few.withColumn("v", functions.expr("id = 2"))
    if "categories" not in kind:
        few = few.withColumn("c", functions.expr("double(id % 2)"))
    return few.withColumn("y", functions.expr("int(id = 1)")) if "classes" in kind else few


def fitted(df, shape, workers, evaluates=False, **more):
    cls, params, roles = SHAPES[shape]
    data = raydp_ml.set_roles(df.drop("id"), label="y", **roles)
    sets = {"eval_set": [data]} if evaluates else {}
    return cls(num_workers=workers, **{**params, **more}).fit(data, **sets)


class Counts:
    """Notes how many rows each worker has.

    As an objective it sees those that the worker trains on. A ranker takes no function as its
    objective: as a metric it sees the groups that the worker evaluates, one after the other.
    """

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, y_true, y_pred, sample_weight=None):
        from xgboost import collective

        with (self.folder / str(collective.get_rank())).open("a") as notes:
            notes.write(f"{len(y_true)}\n")
        return 0 * y_pred, 0 * y_pred + 1


class CountsGroups(Counts):
    def __call__(self, y_true, y_pred):
        return super().__call__(y_true, y_pred)[0].sum()


def rows_by_worker(df, shape, workers):
    with tempfile.TemporaryDirectory() as name:
        if SHAPES[shape][0] is XGBRanker:
            notes = CountsGroups(Path(name))
            fitted(df, shape, workers, evaluates=True, eval_metric=notes, n_estimators=1)
        else:
            fitted(df, shape, workers, objective=Counts(Path(name)), n_estimators=1)
        return [sum(map(int, path.open())) for path in sorted(Path(name).iterdir())]


def outcome(df, shape, workers):
    """Return what a model predicts for all rows, and its scores."""
    model = fitted(df, shape, workers)
    columns = ["id", *FEATURES]
    if isinstance(model, XGBClassifier):
        made = model.predict_proba(df.select(*columns)).select("id", "probability")
    else:
        made = model.predict(df.select(*columns)).select("id", "prediction")
    scores = getattr(model, "evals_result_", None) or getattr(model, "history_", None)
    return [row[1] for row in sorted(made.collect())], scores


def main(results):
    import ray

    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    spark = raydp_ml.init_spark(
        configs={"spark.sql.shuffle.partitions": "4", "spark.ui.showConsoleProgress": "false"}
    )
    found = {}
    for shape in SHAPES:
        one_frame = skewed(spark, shape).cache()
        spread = one_frame.repartition(8).cache()
        found[shape] = {"rows": one_frame.toPandas().sort_values("id", ignore_index=True)}
        for workers in WORKERS:
            for name, df in (("skewed", one_frame), ("spread", spread)):
                found[shape][name, workers] = outcome(df, shape, workers)
            if SHAPES[shape][0] is not TorchRegressor:
                found[shape]["counts", workers] = rows_by_worker(one_frame, shape, workers)
    Path(results).write_bytes(pickle.dumps(found))
    raydp_ml.stop_spark()


if __name__ == "__main__":
    main(sys.argv[1])
