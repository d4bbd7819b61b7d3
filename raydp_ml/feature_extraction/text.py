"""Vectors of the words in a text column.

SQL has none of scikit-learn's analysers, so that these transformers run scikit-learn itself in
Spark's Python workers, on batches of documents; the outputs are sparse ``pyspark.ml`` vectors.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from numbers import Integral
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.feature_extraction import text
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import kind_of
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import ColumnRoles, quoted
from raydp_ml.exchange.sql_text import aggregate, select_columns
from raydp_ml.exchange.task_python import task_python
from raydp_ml.spark_jobs import vectors
from raydp_ml.spark_jobs.summaries import no_rows
from raydp_ml.transformers.base import SparkTransformer, replace_columns

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.ml.linalg import SparseVector, Vector
    from pyspark.sql import Column, DataFrame
    from sklearn.base import BaseEstimator

__all__ = ["CountVectorizer", "HashingVectorizer", "TfidfTransformer", "TfidfVectorizer"]

_CSR = "struct<size:int,indices:array<int>,values:array<double>>"
# What the Python tasks import, which is not raydp_ml.
_MODULES = ("pandas", "pyarrow", "sklearn")
_TERMS = "array<struct<term:string,count:bigint>>"


class _OneColumn(SparkTransformer):
    """Mixin of transformers of one column into one vector column."""

    _column: str

    def _forget_spark(self) -> None:
        super()._forget_spark()
        self.__dict__.pop("_column", None)

    def _learn_from(self, df: DataFrame, roles: ColumnRoles) -> None:
        self._column = self._only(roles.feature_names)
        self._learn_column(df, self._column)

    def _learn_column(self, df: DataFrame, column: str) -> None:
        """Set the fitted attributes."""

    def _only(self, names: list[str]) -> str:
        if len(names) != 1:
            raise SchemaError(
                f"{type(self).__name__} takes one column, and the DataFrame has the features "
                f"{names}. Select one, or give it in a ColumnTransformer: "
                f"({type(self).__name__}(), {names[0]!r})."
            )
        return names[0]

    def _transform_spark(self, df: DataFrame) -> DataFrame:
        column = self.__dict__.get("_column") or self._only(
            self._resolve(df, None, None).feature_names
        )
        self._picked(df, [column], self._kinds)
        name = type(self).__name__.lower()
        return self._vectors(df, column, name)

    def _vectors(self, df: DataFrame, column: str, name: str) -> DataFrame:
        raise NotImplementedError

    def _is_vector(self) -> bool:
        return True


class _Vectorizer(_OneColumn):
    _kinds = frozenset({"string"})

    def _to_fit(self, X: Any, y: Any, **params: Any) -> tuple[Any, Any, dict[str, Any]]:
        X, y, params = super()._to_fit(X, y, **params)
        return self._documents(X), y, params

    def _documents(self, X: Any) -> Any:
        """Return the texts of a frame, of which scikit-learn would take the names for texts."""
        if kind_of(X) == "array":
            return X
        names = list(X.columns)
        column = self.__dict__.get("_column")
        if column not in names:
            column = self._only(names)
        return _without_missing(X[column])

    def _as_computed(self, X: Any) -> Any:
        """Read missing texts as empty ones where this was fitted on Spark, which does so."""
        X = self._documents(X)
        return X if not self._fitted_on_spark or isinstance(X, str) else _without_missing(X)

    def _check_settings(self: Any) -> None:
        """Warn and raise as scikit-learn's ``fit`` does, before a Python worker would."""
        self._require_content()
        self._validate_ngram_range()
        self._warn_for_unused_params()
        self.build_analyzer()

    def _check_ready(self: Any) -> None:
        """Raise what scikit-learn's ``transform`` does."""
        self._validate_ngram_range()

    def _require_content(self: Any) -> None:
        # The paths would be of files on Spark's executors, where a driver's are not.
        if self.input != "content":
            raise InvalidParameterError(
                f"{type(self).__name__}(input={self.input!r}) reads files, and a Spark DataFrame's "
                "column holds the texts themselves. Leave input at 'content', and read files with "
                "spark.read.text(paths, wholetext=True)."
            )

    def _vectors(self, df: DataFrame, column: str, name: str) -> DataFrame:
        from pyspark.sql import functions

        self._require_content()
        self._check_ready()
        vectors.register(df.sparkSession)
        made = "__raydp_ml_csr"
        plain = _in_memory_copy(self)
        udf: Callable[[Column], Column] = functions.pandas_udf(_batches(plain), _CSR)  # type: ignore[call-overload]
        document = functions.coalesce(functions.col(quoted(column)), functions.lit(""))
        with task_python(df.sparkSession, _MODULES):
            df = select_columns(df, [functions.col("*"), udf(document).alias(made)])
        sql = f"raydp_ml_vector({made}.size, {made}.indices, {made}.values)"
        outputs = [[(name, sql)], []]
        return replace_columns(df, [column, made], outputs)


