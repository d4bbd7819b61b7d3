"""Base margins, models to go on from, evaluation weights, margins, rounds and leaves on Spark."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pyspark.ml.functions import array_to_vector
from pyspark.sql.functions import collate, expr, lit
from sklearn.pipeline import make_pipeline

import raydp_ml
from raydp_ml.exceptions import SchemaError
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor, XGBRFClassifier, XGBRFRegressor
from tests.xgboost.test_parity import (
    LABELS,
    NAMES,
    SMALL,
    TASKS,
    assert_history,
    beside,
    frame,
    margins_of,
    outputs,
    pair,
)

__all__ = ["frame"]  # the fixture

GROUPS = {"ranks": {"group": "query"}}


@pytest.fixture(scope="module")
def df(spark, frame):
    rows = frame.assign(ms=[values.tolist() for values in frame.ms], place=range(len(frame)))
    made = spark.createDataFrame(rows).repartition(5).cache()
    # NaN is no null to Spark; both are missing to XGBoost.
    yield made
    made.unpersist()


def column(made, name):
    """Return a column in the order of the frame."""
    held = made.select("place", name).toPandas().sort_values("place")[name]
    return np.array(held.tolist())


def without_python(made, name):
    """Return a column that Spark makes without Python's workers."""
    assert "Python" not in made._jdf.queryExecution().executedPlan().toString()
    return column(made, name)


def columns(df, task, *more):
    group = ["query"] if task == "ranks" else []
    kept = df.select(*NAMES, LABELS[task], *group, "place", *more)
    if group:  # the order of the rows breaks ties
        kept = kept.orderBy("place")
    return raydp_ml.set_roles(kept, ignore=["place"])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("workers", [1, 2])
def test_base_margins(df, frame, task, workers):
    margin = "ms" if task == "three" else "m"
    data = columns(df, task, margin)
    held = data.filter("place >= 200")
    model, _ = pair(task, early_stopping_rounds=2)
    model.set_params(num_workers=workers)
    model.fit(data, LABELS[task], base_margin=margin, eval_set=[held], **GROUPS.get(task, {}))
    plain, _ = pair(task, early_stopping_rounds=2)
    X, y, margins = frame[NAMES], frame[LABELS[task]], margins_of(task, frame)
    sets = {"eval_set": [(X[200:], y[200:])], "base_margin_eval_set": [margins[200:]]}
    if task == "ranks":
        sets["eval_qid"] = [frame["query"][200:]]
    plain.fit(X, y, base_margin=margins, **beside(task, frame), **sets)
    assert model.best_iteration == plain.best_iteration
    for metric, scores in plain.evals_result_["validation_0"].items():
        assert_allclose(model.evals_result_["validation_0"][metric], scores, rtol=1e-5)
    assert model.feature_names_in_.tolist() == NAMES
    for found, expected in zip(
        outputs(model, X, base_margin=margins),
        outputs(plain, X, base_margin=margins),
        strict=True,
    ):
        assert_allclose(found, expected, atol=1e-4)
    with_margins = {"output_margin": True, "base_margin": margin}
    assert_array_equal(
        without_python(model.predict(data, **with_margins), "prediction"),
        model.predict(X, output_margin=True, base_margin=margins),
    )
    if hasattr(model, "predict_proba"):
        made = model.predict_proba(data, base_margin=margin)
        expected = model.predict_proba(X, base_margin=margins)
        assert_allclose(without_python(made, "probability"), expected, rtol=3e-7, atol=1e-12)
    made = model.predict(data, base_margin=margin)
    expected = model.predict(X, base_margin=margins)
    assert_array_equal(without_python(made, "prediction"), expected)


@pytest.mark.parametrize("rounds", [None, (1, 4)])
@pytest.mark.parametrize("kind", ["array<double>", "array<decimal(20,10)>", "vector"])
def test_base_margins_of_dart_are_added_once(df, frame, kind, rounds):
    """XGBoost's prediction in place adds them once for each tree; that of a matrix is right."""
    import xgboost

    data = columns(df, "three", "ms")
    held = array_to_vector("ms") if kind == "vector" else data.ms.cast(kind)
    data = data.withColumn("ms", held)
    X, margins = frame[NAMES], np.array(frame.ms.tolist())
    if "decimal" in kind:
        margins = margins.round(10)
    model = XGBClassifier(**SMALL, booster="dart", rate_drop=0.5, one_drop=1).fit(X, frame.three)
    matrix = xgboost.DMatrix(X, base_margin=margins)
    expected = model.get_booster().predict(
        matrix, output_margin=True, iteration_range=rounds or (0, 0)
    )
    options = {"output_margin": True, "iteration_range": rounds}
    made = model.predict(data, base_margin="ms", **options)
    assert_array_equal(without_python(made, "prediction"), expected)
    assert_array_equal(model.predict(X, base_margin=margins, **options), expected)


