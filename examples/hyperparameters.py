"""Two ways to search hyper-parameters: in memory, and on Spark data.

Scikit-learn's GridSearchCV searches a wide grid on a sample in memory, since our estimators are
scikit-learn's. The finalists then learn from all rows, which go to Ray's object store once: every
fit reads the same `Blocks`, on workers that stay warm.
"""

import argparse
import time

from pyspark.sql import functions as sql
from sklearn.model_selection import GridSearchCV

import raydp_ml
from raydp_ml.exceptions import RayDPMLError
from raydp_ml.xgboost import XGBRegressor

GRID = {"max_depth": [2, 4, 6], "learning_rate": [0.1, 0.3], "n_estimators": [60]}
FEATURES = ["x1", "x2", "x3", "x4", "x5"]
NOISE = 1.0  # the noise's variance, which no model can explain


def make_rows(spark, rows):
    """Friedman's regression problem, in Spark SQL."""
    df = spark.range(rows).select(*(sql.rand(i).alias(name) for i, name in enumerate(FEATURES)))
    rule = "10 * sin(pi() * x1 * x2) + 20 * pow(x3 - 0.5, 2) + 10 * x4 + 5 * x5"
    return df.withColumn("y", sql.expr(rule) + sql.randn(99) * NOISE**0.5)


def search_in_memory(sample):
    """Cross-validate every combination on a pandas frame."""
    search = GridSearchCV(XGBRegressor(random_state=0, n_jobs=1), GRID, cv=3, refit=False)
    return search.fit(sample[FEATURES], sample["y"])


def finalists(search, count):
    """Return the combinations of the best scores, best first."""
    order = search.cv_results_["rank_test_score"].argsort(kind="stable")
    return [search.cv_results_["params"][index] for index in order[:count]]


def search_blocks(train, check, candidates, workers):
    """Fit every candidate on the same blocks; return (error, model, seconds) of each."""
    found = []
    with raydp_ml.from_spark(train) as blocks, raydp_ml.from_spark(check) as held_out:
        print(f"In the object store: {blocks}")
        for params in candidates:
            begin = time.perf_counter()
            model = XGBRegressor(**params, random_state=0, num_workers=workers)
            model.fit(blocks, "y", eval_set=[(held_out, "y")])
            error = model.evals_result_["validation_0"]["rmse"][-1]
            found.append((error, model, time.perf_counter() - begin))
    return found


def run(spark, options):
    """Do the whole job."""
    df = make_rows(spark, options.rows)
    train, check, test = df.randomSplit([0.6, 0.2, 0.2], seed=0)

    search = search_in_memory(train.limit(options.sample).toPandas())
    for params, score in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        print(f"{params}: R² {score:.4f}")
    print(f"Best on the sample: R² {search.best_score_:.4f} with {search.best_params_}")

    found = search_blocks(train, check, finalists(search, options.finalists), options.workers)
    for error, model, seconds in found:
        params = {name: getattr(model, name) for name in GRID}
        print(f"{params}: RMSE {error:.4f} in {seconds:.2f} s")

    best = min(found, key=lambda item: item[0])[1]
    bound = 1 - NOISE / test.agg(sql.variance("y")).first()[0]
    print(f"On held-out rows: R² {best.score(test, 'y'):.4f}; no model can exceed {bound:.4f}")


def main():
    """Read the command line, and run the job in a Spark session of its own."""
    # Without its usage, argparse reports an error in one line.
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=500_000, help="to make (default 500,000)")
    parser.add_argument("--sample", type=int, default=5_000, help="rows in memory (default 5,000)")
    parser.add_argument("--finalists", type=int, default=3, help="for all rows (default 3)")
    parser.add_argument("--workers", type=int, default=2, help="training workers (default 2)")
    options = parser.parse_args()
    if min(options.rows, options.sample, options.finalists, options.workers) < 1:
        parser.error("--rows, --sample, --finalists and --workers must be at least 1")
    configs = {"spark.ui.showConsoleProgress": False}
    try:
        with raydp_ml.spark_session("hyperparameters", configs=configs) as spark:
            run(spark, options)
    except RayDPMLError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