def _without_missing(texts: Iterable[Any]) -> list[Any]:
    return ["" if isinstance(x, (NoneType, float)) else x for x in texts]


class HashingVectorizer(_Vectorizer, text.HashingVectorizer):
    """Turn texts into vectors of hashed words.

    Parameters and results are scikit-learn's; see
    `sklearn.feature_extraction.text.HashingVectorizer`.

    Notes
    -----
    In Spark, the one string column becomes the vector column ``hashingvectorizer``, by
    scikit-learn itself in Python workers; null is an empty text.

    Examples
    --------
    >>> from raydp_ml.feature_extraction.text import HashingVectorizer
    >>> HashingVectorizer(n_features=8).transform(["one word"]).shape
    (1, 8)
    """

    def _learn_column(self, df: DataFrame, column: str) -> None:
        self._check_settings()


class _VocabularyVectorizer(_Vectorizer):
    def _check_settings(self: Any) -> None:
        super()._check_settings()
        self._validate_vocabulary()
        if self.fixed_vocabulary_ and self.lowercase and any(map(_has_upper, self.vocabulary)):
            warnings.warn(
                "Upper case characters found in vocabulary while 'lowercase' is True. These "
                "entries will not be matched with any documents",
                stacklevel=2,
            )

    def _check_ready(self: Any) -> None:
        self._check_vocabulary()


def _has_upper(term: str) -> bool:
    return any(map(str.isupper, term))


class CountVectorizer(_VocabularyVectorizer, text.CountVectorizer):
    """Turn texts into vectors of counts of words.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.feature_extraction.text.CountVectorizer`.

    Notes
    -----
    In Spark, the one string column becomes the vector column ``countvectorizer``, by scikit-learn
    itself in Python workers; null is an empty text. The counts of all words go to the driver,
    which chooses the vocabulary.

    Examples
    --------
    >>> from raydp_ml.feature_extraction.text import CountVectorizer
    >>> CountVectorizer().fit_transform(["one word", "word word"]).toarray()
    array([[1, 1],
           [0, 2]])
    """

    def _learn_column(self, df: DataFrame, column: str) -> None:
        self._check_settings()
        if not self.fixed_vocabulary_:
            rows, documents, totals = _term_counts(df, column, _in_memory_copy(self), self.binary)
            self.vocabulary_ = self._chosen(rows, documents, totals)

    def _chosen(
        self, rows: int, documents: dict[str, int], totals: dict[str, int]
    ) -> dict[str, int]:
        """Choose the vocabulary by the documents and the times that each word is in."""
        if not documents:
            raise ValueError("empty vocabulary; perhaps the documents only contain stop words")
        most: Any = self.max_df if isinstance(self.max_df, Integral) else self.max_df * rows
        least: Any = self.min_df if isinstance(self.min_df, Integral) else self.min_df * rows
        if most < least:
            raise ValueError("max_df corresponds to < documents than min_df")
        kept = [term for term in sorted(documents) if least <= documents[term] <= most]
        if self.max_features is not None and len(kept) > self.max_features:
            counts = np.array([totals[term] for term in kept])
            kept = [kept[i] for i in sorted((-counts).argsort()[: self.max_features])]
        if not kept:
            raise ValueError(
                "After pruning, no terms remain. Try a lower min_df or a higher max_df."
            )
        return {term: index for index, term in enumerate(kept)}


