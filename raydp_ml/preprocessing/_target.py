"""`TargetEncoder`, with its cross-fitting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import preprocessing
from sklearn.base import _fit_context
from sklearn.model_selection import check_cv

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import ColumnRoles, from_spark_schema
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.exchange.sql_text import select
from raydp_ml.preprocessing._categories import CategoryEncoder, distinct_frame
from raydp_ml.preprocessing._keys import Compared, typed
from raydp_ml.spark_jobs.expressions import literal, lookup, number
from raydp_ml.spark_jobs.summaries import (
    category_counts,
    check_labels,
    column_key,
    is_missing,
    no_rows,
)
from raydp_ml.transformers.base import RESERVED, named, replace_columns

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Values

_FOLD = f"{RESERVED}fold"

Encoded = tuple[float | np.ndarray, list[np.ndarray]]
"""The mean of the label, or of each class, and what each category of each feature becomes."""


class TargetEncoder(CategoryEncoder, preprocessing.TargetEncoder):
    """Encode each category by the mean of the label among its rows, drawn to the mean of all.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.preprocessing.TargetEncoder`.

    Notes
    -----
    In Spark, ``fit_transform`` cross-fits as in memory, with folds that Spark's ``rand`` draws
    (from an integer ``random_state``, else 0): the DataFrame is read twice, and must give its rows
    in the same order in the same partitions, as what is cached or read from files does. Of ``cv``,
    the number of folds counts. Null and NaN are one category, NaN. See `OneHotEncoder` for numbers
    and names.

    Examples
    --------
    >>> from raydp_ml.preprocessing import TargetEncoder
    >>> encoder = TargetEncoder(smooth=0).fit([["a"], ["a"], ["b"]], [1.5, 2.5, 4.5])
    >>> encoder.transform([["a"], ["b"]])
    array([[2. ],
           [4.5]])
    """

    _supervised = True
    classes_: Any

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        self._learn_folds(df, roles, None)

    def _learn_folds(self, df: DataFrame, roles: ColumnRoles, folds: int | None) -> list[Encoded]:
        """Fit to all rows; return, for each fold, mean and encodings of the rows outside it."""
        self._check_given_count(roles.features)
        classes = self._infer_target(df, roles)
        self.classes_ = classes
        if classes is not None and self.target_type_ == "multiclass":
            # scikit-learn's have the type here that NumPy gives them by itself.
            self.classes_ = np.asarray(list(classes))
        found = self._sums(select(df, "*", self._fold_sql(folds)), roles, folds, classes)
        frame = distinct_frame(roles.features, [[i[:2] for i in items] for items in found])
        with self._given_as_read(roles.features):
            self._fit(frame, handle_unknown="ignore", ensure_all_finite="allow-nan")
        self._tell_names_apart(df)
        tables = [self._table(index, items) for index, items in enumerate(found)]
        self.target_mean_, self.encodings_ = self._encode(tables, None)
        return [self._encode(tables, fold) for fold in range(folds or 0)]

    def _infer_target(self, df: DataFrame, roles: ColumnRoles) -> np.ndarray | None:
        """Set ``target_type_``; return the sorted classes, None for a continuous label."""
        label = column_key(df, str(roles.label))
        kind = df.schema[str(roles.label)].dataType.typeName()
        is_number = kind not in {"string", "char", "varchar", "boolean"}
        if self.target_type == "continuous":
            if not is_number:
                raise SchemaError(
                    f"target_type='continuous' needs a label of numbers, and {roles.label!r} is "
                    f"of type {kind}."
                )
            self.target_type_ = "continuous"
            return None
        check = f"{label} = floor({label})" if is_number else "true"
        row = select(
            df,
            "count(1) AS rows",
            f"count_if({label} is null{f' or isnan(cast({label} as double))' if is_number else ''})"
            " AS missing",
            f"count_if(not ({check})) AS parts",
        ).collect()[0]
        if not row["rows"]:
            raise no_rows()
        check_labels(str(roles.label), row["missing"])
        if self.target_type == "auto" and row["parts"]:
            self.target_type_ = "continuous"
            return None
        values = sorted(r[0] for r in select(df, label).distinct().collect())
        column = next(c for c in from_spark_schema(df.schema) if c.name == roles.label)
        inferred = "binary" if len(values) <= 2 else "multiclass"
        self.target_type_ = inferred if self.target_type == "auto" else self.target_type
        return typed(column, values)

    def _sums(
        self, df: DataFrame, roles: ColumnRoles, folds: int | None, classes: np.ndarray | None
    ) -> list[list[tuple[Any, ...]]]:
        """Aggregate the label within each category: counts, and per fold moments of the label."""
        label = column_key(df, str(roles.label))
        if classes is None:
            label_sql = [f"cast({label} as double)"]
        elif self.target_type_ == "binary":
            # (More than two where the user says that it is binary.)
            label_sql = [lookup(label, classes.tolist(), range(len(classes)), "null")]
        else:
            label_sql = [
                f"if({label} = {literal(value)}, 1.0D, 0.0D)" for value in classes.tolist()
            ]
        extras = [f"{sql} AS __y{k}" for k, sql in enumerate(label_sql)]
        extras.append(f"{_FOLD} AS __fold")
        aggregates = {}
        for fold in range(folds or 1):
            inside = f"filter (where __fold = {fold})"
            aggregates[f"n{fold}"] = f"count(1) {inside}"
            for k in range(len(label_sql)):
                aggregates[f"m{fold}_{k}"] = f"avg(__y{k}) {inside}"
                aggregates[f"v{fold}_{k}"] = f"var_pop(__y{k}) {inside}"
        aggregates["bad"] = (
            "count_if(__y0 is null or isnan(__y0) or abs(__y0) = double('Infinity'))"
        )
        found = category_counts(df, roles.features, extras, **aggregates)
        if not found[0]:
            raise no_rows()
        check_labels(str(roles.label), sum(item[-1] for item in found[0]))
        return found

    def _fold_sql(self, folds: int | None) -> str:
        """Give the SQL of a column with each row's fold, which must know nothing of its label."""
        seed = self.random_state if isinstance(self.random_state, (int, np.integer)) else 0
        drawn = f"cast(floor(rand({int(seed)}) * {folds}) as int)" if folds else "0"
        return f"{drawn} AS {_FOLD}"

    def _table(self, index: int, items: list[tuple[Any, ...]]) -> np.ndarray:
        """Arrange what was aggregated by category, fold, label, and moment: see `_merged`."""
        categories = [None if is_missing(v) else v for v in self.categories_[index].tolist()]
        place = {value: at for at, value in reversed(list(enumerate(categories)))}
        width = self._label_count()
        folds = (len(items[0]) - 3) // (1 + 2 * width)
        table = np.zeros((len(categories), folds, width, 3))
        for value, _, *parts in items:
            # As scikit-learn, which counts what is not among given categories to the first.
            at = place.get(None if is_missing(value) else value, 0)
            moments = np.array([m or 0.0 for m in parts[:-1]]).reshape(folds, 1 + 2 * width)
            counts = moments[:, :1].repeat(width, axis=1)
            new = np.stack([counts, moments[:, 1::2], moments[:, 2::2] * counts], axis=-1)
            table[at] = _merged(np.stack([table[at], new]))
        return table

    def _label_count(self) -> int:
        return np.size(self.classes_) if self.target_type_ == "multiclass" else 1

    def _encode(self, tables: list[np.ndarray], left_out: int | None) -> Encoded:
        """Encode the categories by the rows of all folds but one."""
        made: list[np.ndarray] = []
        mean: np.ndarray = np.empty(0)
        for table in tables:
            kept = table if left_out is None else np.delete(table, left_out, axis=1)
            moments = _merged(np.swapaxes(kept, 0, 1)) if kept.shape[1] else kept[:, :0].sum(axis=1)
            counts, means, squares = np.moveaxis(moments, -1, 0)
            n, total, spread = np.moveaxis(_merged(moments), -1, 0)
            if left_out is not None:
                # (All rows may be in one fold where there are few.)
                total = np.where(n > 0, total, self.target_mean_)
            mean = total
            for k in range(counts.shape[1]):
                made.append(
                    self._smoothed(
                        counts[:, k], means[:, k], squares[:, k], total[k], spread[k] / n[k]
                    )
                )
        one = self.target_type_ != "multiclass"
        return (mean[0] if one else mean), made

    def _smoothed(
        self, counts: np.ndarray, means: np.ndarray, squares: np.ndarray, mean: float, var: float
    ) -> np.ndarray:
        """Draw the means to that of all: Micci-Barreca (2001), equations 3 to 6."""
        with np.errstate(invalid="ignore", divide="ignore"):
            if self.smooth == "auto":
                share = var * counts / (var * counts + squares / counts)
                return np.where(np.isnan(share), mean, share * means + (1 - share) * mean)
            made = (self.smooth * mean + counts * means) / (self.smooth + counts)
            return np.where(self.smooth + counts == 0, mean, made)

    def _expressions(self, inputs: Sequence[Any]) -> list[list[str]]:
        return self._encoded(inputs, self.target_mean_, self.encodings_)

    def _encoded(
        self, inputs: Sequence[Compared], mean: float | np.ndarray, encodings: list[np.ndarray]
    ) -> list[list[str]]:
        width = self._label_count()
        means = np.atleast_1d(mean)
        return [
            [
                self._find(x, index, encodings[index * width + k], number(m), number(m))
                for k, m in enumerate(means)
            ]
            for index, x in enumerate(inputs)
        ]

    @_fit_context(prefer_skip_nested_validation=True)
    def _fit_transform_spark(self, df: DataFrame, y: Values | None, **fit_params: Any) -> DataFrame:
        require_batch(df)
        folds = check_cv(self.cv).get_n_splits()
        roles = self._resolve(df, y, None)
        self._set_features_in(roles.feature_names, len(roles.features))
        outside = self._learn_folds(df, roles, folds)
        names = roles.feature_names
        inputs = self._inputs(roles.features)
        made = [self._encoded(inputs, *fold) for fold in outside]
        # Each row by what was learnt from the rows of the other folds.
        merged = [
            [f"case {_FOLD} {_cases(versions)} end" for versions in zip(*groups, strict=True)]
            for groups in zip(*made, strict=True)
        ]
        outputs = named(self._names_out(names), merged)
        folded = select(df, "*", self._fold_sql(folds))
        return replace_columns(folded, names, outputs).drop(_FOLD)


def _merged(moments: np.ndarray) -> np.ndarray:
    """Merge counts, means and sums of squares along the first axis: Chan et al. (1979)."""
    counts, means, squares = np.moveaxis(moments, -1, 0)
    total = counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(total > 0, (counts * means).sum(axis=0) / total, 0.0)
    spread = squares.sum(axis=0) + (counts * (means - mean) ** 2).sum(axis=0)
    return np.stack([total, mean, spread], axis=-1)


def _cases(versions: Sequence[str]) -> str:
    return " ".join(f"when {fold} then {sql}" for fold, sql in enumerate(versions))
