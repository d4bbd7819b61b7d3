"""Search hyper-parameters on Spark data, with scikit-learn's names.

A Pipeline's candidates are cross-validated on a DataFrame that goes to Ray's object store once:
every fit reads it there, as many at a time as the machine has room for. A picture shows what each
parameter does to the score.
"""

import argparse
from pathlib import Path

from pyspark.sql import functions as sql

import raydp_ml
from raydp_ml.exceptions import RayDPMLError
from raydp_ml.model_selection import GridSearchCV, train_test_split
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.xgboost import XGBRegressor

GRID = {
    "xgbregressor__max_depth": [2, 4, 6],
    "xgbregressor__learning_rate": [0.1, 0.3],
    "standardscaler__with_mean": [True, False],
}
FEATURES = ["x1", "x2", "x3", "x4", "x5"]
NOISE = 1.0  # the noise's variance, which no model can explain


def make_rows(spark, rows):
    """Friedman's regression problem, in Spark SQL."""
    df = spark.range(rows).select(*(sql.rand(i).alias(name) for i, name in enumerate(FEATURES)))
    rule = "10 * sin(pi() * x1 * x2) + 20 * pow(x3 - 0.5, 2) + 10 * x4 + 5 * x5"
    return df.withColumn("y", sql.expr(rule) + sql.randn(99) * NOISE**0.5).cache()


def search(train, folds, trees):
    """Cross-validate every candidate, and fit the best one on all rows."""
    pipeline = make_pipeline(StandardScaler(), XGBRegressor(n_estimators=trees, random_state=0))
    found = GridSearchCV(pipeline, GRID, cv=folds, scoring="r2", return_train_score=True)
    return found.fit(train, "y")


def picture(found, path):
    """Draw the scores over the depth, a line for each rate: on rows held out, and trained on."""
    import matplotlib.pyplot as plt

    results = found.cv_results_
    depths = GRID["xgbregressor__max_depth"]
    figure, axes = plt.subplots(figsize=(7, 4))
    for rate in GRID["xgbregressor__learning_rate"]:
        for kind, style in (("test", "-o"), ("train", "--")):
            chosen = [
                index
                for index, params in enumerate(results["params"])
                if params["xgbregressor__learning_rate"] == rate
                and params["standardscaler__with_mean"]
            ]
            scores = results[f"mean_{kind}_score"][chosen]
            axes.plot(depths, scores, style, label=f"rate {rate}, {kind}")
    axes.set_xticks(depths)
    axes.set_xlabel("depth of the trees")
    axes.set_ylabel("mean R² over the folds")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def run(spark, options):
    """Do the whole job."""
    train, test = train_test_split(make_rows(spark, options.rows), test_size=0.2, random_state=0)
    found = search(train, options.folds, options.trees)
    results = found.cv_results_
    for params, score, spread in zip(
        results["params"], results["mean_test_score"], results["std_test_score"], strict=True
    ):
        print(f"{params}: R² {score:.4f} ± {spread:.4f}")
    print(f"Best: R² {found.best_score_:.4f} with {found.best_params_}")
    bound = 1 - NOISE / test.agg(sql.variance("y")).first()[0]
    print(f"On held-out rows: R² {found.score(test, 'y'):.4f}; no model can exceed {bound:.4f}")
    path = Path(options.output) / "scores.png"
    picture(found, path)
    print(f"Scores drawn to {path}")


def main():
    """Read the command line, and run the job in a Spark session of its own."""
    # Without its usage, argparse reports an error in one line.
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000, help="to make (default 200,000)")
    parser.add_argument("--folds", type=int, default=3, help="of the rows (default 3)")
    parser.add_argument("--trees", type=int, default=60, help="of each model (default 60)")
    parser.add_argument("--output", default="out", help="folder of the picture (default out)")
    options = parser.parse_args()
    if min(options.rows, options.trees) < 1 or options.folds < 2:
        parser.error("--rows and --trees must be at least 1, --folds at least 2")
    configs = {"spark.ui.showConsoleProgress": False}
    try:
        with raydp_ml.spark_session("hyperparameters", configs=configs) as spark:
            run(spark, options)
    except RayDPMLError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