class TfidfVectorizer(_VocabularyVectorizer, text.TfidfVectorizer):
    """Turn texts into vectors of words weighted by how rare they are.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.feature_extraction.text.TfidfVectorizer`.

    Notes
    -----
    In Spark, as `CountVectorizer`; the vector column is ``tfidfvectorizer``.

    Examples
    --------
    >>> from raydp_ml.feature_extraction.text import TfidfVectorizer
    >>> TfidfVectorizer().fit(["one word", "word word"]).idf_.round(3)
    array([1.405, 1.   ])
    """

    _chosen = CountVectorizer._chosen

    def _check_ready(self) -> None:
        check_is_fitted(self, msg="The TF-IDF vectorizer is not fitted")
        super()._check_ready()

    def _learn_column(self, df: DataFrame, column: str) -> None:
        self._check_params()
        self._check_settings()
        plain = _in_memory_copy(self)
        rows, documents, totals = _term_counts(df, column, plain, self.binary)
        if not self.fixed_vocabulary_:
            self.vocabulary_ = self._chosen(rows, documents, totals)
        self._tfidf = text.TfidfTransformer(
            norm=self.norm,
            use_idf=self.use_idf,
            smooth_idf=self.smooth_idf,
            sublinear_tf=self.sublinear_tf,
        )
        counts = np.zeros(len(self.vocabulary_))
        for term, index in self.vocabulary_.items():
            counts[index] = documents.get(term, 0)
        _set_idf(self._tfidf, rows, counts)


