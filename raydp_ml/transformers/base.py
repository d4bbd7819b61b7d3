"""What every transformer shares: scikit-learn's own in memory, and SQL on a Spark DataFrame."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from sklearn.base import _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import (
    SparkEstimator,
    folds_case,
    in_memory,
    is_spark,
    require_column_name,
)
from raydp_ml.events import Stopwatch
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import (
    NUMERIC,
    Column,
    ColumnRoles,
    check_kinds,
    from_spark_schema,
    pick_columns,
    quoted,
    resolve_columns,
)
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.exchange.refused_values import refused_values
from raydp_ml.exchange.sql_text import select
from raydp_ml.saving.json_estimators import state_of
from raydp_ml.spark_jobs import vectors
from raydp_ml.spark_jobs.expressions import double, helper
from raydp_ml.transformers.named_columns import taken_out
from raydp_ml.transformers.pipeline_fit import named_for_steps
from raydp_ml.transformers.precision import common_dtype, in_doubles
from raydp_ml.transformers.refusals import refuse

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data, Values

__all__ = [
    "InvertibleTransformer",
    "SparkTransformer",
    "WeightedTransformer",
    "compared_columns",
    "replace_columns",
]

logger = logging.getLogger(__name__)

ANY = NUMERIC | {"string", "category", "array", "vector", "time", "other"}

RESERVED = "__raydp_ml_"
"""Columns whose names begin so are our own, for the time of a transform, and never features."""


class SparkTransformer(SparkEstimator):
    """Mixin of transformers that are scikit-learn's own in memory, and SQL on a Spark DataFrame.

    It stands before the scikit-learn class among the bases. A transformer gives `_learn`, which
    sets scikit-learn's fitted attributes from statistics that Spark computes, and `_expressions`,
    the SQL of its outputs. Methods that it defines are not wrapped by ``set_output``, which knows
    in-memory outputs only; scikit-learn's own, which they call for data in memory, are.
    """

    _kinds = NUMERIC
    """Kinds of columns that may be features."""
    _supervised = False
    """Whether a label is needed."""
    _vector_columns: list[str] | None = None
    """The columns that it was fitted on, where one of them held vectors."""
    _fitted_on_spark = False
    _computes = True
    """Whether outputs are computed from values; not where they are compared or handed on."""

    def fit(self, X: Data, y: Values | None = None) -> Self:
        """Learn from the rows of X.

        Parameters
        ----------
        X : Spark DataFrame, Blocks, Ray Dataset, or what the scikit-learn class takes
        y : str or array-like, default=None
            The label. The name of a column of X, which is no feature then; with a Spark
            DataFrame, None takes the role "label".

        Returns
        -------
        object
            Itself, fitted.

        Raises
        ------
        SchemaError
            If a column is missing, of a wrong type, or holds values that cannot be used (named,
            with their counts); or there are no rows.
        """
        if is_spark(X):
            return self._fit_spark(X, y)
        X, y, _ = self._to_fit(X, y)
        return super().fit(X, y)  # type: ignore[misc]

    def transform(self, X: Data, *args: Any, **kwargs: Any) -> Any:
        """Transform X: what scikit-learn returns, or lazily the Spark DataFrame.

        Parameters
        ----------
        X : Spark DataFrame, Blocks, Ray Dataset, or what the scikit-learn class takes

        Returns
        -------
        pyspark.sql.DataFrame or ndarray
            In Spark, the features are replaced where they stand, and all other columns pass
            through.

        Raises
        ------
        SchemaError
            If a feature is missing or of a wrong type, or an output would take the name of
            another column.
        """
        if is_spark(X):
            return self._transform_spark(X)
        X = self._in_memory(X)
        made = super().transform(self._as_computed(X), *args, **kwargs)  # type: ignore[misc]
        return self._as_in_spark(X, made) if self._fitted_on_spark else made

    def fit_transform(self, X: Data, y: Values | None = None, **fit_params: Any) -> Any:
        """Fit to X, then transform it; see ``fit`` and ``transform``.

        Parameters
        ----------
        X : Spark DataFrame, Blocks, Ray Dataset, or what the scikit-learn class takes
        y : str or array-like of shape (n_samples,), default=None
            The label, as ``fit`` takes it.
        **fit_params
            As ``fit`` takes them.
        """
        if is_spark(X):
            return self._fit_transform_spark(X, y, **fit_params)
        X, y, fit_params = self._to_fit(X, y, **fit_params)
        return super().fit_transform(X, y, **fit_params)  # type: ignore[misc]

    def _to_fit(self, X: Data, y: Any, **params: Any) -> tuple[Any, Any, dict[str, Any]]:
        """Return features in memory and arrays beside them, and forget a fit on Spark."""
        self._forget_spark()
        return taken_out(self._in_memory(X), y, **params)

    def _forget_spark(self) -> None:
        for name in ("_vector_columns", "_fitted_on_spark"):
            vars(self).pop(name, None)

    def _in_memory(self, X: Data) -> Any:
        return in_memory(X, self._compared)

    def _compared(self, frame: pd.DataFrame) -> Collection[str]:
        """Name the columns whose values are compared with each other, not computed with."""
        return ()

    def _as_computed(self, X: Data) -> Any:
        """Return data in memory as Spark would compute with it, on which this was fitted."""
        return in_doubles(X) if self._fitted_on_spark and self._computes else X

    def _as_in_spark(self, X: Data, made: Any) -> Any:
        """Correct what was made in memory where Spark, on which it was fitted, makes another."""
        return made

    def _saved_state(self, folder: Path) -> dict[str, object]:
        return state_of(self)

    def _fit_transform_spark(self, df: DataFrame, y: Values | None, **fit_params: Any) -> DataFrame:
        return self.fit(df, y, **fit_params).transform(df)

    @_fit_context(prefer_skip_nested_validation=True)
    def _fit_spark(
        self, df: DataFrame, y: Values | None, sample_weight: Values | None = None
    ) -> Self:
        watch = Stopwatch()
        require_batch(df)
        roles = self._resolve(df, y, sample_weight)
        with self._as_task(df, y, sample_weight), refused_values():
            self._learn_from(df, roles)
        self._fitted_on_spark = True
        name, features = type(self).__name__, len(roles.feature_names)
        watch.tell(logger, "fit", estimator=name, features=features)
        return self

    def _learn_from(self, df: DataFrame, roles: ColumnRoles) -> None:
        self._set_features_in(roles.feature_names, len(roles.features))
        self._learn(df, roles)

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        """Set the fitted attributes from a Spark DataFrame; nothing to do for the stateless."""

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        """Give, for each feature, the SQL of the columns that stand in its place.

        All together they are in the order of ``get_feature_names_out``.
        """
        raise NotImplementedError

    def _helpers(self, inputs: Sequence[str]) -> list[list[str]]:
        """Give the SQL of columns that the expressions use more than once; see `helper`.

        Each list may use the helpers of those before it.
        """
        return []

    def _is_vector(self) -> bool:
        """Whether all outputs are one vector column, as where scikit-learn's are sparse."""
        return False

    def _vector(self, inputs: Sequence[str]) -> str:
        """Give the SQL of that vector."""
        return vectors.sparse([sql for group in self._expressions(inputs) for sql in group])

    def _fit_like(self, *rows: Sequence[float] | np.ndarray, dtype: DTypeLike = np.float64) -> None:
        """Let scikit-learn's own ``fit`` see a few rows that have the statistics of all."""
        frame = pd.DataFrame(list(rows), columns=list(self.feature_names_in_), dtype=dtype)
        super().fit(frame)  # type: ignore[misc]

    def _inputs(self, columns: Sequence[Column]) -> list[Any]:
        """Give what the expressions are made of, as a rule the SQL of the features."""
        return [double(column.name) for column in columns]

    def _transform_spark(self, df: DataFrame) -> DataFrame:
        check_is_fitted(self)
        names = self._names_in(df)
        columns = self._checked_features(df, names)
        df = self._refusing(df, columns)
        self._check_precision(columns)
        inputs = self._inputs(columns)
        if self._is_vector():
            vectors.register(df.sparkSession)
            made = [[(type(self).__name__.lower(), self._vector(inputs))], *([] for _ in names[1:])]
        else:
            made = named(self._names_out(names), self._expressions(inputs))
        return replace_columns(df, names, made, self._helpers(inputs))

    def _check_precision(self, columns: Sequence[Column]) -> None:
        """Warn where scikit-learn computes in single precision in memory, and Spark in doubles."""
        in_memory = hasattr(self, "n_features_in_") and not self._fitted_on_spark
        if in_memory and self._computes and common_dtype(columns) == np.float32:
            warnings.warn(
                f"{type(self).__name__} was fitted in memory, where scikit-learn computes with "
                "columns of single precision in that precision. Spark computes in doubles, so that "
                "results may differ in their seventh digit. Cast the columns to double before fit, "
                "or fit on a Spark DataFrame.",
                stacklevel=4,
            )

    def _refusing(self, df: DataFrame, columns: Sequence[Column]) -> DataFrame:
        """Let queries fail that meet what scikit-learn's ``transform`` refuses."""
        return refuse(df, columns, type(self).__name__, allow_missing=self._allows_missing())

    def _allows_missing(self) -> bool:
        """Whether ``transform`` takes missing values; scikit-learn itself knows."""
        return bool(get_tags(self).input_tags.allow_nan)

    def _names_out(self, names: list[str]) -> list[str]:
        if not hasattr(self, "n_features_in_"):
            return names  # of what learns nothing, and was not fitted
        return [str(name) for name in self.get_feature_names_out(names)]  # type: ignore[attr-defined]

    def _names_in(self, df: DataFrame) -> list[str]:
        # What learns nothing may transform before it was fitted.
        if not hasattr(self, "n_features_in_"):
            return self._resolve(df, None, None).feature_names
        return self._require_names_in("transform")

    def _checked_features(self, df: DataFrame, names: Sequence[str]) -> list[Column]:
        return self._picked(df, names, self._kinds)

    def _picked(self, df: DataFrame, names: Sequence[str], kinds: frozenset[str]) -> list[Column]:
        """Return columns of a Spark DataFrame, if they are there and of such kinds."""
        columns, who = from_spark_schema(df.schema), type(self).__name__
        picked = pick_columns(columns, names, who, fold_case=folds_case(df))
        check_kinds(picked, kinds, supports_categories=False)
        return picked

    def _resolve(
        self, df: DataFrame, y: Values | None, sample_weight: Values | None
    ) -> ColumnRoles:
        """Find the features of a Spark DataFrame, its label and its weights."""
        label = require_column_name(y, "y", df.columns)
        weight = require_column_name(sample_weight, "sample_weight", df.columns)
        of_others = named_for_steps() - {label, weight}
        columns = [
            column
            for column in from_spark_schema(df.schema)
            if not (column.name.startswith(RESERVED) or column.name in of_others)
        ]
        self._check_vectors(columns, {label, weight})
        roles = resolve_columns(
            columns,
            label=label,
            sample_weight=weight,
            kinds=self._kinds,
            supports_categories=False,
            fold_case=folds_case(df),
        )
        if self._supervised and roles.label is None:
            raise SchemaError(
                f"{type(self).__name__} requires y to be passed, but the target y is None. Name "
                "the label's column (fit(df, 'label')) or give it the role: "
                "raydp_ml.set_roles(df, label=...)."
            )
        return roles

    def _check_vectors(self, columns: Sequence[Column], given: set[str | None]) -> None:
        held = [c.name for c in columns if c.kind == "vector" and not c.role]
        held = [name for name in held if name not in given]
        if held and "vector" not in self._kinds:
            raise SchemaError(
                f"{type(self).__name__} takes no columns of vectors, such as {held[0]!r}. Choose "
                "columns of numbers as the output of the step before (sparse_output=False, "
                "encode='onehot-dense'), or put TruncatedSVD, which takes vectors, between them."
            )

    @contextmanager
    def _as_task(
        self, df: DataFrame, y: Values | None, sample_weight: Values | None
    ) -> Iterator[None]:
        """Report the fit to scikit-learn's callbacks, where the class supports them."""
        if not isinstance(self, CallbackSupportMixin):
            yield
            return
        metadata = {"sample_weight": sample_weight}
        context = self._init_callback_context()
        context.call_on_fit_task_begin(estimator=self, X=df, y=y, metadata=metadata)
        yield
        context.call_on_fit_task_end(
            estimator=self, X=df, y=y, metadata=metadata, reconstruction_attributes={}
        )


