"""One page that judges and explains a model: scores, curves, and what it makes of its features.

The model is that of `flight_delays.py`: which flights out of New York will arrive more than 15
minutes late? All that the page shows is computed on Spark DataFrames: only numbers, the points of
curves and a sample of explained rows come to this process. The page is one HTML file that holds its
pictures, to be mailed or kept beside the model.
"""

import argparse
import base64
import html
import io
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from flight_delays import CONFIGS, PARAMS, derive, packaged, split_by_date
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from pyspark.sql import functions as sql
from sklearn.pipeline import make_pipeline

import raydp_ml
from raydp_ml.exceptions import RayDPMLError
from raydp_ml.inspection import (
    PartialDependenceDisplay,
    permutation_importance,
    shap_explanation,
)
from raydp_ml.metrics import (
    CalibrationDisplay,
    ConfusionMatrixDisplay,
    PrecisionRecallDisplay,
    RocCurveDisplay,
    report,
)
from raydp_ml.model_selection import train_test_split
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.xgboost import XGBClassifier

METRICS = {  # by raydp_ml's names; the first four judge probabilities
    "roc_auc": ("ROC AUC", "how often a late flight gets the higher probability of two"),
    "average_precision": ("Average precision", "precision, averaged over all recalls"),
    "log_loss": ("Log-loss", "of the probabilities; less is better"),
    "brier_score_loss": ("Brier score", "mean squared error of the probabilities; less is better"),
    "accuracy": ("Accuracy", "share of flights that are called rightly"),
    "balanced_accuracy": ("Balanced accuracy", "mean of both classes' shares called rightly"),
    "precision": ("Precision", "share late of those called late"),
    "recall": ("Recall", "share called late of those late"),
    "f1": ("F1", "harmonic mean of precision and recall"),
}
UNDEFINED = {"precision", "f1"}  # where no flight is called late
TITLE = "Which flights will arrive more than 15 minutes late?"
SQUARE, WIDE, LOW = (5, 4.6), (10, 5), (10, 3.2)
EXPLAINED = 2_000  # flights, to collect and to draw
MOST = 4  # features, of which partial dependence is drawn

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 64rem;
       padding: 0 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin-bottom: 0.3rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 1rem; padding-bottom: 0.3rem;
     border-bottom: 1px solid #ccc; }
