"""Our classes, made to send whatever they are given to Spark, so that its tests are Spark's."""

from __future__ import annotations

import sys
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.errors import PySparkException
from scipy import sparse
from sklearn.feature_selection import chi2, f_classif, f_regression
from sklearn.utils._set_output import _wrap_data_with_container
from sklearn.utils.validation import validate_data

from raydp_ml.base import kind_of
from raydp_ml.feature_extraction.text import TfidfVectorizer
from raydp_ml.impute import MissingIndicator
from raydp_ml.preprocessing import _function
from raydp_ml.transformers.base import SparkTransformer
from raydp_ml.transformers.vector_features import VectorFeatures
from tests.upstream.spark_frames import (
    LABEL,
    ROW,
    WEIGHT,
    as_frame,
    as_table,
    as_vectors,
    collected,
)

SCORES = {chi2, f_classif, f_regression}

used: set[str] = set()
"""Names of the classes that sent data to Spark since it was emptied."""


class SentToSpark:
    """Mixin before one of our transformers.

    What Spark has no columns for (mixed types, other arrays, several dimensions) stays in memory.
    """

    def fit(self, X, y=None, **params):
        sent = self._sent(X, y, params)
        if sent is None:
            return super().fit(X, y, **params)
        df, arguments = sent
        with _errors():
            super().fit(df, **arguments)
        self._forget_names(X)
        return self

    def fit_transform(self, X, y=None, **params):
        sent = self._sent(X, y, params)
        if sent is None:
            return super().fit_transform(X, y, **params)
        df, arguments = sent
        with _errors():
            made = collected(super().fit_transform(df, **arguments))
        self._forget_names(X)
        return self._finished(made, X)

    def transform(self, X, *args, **kwargs):
        df = self._sent_rows(X, check=True) if not args and not kwargs else None
        if df is None:
            return super().transform(X, *args, **kwargs)
        with _errors(), self._with_names(df):
            made = collected(super().transform(df))
        return self._finished(made, X)

    def inverse_transform(self, X, *args, **kwargs):
        df = None
        if not args and not kwargs and hasattr(self, "n_features_in_") and not sparse.issparse(X):
            df = self._sent_outputs(X)
        if df is None:
            return super().inverse_transform(X, *args, **kwargs)
        with _errors(), self._with_names(None):
            return collected(super().inverse_transform(df))

    def _stays(self, X):
        """Whether there is nothing to send, or the parameters are documented as in memory only."""
        strategy = getattr(self, "strategy", None)
        scores = getattr(self, "score_func", f_classif)
        in_memory = callable(strategy) or strategy == "kmeans" or scores not in SCORES
        return in_memory or kind_of(X) == "spark"

    def _sent(self, X, y, params):
        """Return the DataFrame and the names of its label and weights; None to stay in memory."""
        if self._stays(X) or set(params) - {"sample_weight"}:
            return None
        others, arguments = {}, {}
        if self._needs_label() and y is not None:
            others[LABEL] = _as_values(y, X)
            arguments["y"] = LABEL
        if params.get("sample_weight") is not None:
            others[WEIGHT] = _as_values(params["sample_weight"], X)
            arguments["sample_weight"] = WEIGHT
        if any(values is None for values in others.values()):
            return None
        df = self._sent_rows(X, **others)
        return None if df is None else (df, arguments)

    def _needs_label(self):
        return self._supervised

    def _sent_rows(self, X, check=False, **others):
        if self._stays(X):
            return None
        if self._takes_vectors(X, check) and not others:
            df = as_vectors(X)
        else:
            table = as_table(X)
            if table is None:
                return None
            if check and hasattr(self, "n_features_in_"):
                # In Spark columns go by their names, and more than there were pass through.
                validate_data(self, X, reset=False, skip_check_array=True)
            df = as_frame(table, **others)
        used.add(type(self).__name__)
        return df

    def _takes_vectors(self, X, check):
        if not isinstance(self, VectorFeatures):
            return False
        if check:
            fitted_so = self._vector_columns is not None
            return fitted_so and (sparse.issparse(X) or as_table(X) is not None)
        return sparse.issparse(X)

    def _sent_outputs(self, X):
        table = as_table(X)
        if table is None or not hasattr(self, "get_feature_names_out"):
            return None
        if self._is_vector() or self._vector_columns is not None:
            return None  # the vectors of a transformer cannot be undone, and its error says so
        names = [str(name) for name in self.get_feature_names_out()]
        if len(names) != table.num_columns:
            return None
        used.add(type(self).__name__)
        return as_frame(table.rename_columns(names))

    def _finished(self, made, X):
        # Spark's outputs are doubles, and scikit-learn's of a type that was chosen, or the inputs'.
        chosen, given = getattr(self, "dtype", None), getattr(X, "dtype", None)
        if isinstance(self, MissingIndicator):
            # Vectors hold doubles, and come by rows.
            made = made.tocsc().astype(bool) if sparse.issparse(made) else made.astype(bool)
        elif chosen is not None and not (isinstance(self, TfidfVectorizer) and is_integer(chosen)):
            made = made.astype(chosen)
        elif given in {np.dtype(np.float32), np.dtype(np.float64)} and made.dtype.kind == "f":
            made = made.astype(given)
        return _wrap_data_with_container("transform", made, X, self)

    def _forget_names(self, X):
        if not isinstance(X, pd.DataFrame):
            vars(self).pop("feature_names_in_", None)

    @contextmanager
    def _with_names(self, df):
        """Let the transformer know columns of data without names by the names they were sent as."""
        fitted = hasattr(self, "n_features_in_") and self._vector_columns is None
        if hasattr(self, "feature_names_in_") or not fitted:
            yield
            return
        names = [] if df is None else [name for name in df.columns if name != ROW]
        if len(names) != self.n_features_in_:
            names = [f"x{index}" for index in range(self.n_features_in_)]
        self.feature_names_in_ = np.array(names, dtype=object)
        try:
            yield
        finally:
            del self.feature_names_in_


