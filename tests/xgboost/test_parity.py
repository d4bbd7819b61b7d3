"""What xgboost's own classes take beside rows and labels: base margins, models to go on from, the
weights of evaluation sets; and what they give beside predictions: margins, rounds, leaves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from raydp_ml.exceptions import SchemaError
from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor

SMALL = {"n_estimators": 6, "max_depth": 3, "random_state": 0, "n_jobs": 1}
NAMES = ["a", "b", "c"]
TASKS = ["numbers", "two", "three", "ranks"]
LABELS = {"numbers": "y", "two": "two", "three": "three", "ranks": "rank"}


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    made = pd.DataFrame(rng.normal(size=(400, 3)), columns=NAMES)
    made.loc[::7, "b"] = np.nan
    made["y"] = made.a + 0.1 * rng.normal(size=400)
    made["two"] = (made.a > 0).astype(int)
    made["three"] = np.digitize(made.a, [-0.5, 0.5])
    made["rank"] = np.digitize(made.a + rng.normal(size=400), [-0.5, 0.5])
    made["query"] = np.arange(400) // 10
    made["w"] = rng.integers(1, 5, size=400) / 2
    # The weights of a ranking are those of groups.
    made["gw"] = 1.0 + made["query"] % 3
    made["m"] = rng.normal(size=400)
    made["ms"] = list(rng.normal(size=(400, 3)))
    return made


def pair(task, **params):
    """Return our estimator and xgboost's own, and what both fit methods take beside X and y."""
    kinds = {
        "numbers": (XGBRegressor, xgboost.XGBRegressor),
        "ranks": (XGBRanker, xgboost.XGBRanker),
    }
    ours, own = kinds.get(task, (XGBClassifier, xgboost.XGBClassifier))
    return ours(**SMALL, **params), own(**SMALL, **params)


def beside(task, frame):
    return {"qid": frame["query"]} if task == "ranks" else {}


def margins_of(task, frame):
    return np.stack(frame.ms) if task == "three" else frame.m.to_numpy()


def outputs(model, X, **options):
    """Return margins and, of a classifier, probabilities."""
    made = [model.predict(X, output_margin=True, **options)]
    if hasattr(model, "predict_proba"):
        made.append(model.predict_proba(X, **options))
    return made


@pytest.mark.parametrize("task", TASKS)
def test_base_margins_in_memory(frame, task):
    X, y = frame[NAMES], frame[LABELS[task]]
    ours, own = pair(task, early_stopping_rounds=2)
    margins = margins_of(task, frame)
    sets = {"eval_set": [(X[:200], y[:200]), (X[200:], y[200:])]}
    if task == "ranks":
        sets["eval_qid"] = [frame["query"][:200], frame["query"][200:]]
    given = {"base_margin": margins, "base_margin_eval_set": [margins[:200], margins[200:]]}
    ours.fit(X, y, **beside(task, frame), **sets, **given)
    own.fit(X, y, **beside(task, frame), **sets, **given)
    assert_history(ours.evals_result_, own.evals_result())
    assert ours.best_iteration == own.best_iteration
    for options in ({}, {"base_margin": margins}):
        for found, expected in zip(
            outputs(ours, X, **options), outputs(own, X, **options), strict=True
        ):
            assert_array_equal(found, expected)
    if task == "three":
        return
    again = type(ours)(**SMALL, early_stopping_rounds=2)
    named = frame[[*NAMES, LABELS[task], "m", "query"]]
    of = {"qid": "query"} if task == "ranks" else {}
    if task != "ranks":
        named = named.drop(columns="query")
    held = [(named[:200], LABELS[task]), (named[200:], LABELS[task])]
    again.fit(named, LABELS[task], base_margin="m", eval_set=held, **of)
    assert again.feature_names_in_.tolist() == NAMES
    assert again.evals_result_ == ours.evals_result_
    assert_array_equal(again.predict(named, base_margin="m"), ours.predict(X, base_margin=margins))