h3 { font-size: 1.05rem; margin: 0 0 0.5rem; }
table { border-collapse: collapse; }
th, td { padding: 0.3rem 1.5rem 0.3rem 0; text-align: left; border-bottom: 1px solid #eee; }
td { font-variant-numeric: tabular-nums; }
.pictures { display: flex; flex-wrap: wrap; gap: 2rem; }
figure { margin: 0; flex: 1 1 26rem; }
figure.wide { flex-basis: 100%; }
figure img { width: 100%; }
figcaption { color: #444; max-width: 44rem; margin: 0.3rem 0 0.8rem; }
"""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p>{about}</p>
<h2>Metrics</h2>
{table}
<p>Constant is the share of late flights among those learnt from, given to all. From the accuracy
on, a flight is called late where its probability is above one half.</p>
<h2>How good the predictions are</h2>
<div class="pictures">
{judged}
</div>
<h2>What they come from</h2>
<div class="pictures">
{explained}
</div>
</body>
</html>
"""


class Picture(NamedTuple):
    """A drawing, and what it says."""

    title: str
    figure: Figure | None
    text: str


def fit_model(spark, rows, rounds, workers):
    """Fit a Pipeline on so many of the flights; returns it, and the rows to learn and to test."""
    timetable = packaged("flights.csv.zip")
    taken = np.linspace(0, len(timetable) - 1, min(rows, len(timetable)), dtype=int)
    flights = raydp_ml.to_spark(timetable.take(pa.array(taken)), spark)
    weather = raydp_ml.to_spark(packaged("weather.csv"), spark)
    train, test = split_by_date(derive(flights, weather).cache())
    model = XGBClassifier(n_estimators=rounds, num_workers=workers, **PARAMS)
    return make_pipeline(StandardScaler(), model).fit(train), train, test


def score_rows(pipeline, test, path):
    """Write the test's rows with class and probability to `path`, and read them there.

    Predicted once, they are the same to each metric, and to whoever looks for the worst of them.
    """
    scored = pipeline.predict_proba(pipeline.predict(test))
    scored = scored.withColumn("p", sql.col("probability")[1]).drop("probability")
    scored.write.mode("overwrite").parquet(str(path))
    return test.sparkSession.read.parquet(str(path))


# ------------------------------------------------------------------- how good


def measure(train, scored):
    """Compute the metrics, and beside them those of the train's share of late flights for all."""
    share = train.agg(sql.avg("late")).first()[0]
    constant = scored.withColumns({"share": sql.lit(share), "never": sql.lit(0)})
    defined = [name for name in METRICS if name not in UNDEFINED]
    found = report(scored, list(METRICS), y_score="p")
    beside = report(constant, defined, y_pred="never", y_score="share")
    rows = [(title, found[name], beside.get(name), of) for name, (title, of) in METRICS.items()]
    return pd.DataFrame(rows, columns=["metric", "model", "constant", "what it is"])


def judged(scored):
    """Draw how good the predictions are."""
    return [roc(scored), precision_recall(scored), calibration(scored), confusion(scored)]


def roc(scored):
    figure, axes = plt.subplots(figsize=SQUARE, layout="constrained")
    drawn = RocCurveDisplay.from_predictions(
        scored, y_score="p", name="model", ax=axes, plot_chance_level=True, despine=True
    )
    text = (
        "Of a late and a punctual flight, drawn at random, the late one has the higher probability "
        f"in {drawn.roc_auc:.1%} of all cases; by chance it would be in half of them."
    )
    return Picture("ROC curve", figure, text)


def precision_recall(scored):
    figure, axes = plt.subplots(figsize=SQUARE, layout="constrained")
    drawn = PrecisionRecallDisplay.from_predictions(
        scored, y_score="p", name="model", ax=axes, plot_chance_level=True, despine=True
    )
    text = (
        "The more of the late flights are found (to the right), the fewer of those called late "
        f"are. Guessing is right for the {drawn.prevalence_pos_label:.1%} that are late."
    )
    return Picture("Precision and recall", figure, text)


def calibration(scored):
    figure, axes = plt.subplots(figsize=SQUARE, layout="constrained")
    CalibrationDisplay.from_predictions(
        scored, y_prob="p", n_bins=10, strategy="quantile", name="model", ax=axes
    )
    axes.spines[["top", "right"]].set_visible(False)
    said, late = scored.agg(sql.avg("p"), sql.avg("late")).first()
    text = (
        "Each point is a tenth of the flights, from the least to the most likely to be late: above "
        f"the diagonal more are late than predicted. In all, {said:.1%} are predicted and "
        f"{late:.1%} are."
    )
    return Picture("Calibration", figure, text)


def confusion(scored):
    figure, axes = plt.subplots(figsize=SQUARE, layout="constrained")
    drawn = ConfusionMatrixDisplay.from_predictions(
        scored,
        display_labels=["on time", "late"],
        values_format=",d",
        cmap="Blues",
        colorbar=False,
        ax=axes,
    )
    (_, alarms), (missed, found) = drawn.confusion_matrix
    text = (
        f"Above a probability of one half a flight is called late: {found + alarms:,} are, "
        f"{found:,} of them rightly, and {missed:,} late ones are missed."
    )
    return Picture("Confusion matrix", figure, text)


# ------------------------------------------------------------------- where from


def explained(pipeline, test):
    """Draw what the predictions come from: for all features, and for those that matter most."""
    scale, model = pipeline[:-1], pipeline[-1]
    found = permutation_importance(model, scale.transform(test), scoring="roc_auc", random_state=0)
    order = found.importances_mean.argsort()
    names = model.feature_names_in_[order]
    share = min(EXPLAINED / test.count(), 0.5)
    some = train_test_split(test, train_size=share, random_state=0)[0].cache()
    return [
        importance(names, found.importances[order]),
        shap_values(model, scale.transform(some)),
        # Of the Pipeline, since its features are in units that one knows.
        dependence(pipeline, some, list(names[: -MOST - 1 : -1])),
    ]


def importance(names, falls):
    figure, axes = plt.subplots(figsize=WIDE, layout="constrained")
    axes.barh(names, falls.mean(axis=1), xerr=falls.std(axis=1), error_kw={"ecolor": "#444"})
    axes.set_xlabel("fall of the ROC AUC")
    axes.spines[["top", "right"]].set_visible(False)
    text = (
        "By how much the ROC AUC falls when the values of one feature are shuffled among the "
        f"flights: most, by {falls[-1].mean():.4f}, for {names[-1]}. The lines are standard "
        f"deviations over {falls.shape[1]} shuffles."
    )
    return Picture("Permutation importance", figure, text)


def shap_values(model, some):
    """Draw what each feature adds to the prediction of some flights, where shap is installed."""
    title = "SHAP values"
    if not find_spec("shap"):
        return Picture(title, None, "To see them, install shap: pip install 'raydp_ml[shap]'")
    import shap

    values = shap_explanation(model, some)
    figure = plt.figure(layout="constrained")
    shap.plots.beeswarm(
        values, max_display=12, group_remaining_features=False, plot_size=WIDE, show=False
    )
    text = (
        f"A point for each of {len(values):,} flights: what the flight's value of the feature adds "
        "to the log-odds of being late. High values are red, missing ones grey."
    )
    return Picture(title, figure, text)


def dependence(pipeline, some, features):
    known = some.dropna(subset=features)
    figure, axes = plt.subplots(1, len(features), figsize=LOW, sharey=True, layout="constrained")
    PartialDependenceDisplay.from_estimator(pipeline, known, features, grid_resolution=25, ax=axes)
    for plot in axes:
        plot.set_ylabel("")
        plot.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("mean probability of late")
    text = (
        f"The mean probability that {known.count():,} flights would have, if all had that value of "
        "the feature and kept their others. The marks below are tenths of the flights."
    )
    return Picture("Partial dependence", figure, text)


# ------------------------------------------------------------------- the page


def write_page(path, about, metrics, good, where):
    """Write the page to `path`: it needs no other file."""
    table = metrics.to_html(
        index=False, border=0, justify="left", float_format="{:.4f}".format, na_rep="–"
    )
    page = PAGE.format(
        title=TITLE,
        style=STYLE,
        about=about,
        table=table,
        judged="\n".join(map(as_html, good)),
        explained="\n".join(map(as_html, where)),
    )
    path.write_text(page, encoding="utf-8")


def as_html(picture):
    """A picture as a part of the page."""
    figure = picture.figure
    shown, kind = "", "wide"
    if figure is not None:
        held = io.BytesIO()
        figure.savefig(held, format="png", dpi=130)
        data = base64.b64encode(held.getvalue()).decode()
        shown = f'<img alt="{picture.title}" src="data:image/png;base64,{data}">'
        kind = "wide" if figure.get_figwidth() > SQUARE[0] else "half"
    caption = f"<figcaption>{html.escape(picture.text)}</figcaption>"
    return f'<figure class="{kind}">\n<h3>{picture.title}</h3>\n{shown}\n{caption}\n</figure>'


def describe(pipeline, train, test):
    """Say what the page is about."""
    first, last = test.agg(sql.min("date"), sql.max("date")).first()
    return (
        f"XGBoost, {pipeline[-1].best_iteration + 1} trees, fitted on {train.count():,} flights "
        f"and tested on the {test.count():,} from {first} to {last}, of which it knew what is "
        f"known before departure. All that follows is about these."
    )


def run(spark, options):
    """Do the whole job, from the rows to the page."""
    pipeline, train, test = fit_model(spark, options.rows, options.rounds, options.workers)
    scored = score_rows(pipeline, test, options.output / "predictions")
    metrics = measure(train, scored)
    print(metrics[["metric", "model", "constant"]].to_string(index=False, na_rep="-"))
    path = options.output / "model_report.html"
    about = describe(pipeline, train, test)
    write_page(path, about, metrics, judged(scored), explained(pipeline, test))
    print(f"Wrote {path}, and beside it the predictions that it is about")


def main():
    """Read the command line, and run the job in a Spark session of its own."""
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=336_776, help="flights (default: all 336,776)")
    parser.add_argument("--rounds", type=int, default=300, help="at most (default 300)")
    parser.add_argument("--workers", type=int, default=2, help="training workers (default 2)")
    parser.add_argument("--mode", choices=["local", "standalone", "native"], default="local")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output")
    options = parser.parse_args()
    if options.rows < 1000 or min(options.rounds, options.workers) < 1:
        parser.error("--rows must be at least 1000, --rounds and --workers at least 1")
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        with raydp_ml.spark_session(
            "model_report", mode=options.mode, num_executors=options.workers, configs=CONFIGS
        ) as spark:
            run(spark, options)
    except (OSError, RayDPMLError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
