"""`LabelEncoder`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import preprocessing
from sklearn.utils.validation import check_is_fitted, column_or_1d

from raydp_ml.base import SparkEstimator, is_spark
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import NUMERIC, Column, from_spark_schema, quoted
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.exchange.refused_values import refused_values
from raydp_ml.exchange.sql_text import select, where
from raydp_ml.preprocessing._keys import compared, other_kind, recognized, typed
from raydp_ml.spark_jobs.expressions import choose, double, literal, lookup
from raydp_ml.spark_jobs.summaries import category_counts, check_labels, no_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Values


class LabelEncoder(
    SparkEstimator,
    preprocessing.LabelEncoder,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]
):
    """Number the values of the label.

    Attributes and results are scikit-learn's; see `sklearn.preprocessing.LabelEncoder`.

    Notes
    -----
    With a Spark DataFrame, the label is the column with the role "label" (`raydp_ml.set_roles`),
    or the only column, and all others pass through. A value that was not seen in ``fit`` fails the
    query that meets it. Numbers keep their exact values: ``classes_`` of decimals are Decimals, as
    scikit-learn's of the collected rows.

    Examples
    --------
    >>> from raydp_ml.preprocessing import LabelEncoder
    >>> LabelEncoder().fit_transform(["late", "early", "late"])
    array([1, 0, 1])
    """

    def fit(self, y: DataFrame | Values) -> LabelEncoder:
        """Learn the values of the label.

        Parameters
        ----------
        y : Spark DataFrame, or array-like of shape (n_samples,)

        Raises
        ------
        SchemaError
            If it is not clear which column is the label, or it holds missing values or none.
        """
        if not is_spark(y):
            return super().fit(y)
        require_batch(y)
        column = _label_of(y)
        with refused_values():
            values = [item[0] for item in category_counts(y, [column])[0]]
        if not values:
            raise no_rows()
        missing = where(y, f"{quoted(column.name)} is null").count() if None in values else 0
        check_labels(column.name, missing)
        self.classes_ = np.unique(typed(column, values))
        return self

    def fit_transform(self, y: DataFrame | Values) -> Any:
        """Fit to y, then transform it."""
        if is_spark(y):
            return self.fit(y).transform(y)
        return super().fit_transform(y)

    def transform(self, y: DataFrame | Values) -> Any:
        """Turn labels into their numbers, 0 to n_classes - 1; null stays null."""
        if not is_spark(y):
            check_is_fitted(self)
            if self.classes_.dtype == object:
                y = recognized(column_or_1d(y, warn=True), self.classes_)
            return super().transform(y)
        check_is_fitted(self)
        column = _label_of(y)
        if kind := other_kind(column, self.classes_):
            raise SchemaError(
                f"The label column {column.name!r} is of type {column.type_name}, and LabelEncoder "
                f"was fitted on {kind}. Cast it, or fit again."
            )
        x = compared(column, self.classes_)
        places = [(k, place) for place, k in enumerate(x.keys) if k is not None]
        unseen = f"concat('y contains previously unseen labels: ', cast({x.sql} as string))"
        fail = f"cast(raise_error({unseen}) as double)"
        made = lookup(x.sql, [k for k, _ in places], [place for _, place in places], fail)
        return _with(y, column, f"cast(if({x.sql} is null, null, {made}) as bigint)")

    def inverse_transform(self, y: DataFrame | Values) -> Any:
        """Turn numbers back into labels.

        Null stays null in a Spark DataFrame, and a number that is none of a label fails the query.
        """
        if not is_spark(y):
            return super().inverse_transform(y)
        check_is_fitted(self)
        column = _label_of(y)
        if column.kind == "string":
            raise SchemaError(
                f"The label column {column.name!r} holds strings, and inverse_transform takes the "
                "numbers of labels."
            )
        x = quoted(column.name)
        values = [literal(value) for value in self.classes_.tolist()]
        made = choose(x, [place - 0.5 for place in range(1, len(values))], values)
        number = double(column.name)
        known = f"{number} >= 0 and {number} < {len(values)} and {number} = floor({number})"
        unseen = (
            f"raise_error(concat('y contains previously unseen labels: ', cast({x} as string)))"
        )
        cases = f"when {known} then {made} when {x} is null then null else {unseen}"
        return _with(y, column, f"case {cases} end")


def _label_of(df: DataFrame) -> Column:
    columns = from_spark_schema(df.schema)
    labels = [column for column in columns if column.role == "label"]
    chosen = labels or columns
    if len(chosen) != 1:
        raise SchemaError(
            f"It is not clear which of the columns {[column.name for column in chosen]} is the "
            "label. Select it (df.select('y')) or give it the role: raydp_ml.set_roles(df, "
            "label='y')."
        )
    if chosen[0].kind not in NUMERIC | {"string"}:
        raise SchemaError(
            f"The label column {chosen[0].name!r} is of type {chosen[0].type_name}, and must hold "
            "numbers or strings."
        )
    return chosen[0]


def _with(df: DataFrame, column: Column, sql: str) -> DataFrame:
    from pyspark.sql import functions

    columns = {name: functions.col(quoted(name)) for name in df.columns}
    made = select(
        df, *(f"{sql} AS {quoted(n)}" if n == column.name else quoted(n) for n in columns)
    )
    # The metadata, which holds the role, is the column's own.
    held = columns[column.name].alias(column.name, metadata=dict(column.metadata))
    return made.select(*({**columns, column.name: held}.values())) if column.metadata else made
