"""Transformers side by side: columns, names, roles, and one projection in Spark."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn import compose as plain_compose
from sklearn import impute as plain_impute
from sklearn import pipeline as plain_pipeline
from sklearn import preprocessing as plain
from sklearn.base import clone

from raydp_ml import compose, impute, pipeline, preprocessing, set_roles
from raydp_ml.exceptions import SchemaError
from raydp_ml.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder
from tests.parity import assert_parity

OURS = (preprocessing, compose, pipeline, impute)
THEIRS = (plain, plain_compose, plain_pipeline, plain_impute)


@pytest.fixture(scope="module")
def df(spark):
    rng = np.random.default_rng(0)
    rows = [
        (
            str(rng.choice(["a", "b", "c"])),
            int(rng.integers(0, 4)),
            float(rng.normal()),
            float(rng.normal()) if rng.random() > 0.2 else None,
            float(rng.random() * 9),
        )
        for _ in range(120)
    ]
    schema = "s string, i int, x double, `holes.in` double, y double"
    return spark.createDataFrame(rows, schema).repartition(3).cache()


def mixed(modules, **params):
    prep, comp, pipe, imp = modules
    return comp.ColumnTransformer(
        [
            ("num", pipe.make_pipeline(imp.SimpleImputer(), prep.StandardScaler()),
             ["x", "holes.in"]),
            ("cat", prep.OneHotEncoder(sparse_output=False), ["s", "i"]),
            ("poly", prep.PolynomialFeatures(), ["x", "i"]),
        ],
        **params,
    )  # fmt: skip


@pytest.mark.parametrize(
    "params",
    [{}, {"remainder": "passthrough", "transformer_weights": {"num": 2.0}}],
    ids=["drop", "rest"],
)
def test_columns(df, params):
    ours = mixed(OURS, **params)
    assert_parity(
        ours, mixed(THEIRS, **params), df.withColumn("rest", df.x * 2), label="y", attributes=False
    )
    assert ours.output_indices_["num"] == slice(0, 2)


def test_selectors(df):
    def build(prep, comp, _, __):
        return comp.make_column_transformer(
            (prep.MinMaxScaler(), comp.make_column_selector(dtype_include="number")),
            (prep.OrdinalEncoder(), comp.make_column_selector(pattern="^s")),
            verbose_feature_names_out=False,
        )

    assert_parity(build(*OURS), build(*THEIRS), df.drop("y"), attributes=False)


def test_union(df):
    def build(prep, _, pipe, __):
        steps = [("a", prep.StandardScaler()), ("b", prep.PolynomialFeatures())]
        return pipe.FeatureUnion([*steps, ("c", "passthrough")], transformer_weights={"b": 3})

    assert_parity(build(*OURS), build(*THEIRS), df.select("x", "i"), attributes=False)


def test_roles_pass_through_and_reach_the_transformers(df):
    data = set_roles(df.withColumn("id", df.i.cast("string")), label="y", ignore="id")
    ours = compose.ColumnTransformer(
        [("t", TargetEncoder(), ["s", "i"]), ("n", mixed(OURS), ["s", "i", "x", "holes.in"])]
    )
    made = ours.fit_transform(data)
    assert made.columns[:3] == ["t__s", "t__i", "n__num__x"]
    assert made.columns[-2:] == ["y", "id"]
    for name in ("y", "id"):
        assert made.schema[name].metadata == data.schema[name].metadata
    crossed = made.toPandas()["t__s"]
    whole = ours.transform(data).toPandas()["t__s"]
    assert whole.nunique() == 3 < crossed.nunique()
    assert_allclose(crossed.mean(), whole.mean(), rtol=0.1)


def test_vectors_have_one_column(df):
    ours = compose.ColumnTransformer(
        [("o", OneHotEncoder(), ["s"]), ("n", StandardScaler(), ["x"])]
    )
    made = ours.fit(df).transform(df)
    assert made.columns == ["o__onehotencoder", "n__x"]
    assert ours.output_indices_["n"] == slice(3, 4)
    assert list(ours.get_feature_names_out()) == ["o__s_a", "o__s_b", "o__s_c", "n__x"]


def test_the_same_pipeline_predicts_the_same(df):
    from raydp_ml.xgboost import XGBRegressor

    def build():
        model = XGBRegressor(n_estimators=5, num_workers=0, tree_method="exact", n_jobs=1)
        return pipeline.make_pipeline(mixed(OURS), model)

    frame = df.toPandas()
    on_spark = build().fit(df, "y")
    in_memory = build().fit(frame.drop(columns="y"), frame["y"])
    got = on_spark.predict(df).toPandas()["prediction"]
    assert_allclose(got, in_memory.predict(frame.drop(columns="y")), rtol=1e-5)
    assert_allclose(got, on_spark.predict(frame.drop(columns="y")), rtol=1e-5)


def test_bad_input(df):
    with pytest.raises(SchemaError, match=r"no column 'ss', given as the column of 'o'. Did you"):
        compose.ColumnTransformer([("o", OneHotEncoder(), ["ss"])]).fit(df)
    with pytest.raises(SchemaError, match="'s' of type string cannot be a feature"):
        compose.ColumnTransformer([("n", StandardScaler(), ["s"])]).fit(df)
    with pytest.raises(ValueError, match=r"Output feature names: .* are not unique"):
        compose.ColumnTransformer(
            [("a", StandardScaler(), ["x"]), ("b", StandardScaler(), ["x"])],
            verbose_feature_names_out=False,
        ).fit(df)
    for bare in ("x", 2):
        transformer = compose.ColumnTransformer([("n", StandardScaler(), bare)])
        with pytest.raises(ValueError, match=r"2D|2-dim"):
            clone(transformer).fit(df.toPandas())
        with pytest.raises(SchemaError, match=r"takes two\. Pass"):
            transformer.fit(df)
    fitted = compose.ColumnTransformer([("n", StandardScaler(), ["x"])]).fit(df)
    with pytest.raises(SchemaError, match="no column 'x', given as the input of 'n'"):
        fitted.transform(df.drop("x"))


def test_vectors_are_not_weighed(df):
    union = pipeline.FeatureUnion([("o", OneHotEncoder())], transformer_weights={"o": 0.5})
    with pytest.raises(SchemaError, match="cannot scale the vectors"):
        union.fit(df.select("s"))


def test_names_that_differ_in_case_clash(spark):
    df = spark.createDataFrame([(1.0, 5), (2.0, 6)], "x double, S__X int")
    df = set_roles(df, ignore="S__X")
    with pytest.raises(SchemaError, match="would take the names of other columns"):
        compose.ColumnTransformer([("s", StandardScaler(), ["x"])]).fit(df)


def test_a_union_of_a_frame_takes_spark(df):
    parts = [("s", StandardScaler()), ("k", "passthrough"), ("g", "drop")]
    frame = df.select("x", "y").toPandas()
    union = pipeline.FeatureUnion(parts, transformer_weights={"s": 2.0}).fit(frame)
    made = union.transform(df.select("x", "y")).toPandas()
    assert_allclose(made, union.transform(frame), rtol=1e-9)


def test_a_union_whose_parts_are_all_dropped(spark):
    df = set_roles(spark.createDataFrame([(1.0, 2.0, 3.0)], ["a", "b", "y"]), label="y")
    union = pipeline.FeatureUnion([("a", StandardScaler()), ("b", preprocessing.MinMaxScaler())])
    union.fit(df).set_params(a="drop", b="drop")
    assert union.transform(df.toPandas()[["a", "b"]]).shape == (1, 0)  # as scikit-learn's
    for made in (union.transform(df), union.fit_transform(df), union.fit(df).transform(df)):
        assert made.columns == ["y"]


def projections(df):
    return df._jdf.queryExecution().analyzed().toString().count("Project [")


def test_parts_are_one_projection_a_level(df):
    """The same number for two parts and for twelve, each of which once had several."""
    few, many = (
        compose.ColumnTransformer(
            [(f"{name}{i}", StandardScaler(), [name]) for name in "xi" for i in range(parts)]
        )
        for parts in (1, 6)
    )
    assert projections(few.fit(df).transform(df)) == projections(many.fit(df).transform(df)) < 9


def shifted_down(frame):
    """Change rows by more than a projection, in either kind of frame."""
    if isinstance(frame, np.ndarray) or not hasattr(frame, "mapInPandas"):
        return frame - 1
    return frame.mapInPandas(lambda each: (f.assign(x=f.x - 1) for f in each), frame.schema)


def test_steps_of_ones_own_stand_beside_projections(df):
    def parts(modules):
        prep, comp, pipe, _ = modules
        own = prep.FunctionTransformer(shifted_down, feature_names_out="one-to-one")
        return comp.ColumnTransformer(
            [
                ("before", prep.MinMaxScaler(), ["y", "x"]),
                ("own", pipe.make_pipeline(own, prep.StandardScaler()), ["x"]),
                ("again", own, ["x"]),
                ("after", prep.PolynomialFeatures(), ["x"]),
            ],
            transformer_weights={"own": 3.0},
        )

    assert_parity(parts(OURS), parts(THEIRS), df.drop("s", "holes.in"))