class WeightsSent(SentToSpark):
    def fit(self, X, y=None, sample_weight=None):
        if kind_of(X) == "spark":
            return super(SentToSpark, self).fit(X, y, sample_weight)
        return super().fit(X, y, sample_weight=sample_weight)


class TargetSent(SentToSpark):
    """Cross-fitting in memory: its folds of a Spark DataFrame are its own, and tested as such."""

    def fit_transform(self, X, y=None, **params):
        sent = self._sent(X, y, params)
        made = super(SentToSpark, self).fit_transform(X, y, **params)
        if sent is not None:
            self.fit(X, y, **params)
        return made


class FunctionSent(SentToSpark):
    def _stays(self, X):
        functions = {self.func, self.inverse_func} - {None}
        known = functions <= set(_function._SQL) and not self.kw_args and not self.inv_kw_args
        return super()._stays(X) or not known or self.validate or self.check_inverse

    def _finished(self, made, X):
        if isinstance(X, pd.DataFrame):
            made = pd.DataFrame(made, columns=X.columns, index=X.index)
        return super()._finished(made, X)


class UnionSent(SentToSpark):
    """Mixin of transformers of transformers, which Spark has when those are ours."""

    def _stays(self, X):
        return super()._stays(X) or not all(map(_is_ours, self._inside()))

    def _finished(self, made, X):
        if sparse.issparse(made):
            # How dense a matrix may be is a question in memory only: Spark's vectors are vectors.
            density = made.nnz / max(1, np.prod(made.shape))
            made = made.toarray() if density >= getattr(self, "sparse_threshold", 2) else made
        return super()._finished(made, X)

    def _inside(self):
        if hasattr(self, "transformer_list"):
            return [item[1] for item in self.transformer_list]
        return [*(item[1] for item in self.transformers), self.remainder]

    def _needs_label(self):
        return True


