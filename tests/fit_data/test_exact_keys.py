"""Labels and groups keep their exact values: decimals and integers beyond 2**53 are no doubles."""

from __future__ import annotations

import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal

import raydp_ml
from raydp_ml.exceptions import SchemaError
from raydp_ml.torch import TorchClassifier
from raydp_ml.training.rows.classes import exact_values, positions, sorted_values, values_of
from raydp_ml.xgboost import XGBClassifier, XGBRanker

BIG = 1_700_000_000_000_000_000
TREES = {"n_estimators": 4, "n_jobs": 1, "min_child_weight": 0, "random_state": 0}
WIDE = {
    "decimal(38,0)": f"cast({BIG} as decimal(38,0)) + k",
    "decimal(20,0)": f"cast({BIG}0 as decimal(20,0)) + k",
    "decimal(10,2)": "cast(k as decimal(10,2)) / 4",
    "bigint": f"{BIG}L + k",
    "decimal(30,12)": "cast(concat('123456789012345678.00000000000', k) as decimal(30,12))",
}
FRACTIONS = {"decimal(10,2)", "decimal(30,12)", "decimal(20,0)"}
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def df(spark):
    labels = [f"cast({sql} as {kind}) as `{kind}`" for kind, sql in WIDE.items()]
    made = spark.range(80).selectExpr(
        "id", "int(id % 4) as k", "double(id % 4) as x", "id % 7 as z"
    )
    return made.selectExpr("*", *labels, "int(id % 3) as relevance").coalesce(1).cache()


@pytest.mark.slow
@pytest.mark.parametrize("kind", WIDE)
@pytest.mark.parametrize(
    "model",
    [
        XGBClassifier(num_workers=0, **TREES),
        TorchClassifier(num_workers=0, max_epochs=2, random_state=0),
    ],
    ids=["XGBClassifier", "TorchClassifier"],
)
def test_labels_on_spark(df, model, kind, tmp_path):
    data = df.select("x", "z", df[f"`{kind}`"].alias("label"))
    model.fit(data, "label", eval_set=data)
    rows = data.toPandas()
    assert_array_equal(model.classes_, sorted(set(rows["label"])))
    assert model.classes_.dtype == (object if kind in FRACTIONS else np.int64)
    model.save(tmp_path / "model")
    for same in (model, pickle.loads(pickle.dumps(model)), raydp_ml.load(tmp_path / "model")):
        made = same.predict(data)
        assert made.schema["prediction"].dataType == data.schema["label"].dataType
        if same is not model:
            continue
        found = made.toPandas()
        X = rows[["x", "z"]]
        best = model.classes_[model.predict_proba(X).argmax(axis=1)]
        assert found["prediction"].tolist() == best.tolist() == model.predict(X).tolist()
        share = np.mean([a == b for a, b in zip(best, rows["label"], strict=True)])
        if isinstance(model, XGBClassifier):
            assert share == 1
        assert model.score(data, "label") == pytest.approx(share)
        assert model.score(rows, "label") == pytest.approx(share)
        assert model.score(X, rows["label"]) == pytest.approx(share)
    as_double = data.withColumn("label", data["label"].cast("double"))
    doubles = as_double.toPandas()["label"].tolist()
    want = np.mean([left == right for left, right in zip(doubles, best.tolist(), strict=True)])
    assert model.score(as_double, "label") == pytest.approx(want)


def test_labels_of_evaluation_sets_are_compared_exactly(df):
    data = df.selectExpr("x", "`decimal(38,0)` as y")
    other = df.selectExpr("x", "`decimal(38,0)` + 4 as y")
    with pytest.raises(SchemaError, match=r"labels that the training data has not"):
        XGBClassifier(num_workers=0, **TREES).fit(data, "y", eval_set=other)
    # Another type, the same values.
    ints = df.selectExpr("x", "cast(`decimal(38,0)` as bigint) as y")
    model = XGBClassifier(num_workers=0, **TREES).fit(data, "y", eval_set=ints)
    same = XGBClassifier(num_workers=0, **TREES).fit(ints, "y", eval_set=data)
    assert model.evals_result_ == same.evals_result_