def compared_columns(transformer: Any, frame: pd.DataFrame) -> set[str]:
    """Name the columns whose values a transformer, or the first of a Pipeline, compares."""
    if getattr(transformer, "steps", None):
        return compared_columns(transformer.steps[0][1], frame)
    return set(transformer._compared(frame)) if isinstance(transformer, SparkTransformer) else set()


class WeightedTransformer(SparkTransformer):
    """Mixin of transformers whose ``fit`` takes weights."""

    def fit(self, X: Data, y: Values | None = None, sample_weight: Values | None = None) -> Self:
        """Learn from the rows of X.

        Parameters
        ----------
        X : Spark DataFrame, Blocks, Ray Dataset, or what the scikit-learn class takes
        y : str or array-like, default=None
            The label, which is not looked at. The name of a column of X is no feature then; with
            a Spark DataFrame, None takes the role "label".
        sample_weight : str or array-like of shape (n_samples,), default=None
            Weights, or the name of a column of X; with a Spark DataFrame, None takes the role
            "sample_weight".

        Returns
        -------
        object
            Itself, fitted.

        Raises
        ------
        SchemaError
            If a column is missing, no number, or holds infinity; or there are no rows.
        """
        if is_spark(X):
            return self._fit_spark(X, y, sample_weight)
        X, y, weights = self._to_fit(X, y, sample_weight=sample_weight)
        return super(SparkTransformer, self).fit(X, y, **weights)  # type: ignore[misc]


