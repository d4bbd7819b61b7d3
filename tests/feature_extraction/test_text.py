"""Texts to vectors: parity with scikit-learn, which does the work in Spark's Python workers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction import text as plain

from raydp_ml import set_roles
from raydp_ml.exceptions import SchemaError
from raydp_ml.feature_extraction import text
from tests.frames import FEW, spread

DOCUMENTS = ["One word here", "two words, here and there", "ünïcode wörds here", None]
DOCUMENTS += ["spark spark spark", "", "it's a one-off"]


@pytest.fixture(scope="module")
def df(spark):
    rows = [(document, i) for i, document in enumerate(DOCUMENTS * 3)]
    made = spark.createDataFrame(rows, "t string, id int").repartition(3)
    return set_roles(made, ignore="id").cache()


def dense(df):
    return np.array([row.toArray() for row in df.toPandas().iloc[:, 0]])


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("HashingVectorizer", {"n_features": 64}),
        ("CountVectorizer", {}),
        ("CountVectorizer", {"max_features": 4, "ngram_range": (1, 2)}),
        ("TfidfVectorizer", {"min_df": 4, "sublinear_tf": True}),
        ("TfidfVectorizer", {"max_df": 0.3, "norm": "l1", "smooth_idf": False}),
        ("TfidfVectorizer", {"vocabulary": ["here", "spark"]}),
    ],
)
def test_vectorizers(df, name, params):
    documents = df.toPandas()["t"].fillna("")
    ours = getattr(text, name)(**params).fit(df)
    theirs = getattr(plain, name)(**params).fit(documents)
    if name != "HashingVectorizer":
        assert ours.vocabulary_ == theirs.vocabulary_
        assert list(ours.get_feature_names_out()) == list(theirs.get_feature_names_out())
    if name == "TfidfVectorizer":
        assert_allclose(ours.idf_, theirs.idf_, rtol=1e-12)
    made = ours.transform(df)
    assert made.columns == [name.lower(), "id"]
    want = theirs.transform(documents).toarray()
    assert_allclose(dense(made), want, rtol=1e-12)
    assert_allclose(ours.transform(documents).toarray(), want)
    assert_allclose(ours.transform(df.toPandas()["t"]).toarray(), want)
    assert_allclose(ours.transform(df.toPandas()["t"].tolist()).toarray(), want)


@pytest.mark.parametrize("params", [{}, {"norm": "l1", "sublinear_tf": True}, {"use_idf": False}])
def test_tfidf_of_counts(df, params):
    counts = text.CountVectorizer().fit(df)
    vectors, matrix = counts.transform(df), counts.transform(df.toPandas()["t"].fillna(""))
    ours, theirs = text.TfidfTransformer(**params).fit(vectors), plain.TfidfTransformer(**params)
    want = theirs.fit_transform(matrix).toarray()
    if params.get("use_idf", True):
        assert_allclose(ours.idf_, theirs.idf_, rtol=1e-12)
    assert_allclose(dense(ours.transform(vectors)), want, rtol=1e-12)
    assert_allclose(ours.transform(matrix).toarray(), want, rtol=1e-12)


WORDS = st.sampled_from(
    ["spark", "Ünï", "日本語", "naïve", "a", "I'm", "x1", "👍", "İstanbul", "\n"]
)
TEXTS = st.one_of(st.lists(WORDS, max_size=6).map(" ".join), st.text(max_size=8), st.none())


@pytest.mark.slow
@settings(FEW, max_examples=3)
@given(texts=st.lists(TEXTS, max_size=20), parts=st.sampled_from([1, 30, "skewed"]))
def test_random_texts(spark, texts, parts):
    # One word is sure, without which there is no vocabulary.
    df = spread(spark, ([("spark spark ünï",), *((item,) for item in texts)], "c0 string", parts))
    documents = df.toPandas()["c0"].fillna("")
    for name, params in (
        ("HashingVectorizer", {"n_features": 32, "alternate_sign": True}),
        (
            "CountVectorizer",
            {"analyzer": "char_wb", "ngram_range": (1, 2), "strip_accents": "unicode"},
        ),
        ("TfidfVectorizer", {}),
    ):
        ours = getattr(text, name)(**params).fit(df)
        theirs = getattr(plain, name)(**params).fit(documents)
        if name != "HashingVectorizer":
            assert ours.vocabulary_ == theirs.vocabulary_
        want = theirs.transform(documents).toarray()
        assert_allclose(dense(ours.transform(df)), want, rtol=1e-9)
    df.unpersist()


def test_bad_input(spark, df):
    with pytest.raises(SchemaError, match="takes one column, and the DataFrame has the features"):
        text.CountVectorizer().fit(df.selectExpr("t", "t AS u"))
    with pytest.raises(
        SchemaError, match=r"'id' of type int cannot be.*make it a string \(by a cast"
    ):
        text.CountVectorizer().fit(spark.createDataFrame([(1,)], "id int"))
    with pytest.raises(ValueError, match="empty vocabulary"):
        text.CountVectorizer().fit(df.where("t = ''"))
    with pytest.raises(ValueError, match="no terms remain"):
        text.CountVectorizer(min_df=0.9).fit(df)
    with pytest.raises(SchemaError, match="has no rows"):
        text.TfidfVectorizer().fit(df.where("id < 0"))


OTHERS = {  # of whose settings scikit-learn complains, and how
    "More than 1 capturing group": {"token_pattern": r"(\w)(\w)"},
    "Invalid value for ngram_range": {"ngram_range": (2, 1)},
}
WARNED = {
    "'stop_words' will not be used since 'analyzer' != 'word'": {
        "stop_words": ["a"],
        "analyzer": "char",
    },
    "Your stop_words may be inconsistent": {"stop_words": ["don't"]},
}


@pytest.mark.parametrize("name", ["CountVectorizer", "TfidfVectorizer", "HashingVectorizer"])
def test_settings_are_judged_by_scikit_learn_before_a_worker(spark, name):
    df = spark.createDataFrame([("a text of words",)], "t string")
    for said, params in OTHERS.items():
        with pytest.raises(ValueError, match=said):
            getattr(text, name)(**params).fit(df)
    for said, params in WARNED.items():
        with pytest.warns(UserWarning, match=said):
            getattr(text, name)(**params).fit(df)
    with pytest.raises(ValueError, match=r"input='filename'\) reads files.*wholetext=True"):
        getattr(text, name)(input="filename").fit(df)
    if name == "HashingVectorizer":
        with pytest.raises(ValueError, match=r"input='file'\) reads files"):
            text.HashingVectorizer(input="file").transform(df)
        return
    with pytest.warns(UserWarning, match="Upper case characters found in vocabulary"):
        getattr(text, name)(vocabulary=["text", "Word"]).fit(df)
    with pytest.raises(NotFittedError):
        getattr(text, name)().transform(df)
    with pytest.raises(ValueError, match="Vocabulary contains repeated indices"):
        getattr(text, name)(vocabulary={"a": 0, "b": 0}).fit(df)


def test_a_given_vocabulary_needs_no_fit(spark):
    df = spark.createDataFrame([("of words, words",)], "t string")
    ours = text.CountVectorizer(vocabulary=["of", "words"])
    want = plain.CountVectorizer(vocabulary=["of", "words"]).transform(["of words, words"])
    assert ours.transform(df).head()[0].toArray().tolist() == want.toarray()[0].tolist()
    assert ours.vocabulary_ == {"of": 0, "words": 1}