def assert_history(found, expected):
    assert found.keys() == expected.keys()
    for name, scores in expected.items():
        assert found[name].keys() == scores.keys()
        for metric, values in scores.items():
            assert_allclose(found[name][metric], values, rtol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_weights_of_evaluation_sets_in_memory(frame, task):
    X, y = frame[NAMES], frame[LABELS[task]]
    ours, own = pair(task)
    half = slice(0, 200)
    sets = {"eval_set": [(X[half], y[half]), (X[half], y[half])]}
    weights = frame.w[half]
    if task == "ranks":
        sets["eval_qid"] = [frame["query"][half]] * 2
        weights = frame.gw[half][::10]
    sets["sample_weight_eval_set"] = [weights, None]
    ours.fit(X, y, **beside(task, frame), **sets)
    own.fit(X, y, **beside(task, frame), **sets)
    assert_history(ours.evals_result_, own.evals_result())
    first, second = ours.evals_result_.values()
    assert first != second


@pytest.mark.parametrize("kind", [pd.DataFrame, pa.Table.from_pandas])
def test_evaluation_sets_of_frames_have_weights_of_the_same_name(frame, kind):
    """As on Spark, where a frame holds the column whose name was given for the training rows."""
    ours, own = pair("numbers")
    rows, held = frame[:200], frame[200:]
    sets = [(kind(part[[*NAMES, "y", *w]]), "y") for part, w in ((held, ["w"]), (held, []))]
    ours.fit(kind(rows[[*NAMES, "y", "w"]]), "y", sample_weight="w", eval_set=sets)
    own.fit(
        rows[NAMES],
        rows.y,
        sample_weight=rows.w,
        eval_set=[(held[NAMES], held.y)] * 2,
        sample_weight_eval_set=[held.w, None],
    )
    assert_history(ours.evals_result_, own.evals_result())
    weighted, plain = ours.evals_result_.values()
    assert weighted != plain


@pytest.mark.parametrize("kind", [pd.DataFrame, pa.Table.from_pandas])
def test_none_in_a_list_is_without_though_the_column_is_there(frame, kind):
    ours, own = pair("numbers")
    rows, held = frame[:200], frame[200:]
    names = [*NAMES, "y", "w", "m"]
    ours.fit(
        kind(rows[names]),
        "y",
        sample_weight="w",
        base_margin="m",
        eval_set=[(kind(held[names]), "y")] * 2,
        sample_weight_eval_set=[None, "w"],
        base_margin_eval_set=["m", None],
    )
    own.fit(
        rows[NAMES],
        rows.y,
        sample_weight=rows.w,
        base_margin=rows.m,
        eval_set=[(held[NAMES], held.y)] * 2,
        sample_weight_eval_set=[None, held.w],
        base_margin_eval_set=[held.m, None],
    )
    assert_history(ours.evals_result_, own.evals_result())


@pytest.mark.parametrize("task", TASKS)
def test_going_on_in_memory(frame, task, tmp_path):
    X, y = frame[NAMES], frame[LABELS[task]]
    first, second = slice(0, 200), slice(200, 400)
    ours, own = pair(task)

    def fit(model, rows, start=None, **sets):
        more = {"qid": frame["query"][rows]} if task == "ranks" else {}
        if sets and task == "ranks":
            sets["eval_qid"] = [frame["query"][first]]
        return model.fit(X[rows], y[rows], xgb_model=start, **more, **sets)

    begun, own_begun = fit(ours, first), fit(own, first)
    begun.save(tmp_path / "ours")
    own_begun.save_model(tmp_path / "own.ubj")
    sets = {"eval_set": [(X[first], y[first])]}
    expected = fit(
        pair(task, learning_rate=0.1, early_stopping_rounds=3)[1], second, own_begun, **sets
    )
    for start in (
        begun,
        begun.get_booster(),
        own_begun,
        own_begun.get_booster(),
        tmp_path / "ours",
        str(tmp_path / "own.ubj"),
    ):
        model, _ = pair(task, learning_rate=0.1, early_stopping_rounds=3)
        fit(model, second, start, **sets)
        assert (
            model.get_booster().num_boosted_rounds() == expected.get_booster().num_boosted_rounds()
        )
        assert model.best_iteration == expected.best_iteration
        assert_history(model.evals_result_, expected.evals_result())
        for found, wanted in zip(outputs(model, X), outputs(expected, X), strict=True):
            assert_array_equal(found, wanted)
    # What it goes on from stays as it was.
    assert begun.get_booster().num_boosted_rounds() == 6
    assert_array_equal(begun.predict(X), fit(pair(task)[0], first).predict(X))


def test_going_on_from_one_base_score(frame):
    """XGBoost repeats one score for all outputs of a new model, and refuses it for a begun one."""
    X, y = frame[NAMES], frame[["y", "m"]].to_numpy()
    quantiles = {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5]}
    classes = {"objective": "multi:softprob"}
    for ours, own, label, params in (
        (XGBRegressor, xgboost.XGBRegressor, y, {}),
        (XGBRegressor, xgboost.XGBRegressor, frame.y, quantiles),
        (XGBClassifier, xgboost.XGBClassifier, frame.three, classes),
    ):
        begun = own(**SMALL, **params).fit(X, label)
        outputs = 3 if params is classes else 2
        several = own(**SMALL, **params, base_score=[0.25] * outputs)
        expected = several.fit(X, label, xgb_model=begun).predict(X, output_margin=True)
        for score in (0.25, [0.25], [0.25] * outputs):
            model = ours(**SMALL, **params, base_score=score).fit(X, label, xgb_model=begun)
            assert_allclose(model.predict(X, output_margin=True), expected, atol=1e-6)
        with pytest.raises(ValueError, match=r"base_score holds 4 numbers, .* one for each output"):
            ours(**SMALL, **params, base_score=[0.25] * 4).fit(X, label, xgb_model=begun)


