"""A Pipeline's prediction is the same DataFrame plus a column, whatever its steps make of it."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.sql import functions
from sklearn.pipeline import Pipeline, make_pipeline

import raydp_ml
from raydp_ml.compose import ColumnTransformer
from raydp_ml.decomposition import PCA
from raydp_ml.exceptions import SchemaError
from raydp_ml.pipeline import FeatureUnion
from raydp_ml.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    QuantileTransformer,
    StandardScaler,
)
from raydp_ml.sql import SQLTransformer
from raydp_ml.torch import TorchClassifier, TorchRegressor
from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSIFIER = XGBClassifier(n_estimators=4, num_workers=0)


@pytest.fixture(scope="module")
def df(spark):
    made = spark.range(300, numPartitions=2).selectExpr(
        *("100 + 10 * rand(1) as x", "rand(2) as `a.b`", "id % 5 as k", "id"),
        *("concat('c', id % 3) as s", "id div 30 as q"),
    )
    made = made.selectExpr("*", "cast(x > 105 as int) as y").withMetadata("k", {"note": "mine"})
    made = raydp_ml.set_roles(made, label="y", ignore=["id", "q"]).cache()
    made.count()
    return made


def mixed(*, sparse=False):
    return ColumnTransformer(
        [
            ("scale", make_pipeline(StandardScaler(), MinMaxScaler()), ["x", "a.b"]),
            ("one", OneHotEncoder(sparse_output=sparse), ["s"]),
        ],
        remainder="drop",
    )


PIPELINES = {
    "scaler": lambda: make_pipeline(StandardScaler(), CLASSIFIER),
    "chain": lambda: make_pipeline(
        StandardScaler(), QuantileTransformer(n_quantiles=9), CLASSIFIER
    ),
    "columns": lambda: make_pipeline(mixed(), PCA(2), CLASSIFIER),
    "vectors": lambda: make_pipeline(KBinsDiscretizer(3, strategy="uniform"), CLASSIFIER),
    "union": lambda: make_pipeline(
        FeatureUnion([("a", StandardScaler()), ("b", KBinsDiscretizer(3, encode="onehot-dense"))]),
        CLASSIFIER,
    ),
    "nested": lambda: make_pipeline(
        make_pipeline(StandardScaler(), MinMaxScaler()),
        Pipeline([("scale", StandardScaler()), ("model", CLASSIFIER)]),
    ),
    "passthrough": lambda: Pipeline([("none", "passthrough"), ("model", CLASSIFIER)]),
    "torch": lambda: make_pipeline(
        StandardScaler(), TorchClassifier(max_epochs=2, num_workers=0, random_state=0)
    ),
    "sql": lambda: make_pipeline(
        SQLTransformer("select x * 2 as x, `a.b`, y, x + 1 as more from __THIS__ where x > 102"),
        StandardScaler(),
        CLASSIFIER,
    ),
    "functions": lambda: make_pipeline(
        FunctionTransformer(lambda df: df.withColumn("x", functions.col("x") * 2).orderBy("x")),
        CLASSIFIER,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", PIPELINES)
def test_columns_come_back_as_they_were(df, kind):
    if kind not in {"columns", "sql"}:
        df = df.drop("s")
    pipe = PIPELINES[kind]().fit(df)
    made = pipe.predict(df)
    assert made.columns == [*df.columns, "prediction"]
    assert made.schema[:-1] == df.schema[:]
    for field in df.schema:
        assert made.schema[field.name].metadata == field.metadata
    twice = pipe.predict_proba(made)
    assert twice.columns == [*df.columns, "prediction", "probability"]
    rows = {row["id"]: row for row in twice.collect()}
    given = {row["id"]: row for row in df.collect()}
    assert len(rows) == (len(given) if kind != "sql" else sum(r["x"] > 102 for r in given.values()))
    for key, row in rows.items():
        assert tuple(row)[:-2] == tuple(given[key])
        assert row["prediction"] == int(np.argmax(row["probability"]))
    # By itself, a transformer (and what predicts from its output) hands on what it made.
    if kind in {"scaler", "chain"}:
        apart = pipe[-1].predict(pipe[:-1].transform(df))
        assert abs(apart.agg({"x": "avg"}).first()[0]) < 1
        assert {r["id"]: r["prediction"] for r in apart.collect()} == {
            key: row["prediction"] for key, row in rows.items()
        }
    assert pipe.score(df) == pytest.approx(
        np.mean([row["prediction"] == row["y"] for row in rows.values()])
    )


@pytest.mark.parametrize(
    "model",
    [
        XGBRegressor(n_estimators=3, num_workers=0),
        XGBRanker(n_estimators=3, num_workers=0),
        TorchRegressor(max_epochs=2, num_workers=0, random_state=0),
    ],
    ids=lambda item: type(item).__name__,
)
def test_numbers_too(df, model):
    df = raydp_ml.set_roles(df.drop("s"), group="q")
    pipe = make_pipeline(StandardScaler(), model).fit(df)
    made = pipe.predict(df).orderBy("id").toPandas()
    given = df.orderBy("id").toPandas()
    assert made.drop(columns="prediction").equals(given)
    want = pipe.predict(given[["x", "a.b", "k"]])
    np.testing.assert_allclose(made["prediction"], want, rtol=1e-5)


def test_what_has_no_rows_of_its_own_stays_dropped(df):
    """Rows that were aggregated, joined or deduplicated are others than the Pipeline was given."""
    query = "select s, avg(x) as x, max(y) as y from __THIS__ group by s"
    pipe = make_pipeline(SQLTransformer(query), FunctionTransformer(lambda df: df.drop("s")))
    pipe = make_pipeline(*(step for _, step in pipe.steps), XGBRegressor(n_estimators=2))
    made = pipe.set_params(xgbregressor__num_workers=0).fit(df, "y").predict(df)
    assert made.columns == ["x", "y", "prediction"]
    assert made.count() == 3


def test_the_name_of_the_prediction_is_free(df):
    pipe = make_pipeline(SQLTransformer("select x, y from __THIS__"), CLASSIFIER).fit(df)
    with pytest.raises(SchemaError, match="already has a column 'prediction'"):
        pipe.predict(df.withColumn("prediction", functions.lit(1)))


@pytest.mark.slow
def test_wide_frames_cost_a_plan_of_the_same_size(spark):
    names = [f"c{i}" for i in range(300)]
    columns = [f"rand({i}) as {name}" for i, name in enumerate(names)]
    wide = spark.range(20, numPartitions=1).selectExpr("cast(id > 9 as int) as y", *columns)
    pipe = make_pipeline(StandardScaler(), MinMaxScaler(), CLASSIFIER).fit(wide, "y")
    made = pipe.predict(wide).select("prediction")
    apart = pipe[-1].predict(pipe[:-1].transform(wide)).select("prediction")
    # Only what the trees read is computed.
    assert widths(made) == widths(apart)


def widths(df):
    """How many columns each step of the plan hands on."""
    node, found = df._jdf.queryExecution().optimizedPlan(), []
    while True:
        found.append(node.output().size())
        if node.children().isEmpty():
            return found
        node = node.children().head()