class TfidfTransformer(_OneColumn, text.TfidfTransformer, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Weight counts of words by how rare the words are.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.feature_extraction.text.TfidfTransformer`.

    Notes
    -----
    In Spark, the one column of ``pyspark.ml`` vectors becomes the vector column
    ``tfidftransformer``, in Python workers; the fit is one job in the JVM.

    Examples
    --------
    >>> from raydp_ml.feature_extraction.text import TfidfTransformer
    >>> TfidfTransformer(norm=None).fit_transform([[1, 1], [0, 2]]).toarray().round(3)
    array([[1.405, 1.   ],
           [0.   , 2.   ]])
    """

    _kinds = frozenset({"vector"})

    def _learn_column(self, df: DataFrame, column: str) -> None:
        from pyspark.ml.stat import Summarizer
        from pyspark.sql import functions

        summary = Summarizer.metrics("numNonZeros", "count").summary(functions.col(quoted(column)))
        row = df.select(summary.alias("found")).head()
        assert row is not None
        found = row["found"]
        if not found["count"]:
            raise no_rows()
        _set_idf(self, found["count"], found["numNonZeros"].toArray())

    def _vectors(self, df: DataFrame, column: str, name: str) -> DataFrame:
        from pyspark.ml.linalg import VectorUDT
        from pyspark.sql import functions

        check_is_fitted(self)
        weigh = functions.udf(
            _weighing(getattr(self, "idf_", None), self.sublinear_tf, self.norm), VectorUDT()
        )
        made = "__raydp_ml_weighted"
        with task_python(df.sparkSession, _MODULES):
            df = df.withColumn(made, weigh(functions.col(quoted(column))))
        return replace_columns(df, [column, made], [[(name, made)], []])


def _set_idf(transformer: BaseEstimator, rows: int, documents: np.ndarray) -> None:
    smooth = int(transformer.smooth_idf)
    transformer.n_features_in_ = len(documents)
    if transformer.use_idf:
        with np.errstate(divide="ignore"):
            transformer.idf_ = np.log((rows + smooth) / (documents + smooth)) + 1.0


def _in_memory_copy(vectorizer: BaseEstimator) -> BaseEstimator:
    """Copy a vectorizer as scikit-learn's own, which a Python worker can have without raydp_ml."""
    plain = getattr(text, type(vectorizer).__name__)(**clone(vectorizer).get_params(deep=False))
    for name in ("vocabulary_", "fixed_vocabulary_", "_tfidf"):
        if name in vars(vectorizer):
            setattr(plain, name, getattr(vectorizer, name))
    return plain


def _batches(vectorizer: BaseEstimator) -> Callable[[pd.Series], pd.DataFrame]:
    import pandas as pd

    def transform(documents: pd.Series) -> pd.DataFrame:
        made = vectorizer.transform(documents).tocsr()
        made.sort_indices()
        parts = [slice(made.indptr[i], made.indptr[i + 1]) for i in range(made.shape[0])]
        return pd.DataFrame(
            {
                "size": np.full(made.shape[0], made.shape[1], dtype=np.int32),
                "indices": [made.indices[part].astype(np.int32) for part in parts],
                "values": [made.data[part].astype(np.float64) for part in parts],
            }
        )

    # The names are not resolved in a worker, and Spark reads the types from them.
    transform.__annotations__ = {"documents": pd.Series, "return": pd.DataFrame}
    return transform


def _term_counts(
    df: DataFrame, column: str, vectorizer: BaseEstimator, binary: bool
) -> tuple[int, dict[str, int], dict[str, int]]:
    """Count, in one job, the rows, and for each term the rows and the times that it is in."""
    import pandas as pd
    from pyspark.sql import functions

    def analyse(documents: pd.Series) -> pd.Series:
        analyser = vectorizer.build_analyzer()
        # The term that is None stands for the row itself.
        return pd.Series(
            [
                [{"term": None, "count": 1}]
                + [{"term": t, "count": n} for t, n in Counter(analyser(document)).items()]
                for document in documents
            ]
        )

    analyse.__annotations__ = {"documents": pd.Series, "return": pd.Series}
    terms: Callable[[Column], Column] = functions.pandas_udf(analyse, _TERMS)  # type: ignore[call-overload]
    document = functions.coalesce(functions.col(quoted(column)), functions.lit(""))
    with task_python(df.sparkSession, _MODULES):
        items = select_columns(df, [functions.explode(terms(document)).alias("item")])
    counts = {"documents": "count(1)", "times": "sum(item.count)"}
    rows = aggregate(items, ["item.term"], counts).collect()
    if not rows:
        raise no_rows()
    count = next(row["documents"] for row in rows if row["term"] is None)
    held = [row for row in rows if row["term"] is not None]
    documents = {row["term"]: row["documents"] for row in held}
    return count, documents, (documents if binary else {row["term"]: row["times"] for row in held})


def _weighing(
    idf: np.ndarray | None, sublinear: bool, norm: str | None
) -> Callable[[Vector | None], SparseVector | None]:
    def weigh(vector: Any) -> SparseVector | None:
        from pyspark.ml.linalg import Vectors

        if vector is None:
            return None
        dense = vector.toArray() if not hasattr(vector, "indices") else None
        indices = np.flatnonzero(dense) if dense is not None else vector.indices
        values = dense[indices] if dense is not None else vector.values
        values = np.log(values) + 1.0 if sublinear else values
        values = values * idf[indices] if idf is not None else values
        if norm is not None:
            size = np.abs(values).sum() if norm == "l1" else np.sqrt((values * values).sum())
            values = values / size if size else values
        return Vectors.sparse(vector.size, indices.tolist(), values.tolist())

    # Spark would look for the kind of function in the types, and warn that there is none.
    weigh.__annotations__ = {}
    return weigh
