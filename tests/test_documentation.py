"""scikit-learn's HTML diagrams of our estimators lead to our reference, and to pages it has."""

from __future__ import annotations

import inspect
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn import set_config
from sklearn.base import BaseEstimator

from raydp_ml import documentation
from raydp_ml.base import SparkEstimator
from raydp_ml.compose import ColumnTransformer
from raydp_ml.model_selection import GridSearchCV
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import OneHotEncoder, StandardScaler
from raydp_ml.torch import TorchRegressor
from raydp_ml.xgboost import XGBClassifier, XGBRegressor
from tests.test_public_api import is_ours
from tests.test_site import public_names, referred_names, resolved

SITE = "https://docs.example/raydp"
rng = np.random.default_rng(0)
X = pd.DataFrame({"a": rng.random(60), "<script>alert(1)</script>": rng.random(60)})
Y = rng.random(60)


class Page(HTMLParser):
    """The links of a page and its tags."""

    def __init__(self, text):
        super().__init__()
        self.links, self.tags = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        href = dict(attrs).get("href")
        if href is not None:
            self.links.add(href.partition("#")[0])


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("RAYDP_ML_DOCS_URL", SITE + "/")


def page_of(name):
    return f"{SITE}/reference/generated/{name}.html"


def public_estimators():
    classes = {resolved(name) for name in public_names() if inspect.isclass(resolved(name))}
    return sorted(
        (c for c in classes if issubclass(c, BaseEstimator) and is_ours(c)),
        key=lambda c: c.__name__,
    )


@pytest.mark.parametrize("cls", public_estimators(), ids=lambda cls: cls.__name__)
def test_each_estimator_links_to_a_page_of_the_reference(cls, site):
    estimator = cls.__new__(cls)
    address = estimator._get_doc_link()
    name = address.removeprefix(f"{SITE}/reference/generated/").removesuffix(".html")
    assert address == page_of(name)
    assert name in set(referred_names())
    assert resolved(name) is cls


def test_what_has_no_page_has_no_link(site):
    def below(cls):
        return {cls}.union(*(below(sub) for sub in cls.__subclasses__()))

    public = set(public_estimators())
    own = type("OwnRegressor", (XGBRegressor,), {"__module__": "program"})
    assert own()._get_doc_link() == ""
    for cls in below(SparkEstimator) - public:
        if not issubclass(cls, BaseEstimator):
            continue  # a mixin
        assert cls.__new__(cls)._get_doc_link() == ""


def test_without_an_address_nothing_is_linked(monkeypatch):
    monkeypatch.delenv("RAYDP_ML_DOCS_URL", raising=False)
    monkeypatch.setattr(documentation, "ADDRESS", "")
    assert XGBRegressor()._get_doc_link() == ""
    assert not Page(XGBRegressor()._repr_html_()).links
    monkeypatch.setattr(documentation, "ADDRESS", SITE)
    assert page_of("raydp_ml.xgboost.XGBRegressor") in Page(XGBRegressor()._repr_html_()).links


def test_an_address_cannot_leave_its_attribute(monkeypatch):
    monkeypatch.setenv("RAYDP_ML_DOCS_URL", 'https://x/"><script>alert(1)</script>')
    page = Page(XGBRegressor()._repr_html_())
    assert page.tags.count("script") == 1  # scikit-learn's own


@pytest.mark.parametrize("fitted", [False, True])
def test_a_pipeline_is_drawn_with_a_link_for_each_step(site, fitted):
    transformer = ColumnTransformer([("scale", StandardScaler(), list(X.columns))])
    model = XGBRegressor(n_estimators=2, num_workers=0)
    pipeline = make_pipeline(transformer.set_output(transform="pandas"), model)
    if fitted:
        pipeline.fit(X, Y)
    html = pipeline._repr_html_()
    assert ("<span>Fitted</span>" in html) == fitted
    page = Page(html)
    for name in (
        "raydp_ml.compose.ColumnTransformer",
        "raydp_ml.preprocessing.StandardScaler",
        "raydp_ml.xgboost.XGBRegressor",
    ):
        assert page_of(name) in page.links
    assert page.tags.count("script") == 1  # scikit-learn's own, and none of a column's name
    assert pipeline._repr_mimebundle_()["text/plain"] == repr(pipeline)


LEARNED = [
    XGBClassifier(n_estimators=2, num_workers=0),
    XGBClassifier(n_estimators=2, num_workers=0, booster="gblinear"),
    XGBClassifier(n_estimators=5, num_workers=0, early_stopping_rounds=1),
    TorchRegressor(max_epochs=1, num_workers=0),
    OneHotEncoder(),
]


@pytest.mark.parametrize("estimator", LEARNED, ids=lambda estimator: type(estimator).__name__)
def test_fitted_estimators_are_drawn_with_what_they_learned(estimator, site):
    frame, labels = X[["a"]], np.arange(60) % 3
    stops = getattr(estimator, "early_stopping_rounds", None)
    estimator.fit(frame, labels, **({"eval_set": [(frame, labels)]} if stops else {}))
    html = estimator._repr_html_()
    assert "Fitted attributes" in html
    assert "n_features_in_" in html


def test_a_search_is_drawn_with_a_link(site):
    search = GridSearchCV(XGBRegressor(n_estimators=2, num_workers=0), {"max_depth": [1, 2]}, cv=2)
    before = Page(search._repr_html_()).links
    after = Page(search.fit(X[["a"]], Y)._repr_html_()).links
    for links in (before, after):
        assert page_of("raydp_ml.model_selection.GridSearchCV") in links
        assert page_of("raydp_ml.xgboost.XGBRegressor") in links


def test_scikit_learns_setting_turns_the_diagram_off():
    set_config(display="text")
    try:
        assert not hasattr(XGBRegressor(), "_repr_html_")
    finally:
        set_config(display="diagram")
