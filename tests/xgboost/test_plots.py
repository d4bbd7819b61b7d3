"""What the plots show is what the booster, `evals_result_` and the graph of a tree say."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

from raydp_ml import load
from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor

mpl.use("Agg")
NAMES = ["dep delay", "cost $a_{", "<b>ünï</b>", "unused"]
rng = np.random.default_rng(0)
X = pd.DataFrame(rng.random((300, 4)), columns=NAMES).assign(unused=0.0)
Y = X["dep delay"] + 2 * X["cost $a_{"] + X["<b>ünï</b>"] ** 2
PARAMS = {"n_estimators": 8, "max_depth": 3, "num_workers": 0}
pytestmark = pytest.mark.usefixtures("close_figures")
DRAWS = ["plot_importance", "plot_tree", "plot_metric"]


@pytest.fixture(scope="module")
def model():
    names = {"<b>ünï</b>": "ünï"}  # XGBoost refuses [, ] and < in a name
    frame = X.rename(columns=names)
    return XGBRegressor(eval_metric=["mae", "rmse"], **PARAMS).fit(
        frame, Y, eval_set=[(frame, Y), (frame[:50], Y[:50])]
    )


def bars_of(ax):
    return dict(
        zip(
            (label.get_text() for label in ax.get_yticklabels()),
            (bar.get_width() for bar in ax.containers[0]),
            strict=True,
        )
    )


@pytest.mark.parametrize("kind", [None, "gain", "weight", "cover", "total_gain"])
def test_bars_are_the_scores_of_the_booster(model, kind):
    _, given = plt.subplots()
    ax = model.plot_importance(importance_type=kind, ax=given)
    assert ax is given
    assert bars_of(ax) == model.get_booster().get_score(importance_type=kind or "gain")
    assert "unused" not in bars_of(ax)
    assert ax.get_xlabel() == f"Importance ({kind or 'gain'})"
    written = [text.get_text() for text in ax.texts]
    assert written == [f"{width:.4g}" for width in bars_of(ax).values()]
    ax.figure.canvas.draw()  # a name is no formula, nor an error in one
    assert "cost $a_{" in bars_of(ax)


def test_bars_agree_with_feature_importances(model):
    ax = model.plot_importance()
    shares = dict(zip(model.feature_names_in_, model.feature_importances_, strict=True))
    widths = bars_of(ax)
    total = sum(widths.values())
    assert widths.keys() == {name for name, share in shares.items() if share}
    for name, width in widths.items():
        assert_allclose(width / total, shares[name], rtol=1e-6)


def test_arguments_of_xgboost_pass(model):
    ax = model.plot_importance(max_num_features=1, title="own", show_values=True, color="red")
    (bar,) = ax.containers[0]
    assert bar.get_width() == max(model.get_booster().get_score(importance_type="gain").values())
    assert bar.get_facecolor() == (1.0, 0.0, 0.0, 1.0)
    assert ax.get_title() == "own"
    assert len(ax.texts) == 1


def test_coefficients_are_bars_to_both_sides():
    frame = X[["dep delay", "unused"]].assign(other=X["cost $a_{"])
    linear = XGBRegressor(booster="gblinear", num_workers=0).fit(frame, 3 * Y - 9 * frame["other"])
    ax = linear.plot_importance()
    widths = bars_of(ax)
    assert min(widths.values()) < 0 < max(widths.values())
    assert_allclose([widths[name] for name in frame.columns], linear.coef_, rtol=1e-5)
    left, right = ax.get_xlim()
    assert left < min(widths.values()) < max(widths.values()) < right


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"importance_type": "foo"}, r"'importance_type' parameter of plot_importance.*'foo'"),
        ({"max_num_features": 0}, r"'max_num_features' parameter of plot_importance.*Got 0"),
    ],
)
def test_arguments_that_mean_nothing(model, wrong, text):
    with pytest.raises(InvalidParameterError, match=text):
        model.plot_importance(**wrong)


def test_importances_of_trees_of_a_linear_model():
    linear = XGBRegressor(booster="gblinear", importance_type="gain", num_workers=0)
    linear.fit(X[["unused", "dep delay"]], Y)
    for ask in (linear.plot_importance, lambda: linear.feature_importances_):
        with pytest.raises(ValueError, match=r"importance_type='gain' is of trees"):
            ask()


def test_models_without_importances_say_so():
    constant = XGBRegressor(**PARAMS).fit(X[["unused"]], Y)
    with pytest.raises(ValueError, match="splits by no feature"):
        constant.plot_importance()
    several = XGBClassifier(booster="gblinear", num_workers=0)
    several.fit(X[["unused", "dep delay"]], np.arange(300) % 3)
    with pytest.raises(ValueError, match="coef_ holds them"):
        several.plot_importance()


@pytest.mark.parametrize("metric", [None, "mae", "rmse"])
def test_lines_are_the_evaluation_results(model, metric):
    _, given = plt.subplots()
    ax = model.plot_metric(metric, ax=given, linewidth=3)
    assert ax is given
    assert ax.get_ylabel() == (metric or "rmse")
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines) == ["validation_0", "validation_1"]
    for name, line in lines.items():
        assert_array_equal(line.get_xdata(), np.arange(8))
        assert_array_equal(line.get_ydata(), model.evals_result_[name][metric or "rmse"])
        assert line.get_linewidth() == 3


def test_the_best_iteration_is_marked(tmp_path):
    model = XGBClassifier(early_stopping_rounds=3, **{**PARAMS, "n_estimators": 200})
    labels = rng.integers(0, 2, 300)
    model.fit(
        X[["unused", "dep delay"]], labels, eval_set=[(X[["unused", "dep delay"]], 1 - labels)]
    )
    model.save(tmp_path / "model")
    for of in (model, load(tmp_path / "model")):
        scores, best = of.plot_metric().lines
        assert_array_equal(scores.get_ydata(), model.evals_result_["validation_0"]["logloss"])
        assert list(best.get_xdata()) == [model.best_iteration] * 2


def test_a_ranker_has_them_too():
    groups = np.repeat(np.arange(30), 10)
    ranker = XGBRanker(**PARAMS).fit(X[["dep delay"]], np.arange(300) % 3, qid=groups)
    assert bars_of(ranker.plot_importance()).keys() == {"dep delay"}


@pytest.mark.parametrize("draw", DRAWS)
def test_before_fit_it_is_an_error(draw):
    with pytest.raises(NotFittedError):
        getattr(XGBRegressor(), draw)()


def test_without_evaluation_sets_it_says_to_pass_them():
    with pytest.raises(ValueError, match="Pass eval_set"):
        XGBRegressor(**PARAMS).fit(X[["unused"]], Y).plot_metric()


def test_another_metric_is_an_error_that_names_those_there_are(model):
    with pytest.raises(ValueError, match=r"one of \['mae', 'rmse'\]. Got 'auc'"):
        model.plot_metric("auc")


@pytest.mark.parametrize("draw", DRAWS)
def test_without_matplotlib_the_error_names_it(model, draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=f"XGBRegressor.{draw} requires matplotlib"):
        getattr(model, draw)()


def test_without_graphviz_the_error_names_it(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(ImportError, match=r"pip install 'raydp_ml\[plots\]'.*program `dot`"):
        model.plot_tree()


has_graphviz = pytest.mark.skipif(
    find_spec("graphviz") is None, reason="draws with the package graphviz, which is not installed"
)


@has_graphviz
def test_without_the_program_of_graphviz_the_error_names_it(model, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImportError, match="apt-get install graphviz"):
        model.plot_tree()


@has_graphviz
def test_no_such_tree_is_an_error(model):
    with pytest.raises(IndexError, match=r"below 8, the number of trees\. Got 8"):
        model.plot_tree(tree_idx=8)


@has_graphviz
@pytest.mark.skipif(shutil.which("dot") is None, reason="the program dot of Graphviz draws trees")
def test_a_tree_is_the_picture_of_its_graph(model):
    from io import BytesIO

    import xgboost

    for number in (0, 5):
        _, given = plt.subplots()
        ax = model.plot_tree(tree_idx=number, ax=given)
        assert ax is given
        (picture,) = ax.images
        graph = xgboost.to_graphviz(model.to_xgboost(), tree_idx=number)
        expected = plt.imread(BytesIO(graph.pipe(format="png")))
        assert_array_equal(picture.get_array(), expected)
        assert "dep delay" in graph.source or "cost" in graph.source


def test_a_linear_model_has_no_tree():
    linear = XGBRegressor(booster="gblinear", num_workers=0).fit(X[["dep delay"]], Y)
    with pytest.raises(ValueError, match="no trees to draw"):
        linear.plot_tree()