class LabelsSent(SentToSpark):
    def fit(self, y):
        df = self._sent_labels(y)
        if df is None:
            return super(SentToSpark, self).fit(y)
        with _errors():
            return super(SentToSpark, self).fit(df)

    def fit_transform(self, y):
        df = self._sent_labels(y)
        if df is None:
            return super(SentToSpark, self).fit_transform(y)
        with _errors():
            return collected(super(SentToSpark, self).fit_transform(df))[:, 0]

    def transform(self, y):
        df = self._sent_labels(y)
        if df is None:
            return super(SentToSpark, self).transform(y)
        with _errors():
            return collected(super(SentToSpark, self).transform(df))[:, 0]

    def inverse_transform(self, y):
        df = self._sent_labels(y)
        if df is None:
            return super(SentToSpark, self).inverse_transform(y)
        with _errors():
            return collected(super(SentToSpark, self).inverse_transform(df))[:, 0]

    def _sent_labels(self, y):
        values = None if kind_of(y) == "spark" else _as_values(y, y)
        if values is None:
            return None
        import raydp_ml

        used.add(type(self).__name__)
        return raydp_ml.set_roles(as_frame(pa.table({LABEL[2:]: values})), label=LABEL[2:])


class TextsSent(SentToSpark):
    def _sent_rows(self, X, check=False, **others):
        if (
            self._stays(X)
            or not isinstance(X, (list, tuple, np.ndarray))
            or self.input != "content"
        ):
            return None
        if not len(X) or not all(isinstance(item, str) for item in X):
            return None
        used.add(type(self).__name__)
        return as_frame(pa.table({"text": pa.array(list(X))}))


class VectorsSent(SentToSpark):
    def _sent_rows(self, X, check=False, **others):
        if self._stays(X) or not sparse.issparse(X):
            return None
        used.add(type(self).__name__)
        return as_vectors(X)


def _is_ours(step):
    if hasattr(step, "steps"):
        return all(_is_ours(item) for _, item in step.steps)
    if isinstance(step, FunctionSent):
        return not step._stays(None)
    return (isinstance(step, str) and step in {"drop", "passthrough"}) or isinstance(
        step, SparkTransformer
    )


def is_integer(dtype):
    return np.dtype(dtype).kind in "iu"


def _as_values(values, X):
    """Return one more column as Arrow; None where the rows do not fit, or it is no column."""
    values = np.asarray(values)
    rows = X.shape[0] if hasattr(X, "shape") else len(X)
    if values.ndim != 1 or len(values) != rows:
        return None
    table = as_table(values.reshape(-1, 1))
    return None if table is None else table.column(0)


@contextmanager
def _errors():
    """Raise what a query raises as `ValueError`, which it is where rows are in memory."""
    try:
        yield
    except PySparkException as error:
        if error.getCondition() != "USER_RAISED_EXCEPTION":
            raise
        raise ValueError(error.getMessageParameters()["errorMessage"]) from error


def sent(cls):
    """Return the class that stands in for one of ours, under its name."""
    from raydp_ml.feature_extraction import text
    from raydp_ml.transformers.base import WeightedTransformer

    mixin = {
        "FunctionTransformer": FunctionSent,
        "LabelEncoder": LabelsSent,
        "ColumnTransformer": UnionSent,
        "FeatureUnion": UnionSent,
        "TargetEncoder": TargetSent,
        "TfidfTransformer": VectorsSent,
    }.get(cls.__name__, SentToSpark)
    if issubclass(cls, text._Vectorizer):
        mixin = TextsSent
    elif issubclass(cls, WeightedTransformer):
        mixin = WeightsSent
    wraps = getattr(cls, "_sklearn_auto_wrap_output_keys", True)
    options = {} if wraps else {"auto_wrap_output_keys": None}
    made = type(cls)(cls.__name__, (mixin, cls), {"__module__": __name__}, **options)
    setattr(sys.modules[__name__], cls.__name__, made)  # where pickle looks for it
    return made