def test_a_worker_without_rows_begins_where_the_others_do(spark):
    rows = [(float(i), float(i % 2), 10.0) for i in range(3)]
    data = spark.createDataFrame(rows, "x double, y double, m double")
    model = XGBRegressor(n_estimators=2, num_workers=2, min_child_weight=0)
    for parts in (1, 3):
        model.fit(data.repartition(parts), "y", base_margin="m")
        alone = XGBRegressor(n_estimators=2, min_child_weight=0)
        X, y = np.array([[0.0], [1], [2]]), np.array([0.0, 1, 0])
        alone.fit(X, y, base_margin=np.full(3, 10.0))
        made = model.predict(data, base_margin="m").toPandas()["prediction"]
        assert_allclose(made, alone.predict(X, base_margin=np.full(3, 10.0)), rtol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_weights_of_evaluation_frames(df, frame, task):
    weight = "gw" if task == "ranks" else "w"
    data = columns(df, task, weight)
    half = raydp_ml.set_roles(data.filter("place < 200"), ignore=["place", weight])
    marked = raydp_ml.set_roles(half, sample_weight=weight)
    model, _ = pair(task)
    model.set_params(num_workers=1)
    whole = raydp_ml.set_roles(data, ignore=["place", weight])
    of = GROUPS.get(task, {})
    named = {"eval_set": [half, half], "sample_weight_eval_set": [weight, None]}
    model.fit(whole, LABELS[task], **of, **named)
    by_name = model.evals_result_
    model.fit(whole, LABELS[task], eval_set=[marked, half], **of)
    assert model.evals_result_ == by_name
    plain, _ = pair(task)
    X, y, rows = frame[NAMES], frame[LABELS[task]], slice(0, 200)
    weights = frame.gw[rows][::10] if task == "ranks" else frame.w[rows]
    sets = {"eval_set": [(X[rows], y[rows])] * 2, "sample_weight_eval_set": [weights, None]}
    if task == "ranks":
        sets["eval_qid"] = [frame["query"][rows]] * 2
    plain.fit(X, y, **beside(task, frame), **sets)
    for name, scores in plain.evals_result_.items():
        for metric, values in scores.items():
            assert_allclose(by_name[name][metric], values, rtol=1e-5)


def test_none_in_a_list_is_without_though_the_column_is_there(df, frame):
    data = columns(df, "numbers", "w", "m")
    held = data.filter("place < 200")
    data, held = (raydp_ml.set_roles(part, ignore=["place"]) for part in (data, held))
    model, plain = pair("numbers")
    model.set_params(num_workers=2).fit(
        data,
        "y",
        sample_weight="w",
        base_margin="m",
        eval_set=[held, raydp_ml.set_roles(held, sample_weight="w")] * 2,
        sample_weight_eval_set=["w", None] * 2,
        base_margin_eval_set=[None, "m", "m", None],
    )
    X, y, rows = frame[NAMES], frame["y"], slice(0, 200)
    w, m = frame.w[rows], frame.m[rows]
    plain.fit(
        X,
        y,
        sample_weight=frame.w,
        base_margin=frame.m,
        eval_set=[(X[rows], y[rows])] * 4,
        sample_weight_eval_set=[w, None] * 2,
        base_margin_eval_set=[None, m, m, None],
    )
    for name, scores in plain.evals_result_.items():
        for metric, values in scores.items():
            assert_allclose(model.evals_result_[name][metric], values, rtol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_going_on(df, frame, task, tmp_path):
    data = columns(df, task)
    first, second = data.filter("place < 200"), data.filter("place >= 200")
    of, label = GROUPS.get(task, {}), LABELS[task]
    model, _ = pair(task)
    begun = model.set_params(num_workers=2).fit(first, label, **of)
    begun.save(tmp_path / "begun")
    X, y = frame[NAMES], frame[label]
    plain, _ = pair(task)
    more = {"qid": frame["query"][200:]} if task == "ranks" else {}
    plain.fit(X[200:], y[200:], xgb_model=begun, **more)
    for start in (begun, tmp_path / "begun", begun.get_booster()):
        going, _ = pair(task)
        going.set_params(num_workers=2).fit(second, label, xgb_model=start, **of)
        assert going.get_booster().num_boosted_rounds() == 12
        for found, expected in zip(outputs(going, X), outputs(plain, X), strict=True):
            assert_allclose(found, expected, atol=2e-4)
    with pytest.raises(SchemaError, match="rows of the same features"):
        going.fit(second.drop("c"), label, xgb_model=begun, **of)


def leaves_of_xgboost(model, X, rounds=None, kinds=None):
    import xgboost

    booster = model.get_booster()
    best = booster.attr("best_iteration")
    end = booster.num_boosted_rounds() if best is None else int(best) + 1
    first, end = rounds or (0, end)
    matrix = xgboost.DMatrix(X, feature_types=kinds and list(kinds), enable_categorical=True)
    made = booster.predict(
        matrix, pred_leaf=True, iteration_range=(0, end), validate_features=False
    )
    return made.reshape(len(X), end, -1)[:, first:].reshape(len(X), -1)


@pytest.mark.parametrize("task", TASKS)
def test_leaves_of_forests_and_of_the_best_rounds(df, frame, task):
    X, y, place = frame[NAMES], frame[LABELS[task]], frame.index
    model, _ = pair(task, num_parallel_tree=3, early_stopping_rounds=1)
    model.set_params(n_estimators=30)
    of = {"qid": frame["query"]} if task == "ranks" else {}
    held = {"eval_set": [(X, y.to_numpy()[::-1])]}
    if task == "ranks":
        held["eval_qid"] = [frame["query"]]
    model.fit(X, y, **of, **held)
    assert model.best_iteration < 28
    expected = leaves_of_xgboost(model, X)
    groups = 3 if task == "three" else 1
    assert expected.shape == (len(place), 3 * groups * (model.best_iteration + 1))
    for data in (df, df.coalesce(1)):
        assert_array_equal(without_python(model.apply(data), "leaves"), expected)
    assert_array_equal(model.apply(X), expected)


@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob"])
def test_regressors_of_shares(df, frame, objective):
    """A regressor's value is what the link function makes of the sum, whatever the objective."""
    several = objective.startswith("multi")
    more = {"num_class": 3} if several else {}
    X, y = frame[NAMES], frame.three if several else frame.two
    model = XGBRegressor(**SMALL, objective=objective, **more).fit(X, y)
    found = without_python(model.predict(df.select(*NAMES, "place")), "prediction")
    assert_allclose(found, model.predict(X), rtol=3e-7)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("booster", ["gbtree", "dart"])
@pytest.mark.parametrize("task", TASKS)
def test_margins_rounds_and_leaves(df, frame, task, booster):
    if booster == "dart" and task == "ranks":
        pytest.skip("the same trees as those of numbers")
    X, y = frame[NAMES], frame[LABELS[task]]
    model, _ = pair(task, booster=booster)
    if booster == "dart":
        model.set_params(rate_drop=0.5)
    model.fit(X, y, **beside(task, frame))
    data = columns(df, task)
    for rounds in (None, (0, 3), (2, 5)):
        options = {"iteration_range": rounds}
        made = model.predict(data, output_margin=True, **options)
        assert "Python" not in made._jdf.queryExecution().executedPlan().toString()
        expected = model.predict(X, output_margin=True, **options)
        assert_array_equal(column(made, "prediction"), expected)
        made = model.predict(data, **options)
        assert_array_equal(column(made, "prediction"), model.predict(X, **options))
        if hasattr(model, "predict_proba"):
            found = column(model.predict_proba(data, **options), "probability")
            assert_allclose(found, model.predict_proba(X, **options), rtol=1e-6)
        leaves = model.apply(data, iteration_range=rounds)
        assert leaves.schema["leaves"].dataType.simpleString() == "array<int>"
        found = without_python(leaves, "leaves")
        assert_array_equal(found, model.apply(X, iteration_range=rounds))
        assert_array_equal(found, leaves_of_xgboost(model, X, rounds))
    with pytest.raises(ValueError, match=r"iteration_range=\(0, 7\) is not among the 6 rounds"):
        model.predict(data, iteration_range=(0, 7))
    with pytest.raises(SchemaError, match="leaves"):
        model.apply(leaves)


def test_several_targets_and_quantiles_need_no_python(df, frame):
    X = frame[NAMES]
    targets = XGBRegressor(**SMALL).fit(X, frame[["y", "m"]])
    quantiles = XGBRegressor(
        **SMALL, objective="reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9]
    ).fit(X, frame.y)
    trees_of_vectors = XGBRegressor(**SMALL, multi_strategy="multi_output_tree").fit(
        X, frame[["y", "m"]]
    )
    data = df.select(*NAMES, "place")
    for model, python in ((targets, False), (quantiles, False), (trees_of_vectors, True)):
        made = model.predict(data)
        plan = made._jdf.queryExecution().executedPlan().toString()
        assert ("Python" in plan) == python
        assert_array_equal(column(made, "prediction"), model.predict(X))
        assert_array_equal(without_python(model.apply(data), "leaves"), model.apply(X))


@pytest.mark.parametrize("kind", ["array<double>", "array<boolean>", "vector"])
def test_several_labels(df, frame, kind):
    """Multi-label classification, which xgboost's own class has in memory only."""
    import xgboost

    labels = np.column_stack([frame.two, frame.three == 2])
    data = raydp_ml.set_roles(
        df.selectExpr(*NAMES, "place", "array(double(two), double(three = 2)) AS labels"),
        ignore=["place"],
    )
    if kind == "vector":
        data = data.withColumn("labels", array_to_vector("labels"))
    else:
        data = data.withColumn("labels", data.labels.cast(kind))
    X = frame[NAMES]
    own = xgboost.XGBClassifier(**SMALL).fit(X, labels)
    for workers in (1, 2):
        model = XGBClassifier(**SMALL, num_workers=workers).fit(data, "labels")
        assert model.classes_.tolist() == [0, 1]
        assert_allclose(model.predict_proba(X), own.predict_proba(X), atol=1e-3)
        made = model.predict(data)
        assert made.schema["prediction"].dataType.simpleString() == "array<int>"
        assert_array_equal(without_python(made, "prediction"), model.predict(X))
        shares = without_python(model.predict_proba(data), "probability")
        assert_allclose(shares, model.predict_proba(X), rtol=3e-7)
        margins = without_python(model.predict(data, output_margin=True), "prediction")
        assert_array_equal(margins, model.predict(X, output_margin=True))
        begun = data.withColumn("begin", lit([2.0, -2.0]))
        for method, name in (("predict", "prediction"), ("predict_proba", "probability")):
            made = getattr(model, method)(begun, base_margin="begin", iteration_range=(1, 3))
            expected = getattr(model, method)(
                X, base_margin=np.tile([2.0, -2.0], (len(X), 1)), iteration_range=(1, 3)
            )
            assert_allclose(without_python(made, name), expected, rtol=3e-7)
        assert_array_equal(without_python(model.apply(data), "leaves"), leaves_of_xgboost(model, X))
        assert model.score(data, "labels") == pytest.approx(model.score(X, labels))
    if kind == "array<double>":
        wrong = data.selectExpr(*NAMES, "transform(labels, x -> x + 1) AS labels")
        with pytest.raises(SchemaError, match=r"with 0 and 1 which labels a row has, .* \[2.0\]"):
            XGBClassifier(**SMALL).fit(wrong, "labels")


@pytest.mark.parametrize("max_cat_to_onehot", [1, 100])
@pytest.mark.parametrize("task", ["numbers", "two", "three"])
def test_categories_need_no_python(spark, frame, task, max_cat_to_onehot):
    rng = np.random.default_rng(3)
    names = np.array(
        ["", "a", "A", "\u00e9", "e\u0301", "it's", "\U0001f40d", *map(str, range(40))]
    )
    rows = frame[["a", LABELS[task]]].assign(
        kind=rng.choice(names, 400), other=rng.choice(["x", "y"], 400), place=range(400)
    )
    rows[LABELS[task]] = rows[LABELS[task]] * (rows.kind > "2")  # something to learn from
    rows.loc[::9, "kind"] = None
    model, _ = pair(task, enable_categorical=True, max_cat_to_onehot=max_cat_to_onehot)
    known = rows[rows.kind != "7"]
    model.fit(known[["kind", "a", "other"]], known[LABELS[task]])
    data = spark.createDataFrame(rows)
    X = rows[["kind", "a", "other"]]  # with a category that training had not
    for made, expected in (
        (model.predict(data), model.predict(X)),
        (model.predict(data, output_margin=True), model.predict(X, output_margin=True)),
        (model.predict(data, iteration_range=(1, 3)), model.predict(X, iteration_range=(1, 3))),
    ):
        assert_array_equal(without_python(made, "prediction"), expected)
    assert_array_equal(without_python(model.apply(data), "leaves"), model.apply(X))
    codes = X.copy()
    for feature in model._layout.features[::2]:
        places = {text: float(code) for code, text in enumerate(feature.categories)}
        codes[feature.name] = codes[feature.name].map(places).astype(float)
    assert codes.kind.isna().sum() > rows.kind.isna().sum()
    assert_array_equal(model.apply(X), leaves_of_xgboost(model, codes.to_numpy(), kinds="cqc"))
    if hasattr(model, "predict_proba"):
        found = without_python(model.predict_proba(data), "probability")
        assert_allclose(found, model.predict_proba(X), rtol=1e-6)
    # What is no text becomes one in Python, as it did in fit.
    flags = data.withColumn("other", data.other == "x")
    with pytest.raises(SchemaError, match="holds booleans, and its categories were"):
        model.predict(flags)
    collated = data.withColumn("other", collate("other", "UTF8_LCASE"))
    found = column(model.predict(collated), "prediction")
    assert_array_equal(found, model.predict(X))


def test_in_a_pipeline(df, frame):
    data = raydp_ml.set_roles(df.select(*NAMES, "y", "m", "place"), ignore=["m", "place"])
    pipe = make_pipeline(StandardScaler(), XGBRegressor(**SMALL, num_workers=1))
    pipe.fit(data, "y", xgbregressor__base_margin="m")
    scaled = StandardScaler().fit_transform(frame[NAMES])
    plain = XGBRegressor(**SMALL).fit(scaled, frame.y, base_margin=frame.m)
    made = pipe.predict(data, base_margin="m", iteration_range=(0, 4))
    assert made.columns == [*data.columns, "prediction"]
    expected = plain.predict(scaled, base_margin=frame.m, iteration_range=(0, 4))
    assert_allclose(column(made, "prediction"), expected, atol=1e-4)


@pytest.mark.filterwarnings("ignore:`XGBRF:FutureWarning")  # XGBoost's own, since 3.4
@pytest.mark.parametrize("workers", [1, 2])
def test_random_forests(df, frame, workers):
    import xgboost

    X = frame[NAMES]
    for ours, own, label in (
        (XGBRFRegressor, xgboost.XGBRFRegressor, "y"),
        (XGBRFClassifier, xgboost.XGBRFClassifier, "three"),
    ):
        params = {"n_estimators": 20, "random_state": 0, "n_jobs": 1}
        data = raydp_ml.set_roles(df.select(*NAMES, label, "place"), ignore=["place"])
        if workers == 1:
            data = data.repartition(1).sortWithinPartitions("place")
        model = ours(**params, num_workers=workers).fit(data, label)
        assert model.get_booster().num_boosted_rounds() == 1
        plain = own(**params).fit(X, frame[label])
        if workers == 1:  # the same rows are drawn
            assert_array_equal(model.predict(X), plain.predict(X))
        in_spark = column(model.predict(data), "prediction")
        assert_array_equal(in_spark, model.predict(X))
        assert abs(model.score(data, label) - plain.score(X, frame[label])) < 0.05


def test_bad_input(df):
    data = df.select(*NAMES, "y", "m", "place")
    data = raydp_ml.set_roles(data, ignore=["place"])
    model = XGBRegressor(**SMALL, num_workers=1)
    with pytest.raises(SchemaError, match="'mm', given as the base_margin"):
        model.fit(data, "y", base_margin="mm")
    with pytest.raises(TypeError, match="base_margin"):
        model.fit(data, "y", base_margin=np.zeros(400))
    with pytest.raises(SchemaError, match="evaluation set 0"):
        model.fit(data, "y", base_margin="m", eval_set=[data.drop("m")])
    with pytest.raises(SchemaError, match=r"base margins 'm' of the training data hold 400 null"):
        model.fit(data.selectExpr(*NAMES, "y", "cast(null as double) m"), "y", base_margin="m")
    text = data.selectExpr(*NAMES, "y", "cast(m as string) m")
    with pytest.raises(SchemaError, match="base_margin column 'm' is of type string"):
        model.fit(text, "y", base_margin="m")
    model.fit(data, "y", base_margin="m")
    with pytest.raises(SchemaError, match="base_margin column 'm' is of type string"):
        model.predict(text, base_margin="m")
    lists = data.selectExpr(*NAMES, "array(m, m) AS m")
    with pytest.raises(SchemaError, match=r"hold an array for each row, .* 1 outputs: .*a single"):
        model.predict(lists, base_margin="m")
    with pytest.raises(SchemaError, match="mm"):
        model.predict(data, base_margin="mm")
    with pytest.raises(TypeError, match="base_margin"):
        model.predict(data, base_margin=np.zeros(400))
    hole = data.selectExpr(*NAMES, "if(place = 3, null, m) AS m")
    with pytest.raises(Exception, match="base margins hold missing or infinite"):
        model.predict(hole, base_margin="m").collect()
    forest = XGBRFRegressor(n_estimators=2, early_stopping_rounds=2, num_workers=1)
    with pytest.raises(ValueError, match=r"in one round, so that \['early_stopping_rounds'\]"):
        forest.fit(data, "y", eval_set=[data])


def test_numbers_beyond_single_precision_are_infinite_to_xgboost(df):
    data = df.select(*NAMES, "y", "m", "place").withColumn("w", lit(1.0))
    data = raydp_ml.set_roles(data, ignore=["place"])
    model = XGBRegressor(**SMALL, num_workers=1)
    given = {"y": "y", "base_margin": "m", "sample_weight": "w"}
    parts = {"y": "label 'y'", "m": "base margins 'm'", "w": "weights 'w'"}
    for name, what in parts.items():
        wrong = data.withColumn(name, expr(f"if(place = 3, 1e300D, {name})"))
        with pytest.raises(SchemaError, match=f"The {what} of the training data hold.* 1 .*single"):
            model.fit(wrong, **given)
        with pytest.raises(
            SchemaError, match=f"The {what} of the evaluation set 0 hold.* 1 .*sing"
        ):
            model.fit(data, **given, eval_set=[wrong])
    model.fit(data, **given)
    wrong = data.withColumn("m", expr("if(place = 3, 1e300D, m)"))
    with pytest.raises(Exception, match=r"base margins hold .*beyond single precision"):
        model.predict(wrong, base_margin="m").collect()
    rows = wrong.toPandas()
    with pytest.raises(SchemaError, match="base margins hold 1 numbers beyond single precision"):
        model.predict(rows[NAMES], base_margin=rows.m)
    with pytest.raises(SchemaError, match="base margins hold 1 numbers beyond single precision"):
        model.fit(rows[NAMES], rows.y, base_margin=rows.m)
    for changed in ({"y": rows.m}, {"y": rows.y, "sample_weight": rows.m.abs()}):
        with pytest.raises(SchemaError, match=r"1 .*beyond single precision"):
            XGBRegressor(**SMALL).fit(rows[NAMES], **changed)
    # Of a class, a number is only a name.
    of_two = wrong.withColumn("y", expr("if(y > 0, 1e300D, 1)")).drop("m", "w")
    kinds = XGBClassifier(**SMALL, num_workers=1).fit(of_two, "y")
    assert kinds.classes_.tolist() == [1.0, 1e300]


def test_base_margins_of_several_classes(df, frame):
    data = raydp_ml.set_roles(df.select(*NAMES, "three", "m", "ms", "place"), ignore=["place"])
    model = XGBClassifier(**SMALL, num_workers=1)
    told = "base margins 'm' hold 1 for each row, and this model has 3 outputs.*array of 3 numbers"
    with pytest.raises(SchemaError, match=told):
        model.fit(data.drop("ms"), "three", base_margin="m")
    with pytest.raises(SchemaError, match=r"base margins hold 2 for each row.*array of 3 numbers"):
        model.fit(frame[NAMES], frame.three, base_margin=np.zeros((len(frame), 2)))
    model.fit(data.drop("m"), "three", base_margin="ms")
    with pytest.raises(SchemaError, match=r"base margins hold 1 for each row, .* 3 outputs"):
        model.predict(data, base_margin="m")
    for wrong in (frame.m, np.zeros((len(frame), 2))):
        with pytest.raises(SchemaError, match=r"base margins hold .* 3 outputs: .*array of 3"):
            model.predict(frame[NAMES], base_margin=wrong)


def test_ours_only(df, frame):
    assert XGBRegressor(n_estimators=7).get_num_boosting_rounds() == 7
    assert XGBRFRegressor(n_estimators=7).get_num_boosting_rounds() == 1
    assert XGBRanker().get_num_boosting_rounds() == XGBClassifier().get_num_boosting_rounds() == 100
    assert_history({}, {})
