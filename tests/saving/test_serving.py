"""A Pipeline fitted on Spark, saved, and loaded where there is no pyspark, transforms rows."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import raydp_ml
from raydp_ml.compose import ColumnTransformer
from raydp_ml.decomposition import PCA, TruncatedSVD
from raydp_ml.feature_extraction.text import TfidfVectorizer
from raydp_ml.feature_selection import SelectKBest, VarianceThreshold
from raydp_ml.impute import MissingIndicator, SimpleImputer
from raydp_ml.pipeline import FeatureUnion, make_pipeline
from raydp_ml.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from raydp_ml.xgboost import XGBRegressor
from tests.fresh_folder import without

SERVE = """
import json
import numpy as np
import pandas as pd
import raydp_ml

folder, rows = sys.argv[1:]
rows = pd.read_json(rows, orient="split")
made = raydp_ml.load(folder).predict(rows)
assert "pyspark" not in sys.modules
print(json.dumps(np.asarray(made, dtype=float).tolist()))
"""


@pytest.fixture(scope="module")
def df(spark):
    rng = np.random.default_rng(0)
    rows = [
        (float(rng.normal()), float(rng.random() * 5 + 1), str(rng.choice(["u", "v", "ü"])),
         int(rng.integers(0, 3)), float(rng.normal()))
        for _ in range(80)
    ]  # fmt: skip
    return spark.createDataFrame(rows, "a double, b double, s string, i int, y double").cache()


def test_a_pipeline_serves_without_spark(df, tmp_path):
    columns = ColumnTransformer(
        [
            ("num", make_pipeline(SimpleImputer(), PowerTransformer(), SplineTransformer()), ["a"]),
            ("cat", OneHotEncoder(sparse_output=False), ["s"]),
            ("mean", TargetEncoder(), ["i", "s"]),
            ("bins", KBinsDiscretizer(encode="onehot-dense"), ["b"]),
        ],
        remainder=QuantileTransformer(n_quantiles=10),
    )
    model = XGBRegressor(n_estimators=5, num_workers=0, n_jobs=1)
    pipe = make_pipeline(columns, StandardScaler(), PCA(6), model).fit(df, "y")
    want = pipe.predict(df).toPandas()["prediction"]
    raydp_ml.save(pipe, tmp_path / "pipe")
    df.drop("y").toPandas().to_json(tmp_path / "rows.json", orient="split")
    program = without("pyspark", "py4j") + SERVE
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "pipe"),
         str(tmp_path / "rows.json")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    assert_allclose(json.loads(result.stdout), want, rtol=1e-5)


@pytest.mark.parametrize(
    "transformer",
    [
        Binarizer(),
        FunctionTransformer(np.exp),
        KBinsDiscretizer(3),
        MaxAbsScaler(),
        MinMaxScaler(),
        Normalizer(),
        OneHotEncoder(min_frequency=3, handle_unknown="ignore"),
        OrdinalEncoder(dtype=np.float32),
        PolynomialFeatures(),
        PowerTransformer(),
        QuantileTransformer(n_quantiles=7),
        RobustScaler(),
        SplineTransformer(),
        StandardScaler(),
        TargetEncoder(),
        MissingIndicator(features="all"),
        SimpleImputer(add_indicator=True),
        PCA(1),
        TruncatedSVD(1),
        SelectKBest(k=1),
        VarianceThreshold(),
        FeatureUnion([("a", StandardScaler()), ("b", Binarizer())]),
        ColumnTransformer([("a", make_pipeline(MinMaxScaler()), ["a"]), ("b", "drop", [1])]),
    ],
    ids=lambda item: type(item).__name__,
)
def test_saved_transformers_come_back_whole(df, tmp_path, transformer):
    data = df.selectExpr("a", "b", "i AS y")
    transformer.fit(data, "y")
    transformer.save(tmp_path / "it")
    again = raydp_ml.load(tmp_path / "it")
    assert repr(again) == repr(transformer)
    X = data.drop("y").toPandas()

    def rows(estimator):
        made = estimator.transform(X)
        return made.toarray() if hasattr(made, "toarray") else np.asarray(made)

    np.testing.assert_array_equal(rows(again), rows(transformer))
    left = again.transform(data).toPandas()
    pd.testing.assert_frame_equal(left, transformer.transform(data).toPandas())


def test_a_saved_vectorizer_comes_back_whole(df, tmp_path):
    vectorizer = TfidfVectorizer(token_pattern=r"\w").fit(df.select("s"))
    vectorizer.save(tmp_path / "it")
    again = raydp_ml.load(tmp_path / "it")
    assert (again.transform(["u v"]) != vectorizer.transform(["u v"])).nnz == 0


def test_functions_of_ones_own_are_not_saved(df, tmp_path):
    step = FunctionTransformer(lambda X: X).fit(df)
    with pytest.raises(ValueError, match=r"'func' of FunctionTransformer: a function has"):
        step.save(tmp_path / "it")