def test_going_on_with_several_labels(frame):
    X, y = frame[NAMES], np.column_stack([frame.two, frame.three == 2])
    model = XGBClassifier(**SMALL).fit(X, y)
    own = xgboost.XGBClassifier(**SMALL).fit(X, y)
    going = XGBClassifier(**SMALL, base_score=0.5).fit(X, y, xgb_model=model)
    expected = xgboost.XGBClassifier(**SMALL, base_score=[0.5, 0.5]).fit(X, y, xgb_model=own)
    assert_allclose(going.predict_proba(X), expected.predict_proba(X), atol=1e-6)
    with pytest.raises(SchemaError, match="rows of the same task"):
        XGBRegressor(**SMALL).fit(X, y, xgb_model=model)


@pytest.mark.parametrize("task", ["numbers", "two", "three"])
def test_margins_of_dart_are_added_once(frame, task):
    X, margins = frame[NAMES], margins_of(task, frame)
    model, _ = pair(task, booster="dart", rate_drop=0.5, one_drop=1)
    model.fit(X, frame[LABELS[task]])
    matrix = xgboost.DMatrix(X, base_margin=margins)
    expected = model.get_booster().predict(matrix, output_margin=True)
    assert_array_equal(model.predict(X, base_margin=margins, output_margin=True), expected)
    if task == "two":
        expected = model.get_booster().predict(matrix)
        assert_allclose(model.predict_proba(X, base_margin=margins)[:, 1], expected, rtol=1e-6)