class InvertibleTransformer(SparkTransformer):
    """Mixin of transformers with an ``inverse_transform``."""

    def inverse_transform(self, X: Data, *args: Any, **kwargs: Any) -> Any:
        """Undo ``transform``.

        Parameters
        ----------
        X : Spark DataFrame, or what scikit-learn takes
            In Spark, with the columns that ``transform`` made.

        Returns
        -------
        pyspark.sql.DataFrame or ndarray of shape (n_samples, n_features)
        """
        if not is_spark(X):
            return super().inverse_transform(self._as_computed(self._in_memory(X)), *args, **kwargs)  # type: ignore[misc]
        check_is_fitted(self)
        if self._is_vector() or self._vector_columns is not None:
            raise SchemaError(
                f"The vectors of {type(self).__name__} cannot be undone in Spark. Choose columns "
                "as the output (sparse_output=False, encode='onehot-dense') of the step that makes "
                "vectors."
            )
        names_in = self._names_in(X)
        names = self._names_out(names_in)
        self._picked(X, names, NUMERIC)
        inputs = [double(name) for name in names]
        made = self._inverse_expressions(inputs)
        return replace_columns(X, names, named(names_in, made), self._inverse_helpers(inputs))

    def _inverse_expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        """Give, for each output of ``transform``, the SQL of features to stand in its place."""
        raise NotImplementedError

    def _inverse_helpers(self, inputs: Sequence[str]) -> list[list[str]]:
        return []