def in_memory(kind):
    codes = np.arange(80) % 4
    whole = [Decimal(BIG + int(code)) for code in codes]
    parts = [Decimal(int(code)) / 4 for code in codes]
    return {
        "list of decimals": whole,
        "array of decimals": np.array(whole, dtype=object),
        "series of decimals": pd.Series(parts),
        "pandas Int64": pd.Series(BIG + codes, dtype="Int64"),
        "pandas Arrow integers": pd.Series(BIG + codes, dtype="int64[pyarrow]"),
        "pandas Arrow decimals": pd.Series(parts, dtype=pd.ArrowDtype(pa.decimal128(10, 2))),
        "uint64": np.uint64(2**64 - 4) + codes.astype(np.uint64),
        "pandas UInt64": pd.Series(np.uint64(2**63) + codes.astype(np.uint64), dtype="UInt64"),
        "Arrow decimals": pa.array(parts),
        "Arrow strings": pa.array([str(value) for value in whole]),
        "polars decimals": polars.Series(whole),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "list of decimals",
        "array of decimals",
        "series of decimals",
        "pandas Int64",
        "pandas Arrow integers",
        "pandas Arrow decimals",
        "uint64",
        "pandas UInt64",
        "Arrow decimals",
        "Arrow strings",
        "polars decimals",
    ],
)
def test_labels_in_memory(kind, tmp_path):
    y = in_memory(kind)
    values = y.to_pylist() if isinstance(y, pa.Array) else list(y)
    X = pd.DataFrame({"x": np.arange(80) % 4, "z": np.arange(80) % 7})
    model = XGBClassifier(**TREES).fit(X, y, eval_set=[(X, y)])
    assert_array_equal(model.classes_, sorted(set(values)))
    assert model.predict(X).tolist() == values
    assert model.score(X, y) == 1
    model.save(tmp_path / "model")
    assert raydp_ml.load(tmp_path / "model").predict(X).tolist() == values
    other = [*values[:79], "no" if kind == "Arrow strings" else values[0] - 1000]
    with pytest.raises(SchemaError, match="labels that the training data has not"):
        XGBClassifier(**TREES).fit(X, y, eval_set=[(X, np.array(other))])


def test_predictions_on_spark_of_labels_in_memory(spark):
    X = pd.DataFrame({"x": np.arange(8.0) % 4})
    df = spark.createDataFrame(X).coalesce(1)
    for y in (in_memory("uint64")[:8], in_memory("series of decimals")[:8]):
        model = XGBClassifier(**TREES).fit(X, y)
        made = model.predict(df)
        assert made.schema["prediction"].dataType.typeName() == "decimal"
        assert made.toPandas()["prediction"].tolist() == [Decimal(str(value)) for value in y]


def test_groups(df):
    """Groups that are one as doubles: the model of the same groups as small integers."""
    scores = {}
    for kind, group in {
        "int": "int(id / 10)",
        "bigint": f"{BIG}L + int(id / 10)",
        "decimal": f"cast({BIG} as decimal(38,0)) + int(id / 10)",
        "fraction": f"cast({BIG} as decimal(30,3)) + cast(int(id / 10) as decimal(30,3)) / 1000",
    }.items():
        data = df.selectExpr("x", "z", "relevance", f"{group} as g")
        model = XGBRanker(num_workers=0, **TREES).fit(data, "relevance", group="g")
        scores[kind] = model.predict(data).toPandas()["prediction"]
        assert_allclose(scores[kind], scores["int"], rtol=1e-6)
        rows = data.toPandas()
        on_spark = model.score(data, "relevance", group="g")
        assert model.score(rows, "relevance", group="g") == pytest.approx(on_spark)
        again = XGBRanker(**TREES).fit(rows, "relevance", group="g")
        assert_allclose(again.predict(rows), scores["int"], rtol=1e-6)
    X = rows[["x", "z"]]
    want = xgboost.XGBRanker(**TREES).fit(X, rows["relevance"], qid=np.arange(80) // 10).predict(X)
    assert_allclose(scores["int"], want, rtol=1e-6)
    for qid in (
        pd.Series(BIG + np.arange(80) // 10, dtype="Int64"),
        [Decimal(BIG + int(row) // 10) for row in range(80)],
        np.uint64(2**64 - 10) + np.arange(80, dtype=np.uint64) // np.uint64(10),
    ):
        model = XGBRanker(**TREES).fit(X, rows["relevance"], qid=qid)
        assert_allclose(model.predict(X), want, rtol=1e-6)


def test_values_that_a_type_cannot_hold():
    classes = np.array([0, 1, 2**53 + 1])
    assert values_of(classes, pa.float64()).to_pylist() == [0.0, 1.0, None]
    assert values_of(classes, pa.int8()).to_pylist() == [0, 1, None]
    assert values_of(classes, pa.decimal128(20, 2)).to_pylist() == [0, 1, 2**53 + 1]
    halves = np.array([Decimal("0.5"), Decimal("1.0")], dtype=object)
    assert values_of(halves, pa.float32()).to_pylist() == [0.5, 1.0]
    assert values_of(halves, pa.int64()).to_pylist() == [None, 1]
    assert exact_values(np.array([Decimal("1.00"), 2], dtype=object)).dtype == np.int64
    assert exact_values(np.array([Decimal(2**63)], dtype=object)).dtype == object
    assert sorted_values(pa.array([Decimal("2.5"), Decimal(1)])).tolist() == [1, Decimal("2.5")]
    found = positions(np.array([2**60 + 1, -1]), np.array([2**60, 2**60 + 1], dtype=np.uint64))
    assert found.tolist() == [1, -1]