def test_going_on_after_an_early_stop(frame):
    # XGBoost itself would keep what came after the best round, and predict without what is new.
    X, y = frame[NAMES], frame.y
    noise = np.random.default_rng(1).permutation(y)
    stopped = XGBRegressor(**{**SMALL, "n_estimators": 50}, early_stopping_rounds=5)
    stopped.fit(X[:200], y[:200], eval_set=[(X[200:], noise[200:])])
    best = stopped.best_iteration + 1
    assert best < stopped.get_booster().num_boosted_rounds()
    model = XGBRegressor(**SMALL).fit(X, y, xgb_model=stopped)
    own = xgboost.XGBRegressor(**SMALL).fit(X, y, xgb_model=stopped.get_booster()[:best])
    assert model.get_booster().num_boosted_rounds() == best + 6
    with pytest.raises(AttributeError):
        model.best_iteration  # noqa: B018
    kept = own.get_booster()
    kept.set_attr(best_iteration=None)
    assert_array_equal(model.predict(X), own.predict(X))


def test_classes_and_categories_keep_their_places(frame):
    X = frame[["a"]].assign(k=np.where(frame.a > 0.3, "mid", "low"))
    y = np.where(frame.two == 1, "yes", "no")
    params = {**SMALL, "enable_categorical": True}
    first = XGBClassifier(**params).fit(X, y)
    assert first._layout.features[1].categories == ("low", "mid")
    assert first._layout.features[1].categories == ("low", "mid")
    some = (y == "yes") & (X.k == "mid")
    model = XGBClassifier(**params).fit(X[some], y[some], xgb_model=first)
    assert model.classes_.tolist() == ["no", "yes"]
    assert model._layout.features[1].categories == ("low", "mid")
    # The same by hand.
    table = X.assign(k=pd.Categorical(X.k, ["low", "mid"]))
    matrix = xgboost.QuantileDMatrix(table[some], np.ones(some.sum()), enable_categorical=True)
    by_hand = xgboost.train(
        {"max_depth": 3, "seed": 0, "objective": "binary:logistic", "nthread": 1},
        matrix,
        6,
        xgb_model=first.get_booster(),
    )
    expected = by_hand.predict(xgboost.DMatrix(table, enable_categorical=True))
    assert_array_equal(model.predict_proba(X)[:, 1].astype(np.float32), expected)
    with pytest.raises(SchemaError, match=r"does not know these categories .*'k': \['high'\]"):
        XGBClassifier(**params).fit(
            X.assign(k=np.where(frame.a > 1, "high", X.k)), y, xgb_model=first
        )


@pytest.mark.parametrize("task", TASKS)
def test_rounds_and_leaves_in_memory(frame, task):
    X, y = frame[NAMES], frame[LABELS[task]]
    ours, own = pair(task)
    ours.fit(X, y, **beside(task, frame))
    own.fit(X, y, **beside(task, frame))
    for rounds in (None, (0, 0), (0, 3), (2, 5)):
        for found, expected in zip(
            outputs(ours, X, iteration_range=rounds),
            outputs(own, X, iteration_range=rounds),
            strict=True,
        ):
            assert_array_equal(found, expected)
        leaves = ours.apply(X, iteration_range=rounds)
        assert leaves.dtype == np.int32
        # XGBoost's own apply knows no first round but 0.
        first = (rounds or (0, 0))[0]
        end = (rounds or (0, 0))[1] or 6
        assert_array_equal(leaves, own.apply(X).reshape(400, 6, -1)[:, first:end].reshape(400, -1))
    for wrong in ((0, 7), (4, 4), (-1, 3), (-1, 0), 3, (0.0, 1.0), "all"):
        for call in (ours.predict, ours.apply):
            with pytest.raises(ValueError, match="iteration_range"):
                call(X, iteration_range=wrong)
    # To XGBoost these are all rounds, whatever the first.
    for call in (ours.predict, ours.apply):
        with pytest.raises(ValueError, match=r"=\(2, 0\) has no end.*all rounds.*Pass \(2, 6\)"):
            call(X, iteration_range=(2, 0))
    early, _ = pair(task, early_stopping_rounds=1)
    held = {"eval_qid": [frame["query"]]} if task == "ranks" else {}
    early.fit(X, y, **beside(task, frame), eval_set=[(X, y)], **held)
    with pytest.raises(ValueError, match=rf"Pass \(1, {early.best_iteration + 1}\) for those"):
        early.predict(X, iteration_range=(1, 0))


