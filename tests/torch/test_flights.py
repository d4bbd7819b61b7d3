"""On real flights, a network ranks late arrivals about as well as XGBoost does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

import raydp_ml
from raydp_ml.impute import SimpleImputer
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.torch import TorchClassifier
from raydp_ml.xgboost import XGBClassifier

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "flight_delays.py"


def example():
    spec = importlib.util.spec_from_file_location("flight_delays", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_auc_of_late_flights(spark):
    flights = example()
    rows = raydp_ml.to_spark(flights.packaged("flights.csv.zip"), spark)
    weather = raydp_ml.to_spark(flights.packaged("weather.csv"), spark)
    train, test = flights.split_by_date(flights.derive(rows, weather).cache())
    train, test = train.cache(), test.cache()
    trees = make_pipeline(
        StandardScaler(), XGBClassifier(num_workers=2, n_estimators=300, **flights.PARAMS)
    )
    network = make_pipeline(
        SimpleImputer(),
        StandardScaler(),
        TorchClassifier(
            hidden_layer_sizes=(64, 32),
            dropout=0.2,
            batch_size=1024,
            max_epochs=20,
            early_stopping=True,
            patience=5,
            num_workers=2,
            random_state=0,
        ),
    )
    found = {}
    for name, pipeline in (("trees", trees), ("network", network)):
        predicted = flights.probabilities(pipeline.fit(train), test)
        found[name] = roc_auc_score(predicted.late, predicted.p)
    print(found, len(network[-1].history_))
    assert found["network"] > found["trees"] - 0.02, found
