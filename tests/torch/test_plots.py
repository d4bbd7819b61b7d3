"""What the plots show is what `history_` says."""

from __future__ import annotations

import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError

from raydp_ml.torch import TorchClassifier, TorchRegressor

mpl.use("Agg")
rng = np.random.default_rng(0)
X, Y = rng.random((60, 2)), rng.random(60)
pytestmark = pytest.mark.usefixtures("close_figures", "one_thread")


def drawn(ax):
    return {line.get_label(): line for line in ax.lines}


def test_lines_are_the_losses():
    model = TorchRegressor(max_epochs=4, num_workers=0, random_state=0)
    model.fit(X, Y, eval_set=[(X[:20], Y[:20])])
    _, given = plt.subplots()
    ax = model.plot_metric(ax=given)
    assert ax is given
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")
    lines = drawn(ax)
    assert lines.keys() == {"train", "validation_0"}
    for name, line in lines.items():
        assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
        assert_array_equal(line.get_ydata(), [row[f"{name}_loss"] for row in model.history_])


def test_the_accuracy_of_a_classifier():
    model = TorchClassifier(max_epochs=2, num_workers=0, random_state=0)
    labels = np.where(Y > 0.5, "yes", "no")
    model.fit(X, labels, eval_set=[(X, labels)])
    lines = drawn(model.plot_metric("accuracy"))
    assert lines.keys() == {"validation_0"}
    expected = [row["validation_0_accuracy"] for row in model.history_]
    assert_array_equal(lines["validation_0"].get_ydata(), expected)


def test_the_best_epoch_is_marked():
    model = TorchRegressor(
        max_epochs=5, early_stopping=True, patience=2, num_workers=0, random_state=0
    ).fit(X, Y)
    *_, best = model.plot_metric().lines
    assert list(best.get_xdata()) == [model.best_epoch_] * 2


def test_errors():
    with pytest.raises(NotFittedError):
        TorchRegressor().plot_metric()
    model = TorchRegressor(max_epochs=1, num_workers=0).fit(X, Y)
    with pytest.raises(ValueError, match=r"one of \['loss'\]. Got 'auc'"):
        model.plot_metric("auc")


def test_without_matplotlib_the_error_names_it(monkeypatch):
    model = TorchRegressor(max_epochs=1, num_workers=0).fit(X, Y)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"TorchRegressor.plot_metric requires matplotlib"):
        model.plot_metric()