def test_bad_input(frame, tmp_path):
    X, y = frame[NAMES], frame.y
    model, fitted = XGBRegressor(**SMALL), XGBRegressor(**SMALL).fit(X, y)
    with pytest.raises(TypeError, match=r"xgb_model is a fitted estimator.*Got int"):
        model.fit(X, y, xgb_model=3)
    with pytest.raises(FileNotFoundError, match="no model at"):
        model.fit(X, y, xgb_model=tmp_path / "none")
    (tmp_path / "text.ubj").write_text("none")
    with pytest.raises(ValueError, match="finds no model in the file"):
        model.fit(X, y, xgb_model=tmp_path / "text.ubj")
    with pytest.raises(NotFittedError):
        model.fit(X, y, xgb_model=XGBRegressor())
    for start in (fitted, fitted.get_booster()):
        with pytest.raises(SchemaError, match=r"rows of the same (number of )?features"):
            model.fit(X[["a", "b"]], y, xgb_model=start)
        with pytest.raises(SchemaError, match="rows of the same features"):
            model.fit(X.rename(columns={"c": "d"}), y, xgb_model=start)
    with pytest.raises(SchemaError, match="rows of the same targets"):
        model.fit(X, np.column_stack([y, y]), xgb_model=fitted)
    three = XGBClassifier(**SMALL).fit(X, frame.three)
    with pytest.raises(SchemaError, match="labels that the model to go on from has not: \\[7\\]"):
        XGBClassifier(**SMALL).fit(X, frame.three.replace(1, 7), xgb_model=three)
    with pytest.raises(SchemaError, match="rows of the same number of classes"):
        XGBClassifier(**SMALL).fit(X, frame.two, xgb_model=three.get_booster())
    with pytest.raises(SchemaError, match="rows of the same task"):
        model.fit(X, y, xgb_model=XGBClassifier(**SMALL).fit(X, frame.two))
    kinds = frame[["a"]].assign(k=np.where(frame.a > 0, "x", "y"))
    places = frame[["a"]].assign(k=pd.Categorical(frame.three))
    held = xgboost.XGBRegressor(**SMALL, enable_categorical=True).fit(places, y)
    with pytest.raises(ValueError, match="'k' of xgb_model are of type int"):
        XGBRegressor(**SMALL, enable_categorical=True).fit(kinds, y, xgb_model=held)
    with pytest.raises(ValueError, match=r"[Ff]ound input variables with inconsistent numbers"):
        model.fit(X, y, base_margin=y[:10])
    with pytest.raises(ValueError, match="base_margin contains NaN"):
        model.fit(X, y, base_margin=frame.b)
    with pytest.raises(SchemaError, match=r"base margins 'b' of the training data hold 58 null"):
        model.fit(frame[[*NAMES, "y"]], "y", base_margin="b")
    sets = {"eval_set": [(X, y)]}
    with pytest.raises(ValueError, match="sample_weight_eval_set is a list with an entry for each"):
        model.fit(X, y, **sets, sample_weight_eval_set=[frame.w, frame.w])
    with pytest.raises(ValueError, match=r"base_margin_eval_set is a list .* Got 'm'"):
        model.fit(X, y, **sets, base_margin_eval_set="m")
    linear = XGBRegressor(booster="gblinear", n_estimators=3).fit(X.fillna(0), y)
    with pytest.raises(ValueError, match="linear booster has no rounds"):
        linear.predict(X.fillna(0), iteration_range=(0, 1))
    with pytest.raises(ValueError, match="linear booster has no trees"):
        linear.apply(X.fillna(0))