Named = list[list[tuple[str, str]]]


def named(names: Sequence[str], groups: Sequence[Sequence[str]]) -> Named:
    """Pair the SQL of outputs with their names."""
    following = iter(names)
    return [[(next(following), sql) for sql in group] for group in groups]


def in_first_place(expressions: Sequence[str], count: int) -> list[list[str]]:
    """Let outputs that belong to all features together stand where the first feature stood."""
    return [list(expressions), *([] for _ in range(count - 1))]


def check_outputs_differ(names: Sequence[str], df: DataFrame) -> None:
    """Raise `SchemaError` where Spark could not tell outputs apart by their names."""
    fold = str.lower if folds_case(df) else str
    counts = Counter(map(fold, names))
    if alike := [name for name in names if counts[fold(name)] > 1]:
        raise SchemaError(
            f"The outputs {alike} bear names that are one to Spark. Give them names of their own "
            "(verbose_feature_names_out=True, feature_name_combiner=...), fit on a Spark "
            "DataFrame, which tells them apart by a number, or set spark.sql.caseSensitive=true."
        )


def replace_columns(
    df: DataFrame, names: Sequence[str], outputs: Named, helpers: Sequence[Sequence[str]] = ()
) -> DataFrame:
    """Replace each column by its outputs, in its place; all others pass through as they are.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    names : sequence of str
        The columns to replace.
    outputs : list of list of (str, str)
        For each of them, names and SQL.
    helpers : sequence of sequence of str
        SQL that the outputs, and later helpers, know as `spark_jobs.expressions.helper` columns.

    Raises
    ------
    SchemaError
        Where an output would bear the name of a column that passes through, or of another output.
    """
    place = dict(zip(names, outputs, strict=True))
    fold = str.lower if folds_case(df) else str
    passing = {fold(name) for name in df.columns if name not in place}
    for name in (name for group in outputs for name, _ in group):
        if fold(name) in passing:
            raise SchemaError(
                f"The output {name!r} would take the name of another column that passes through. "
                f"Rename that one (df.withColumnRenamed({name!r}, ...)) or drop it."
            )
    check_outputs_differ([name for group in outputs for name, _ in group], df)
    columns = df.columns
    first = 0
    for level in helpers:
        made = [f"{sql} AS {helper(index)}" for index, sql in enumerate(level, first)]
        df = select(df, "*", *made)
        first += len(level)
    texts: list[str] = []
    for name in columns:
        if name in place:
            texts += [f"{sql} AS {quoted(output)}" for output, sql in place[name]]
        else:
            texts.append(quoted(name))
    if not texts:
        warnings.warn("No column is left in the DataFrame.", stacklevel=2)
    return select(df, *texts)
