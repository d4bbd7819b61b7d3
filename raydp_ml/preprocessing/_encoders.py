"""`OneHotEncoder` and `OrdinalEncoder`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import preprocessing

from raydp_ml.base import is_spark
from raydp_ml.exchange.columns import ColumnRoles, quoted
from raydp_ml.exchange.sql_text import select
from raydp_ml.preprocessing._categories import CategoryEncoder
from raydp_ml.preprocessing._keys import Compared, is_text, key
from raydp_ml.spark_jobs import vectors
from raydp_ml.spark_jobs.expressions import choose, helper, literal, number, text
from raydp_ml.transformers.base import InvertibleTransformer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data, Values
    from raydp_ml.spark_jobs.summaries import Cell


class OneHotEncoder(InvertibleTransformer, CategoryEncoder, preprocessing.OneHotEncoder):
    """Make a column of zeros and ones for each category.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.preprocessing.OneHotEncoder`.

    Notes
    -----
    In Spark, with ``sparse_output=True``, scikit-learn's default, the output is one sparse vector
    column ``onehotencoder``, however many categories there are. With ``handle_unknown="error"`` a
    query fails that meets an unknown category. The warnings about unknown categories come from
    ``fit_transform``; what a later ``transform`` will meet, it cannot know.

    Null and NaN are one category, NaN, in columns of any kind, and None finds it in memory as well.
    Numbers keep their exact values: ``categories_`` of decimals are Decimals, as scikit-learn's of
    the collected rows, which numbers find; those of integers beyond 2**53 beside nulls are Python
    integers. Only a column of floats is compared as doubles.

    Output names are scikit-learn's, whatever characters they hold (Spark needs those with dots and
    backticks quoted). Names that differ from an earlier one only in upper and lower case, or not at
    all, end in ``_2``, ``_3``, ...: Spark could not tell such columns apart. This holds for what
    ``fit`` saw in Spark, from then on in memory too, with ``feature_name_combiner`` too, and not in
    a session with ``spark.sql.caseSensitive=true``.

    Examples
    --------
    >>> from raydp_ml.preprocessing import OneHotEncoder
    >>> OneHotEncoder(sparse_output=False).fit_transform([["a"], ["b"]])
    array([[1., 0.],
           [0., 1.]])
    """

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        self._fit_categories(df, roles)

    def _fit_transform_spark(self, df: DataFrame, y: Values | None, **fit_params: Any) -> DataFrame:
        self._unknown: list[int] = []
        try:
            self.fit(df, y, **fit_params)
            self._warn_of_unknown(self._unknown)
        finally:
            del self._unknown
        return self.transform(df)

    def _warn_of_unknown(self, columns: list[int]) -> None:
        if not columns or self.handle_unknown == "error":
            return
        if self.handle_unknown == "warn" or self.drop is not None:
            zeros = self.handle_unknown == "ignore"
            means = "all zeros" if zeros else "the infrequent category."
            warnings.warn(
                f"Found unknown categories in columns {columns} during transform. These unknown "
                f"categories will be encoded as {means}",
                UserWarning,
                stacklevel=4,
            )

    def _map_drop_idx_to_infrequent(self, feature_idx: int, drop_idx: int) -> int:
        # scikit-learn's own has no text for Python's strings.
        infrequent = self._infrequent_indices[feature_idx] if self._infrequent_enabled else None
        if infrequent is not None and drop_idx in infrequent:
            raise ValueError(
                f"Unable to drop category {key(self.categories_[feature_idx][drop_idx])!r} from "
                f"feature {feature_idx} because it is infrequent"
            )
        return super()._map_drop_idx_to_infrequent(feature_idx, drop_idx)

    def _is_vector(self) -> bool:
        return self.sparse_output

    def _helpers(self, inputs: Sequence[Any]) -> list[list[str]]:
        return [[self._place(x, index) for index, x in enumerate(inputs)]]

    def _place(self, x: Compared, index: int) -> str:
        """Give the SQL of the output, among those of the feature, that is 1; null for none."""
        places, unknown = self._output_places(index)
        other = number(unknown)
        if self.handle_unknown == "error":
            other = self._fail(x, index)
        return f"cast(nullif({self._find(x, index, places, other, other)}, -1.0D) as int)"

    def _output_places(self, index: int) -> tuple[np.ndarray, int]:
        places = np.arange(len(self.categories_[index]))
        unknown = -1
        mapping = self._default_to_infrequent_mappings[index] if self._infrequent_enabled else None
        if mapping is not None:
            places = np.take(mapping, places)
            if self.handle_unknown in {"infrequent_if_exist", "warn"}:
                unknown = int(places[self._infrequent_indices[index][0]])
        dropped = self._drop_idx_after_grouping
        if dropped is not None and dropped[index] is not None:
            gone = int(dropped[index])
            places = np.where(places == gone, -1, places - (places > gone))
            unknown = -1 if unknown == gone else unknown - (unknown > gone)
        return places, unknown

    def _expressions(self, inputs: Sequence[Any]) -> list[list[str]]:
        return [
            [f"if({helper(index)} = {place}, 1.0D, 0.0D)" for place in range(count)]
            for index, count in enumerate(self._n_features_outs)
        ]

    def _vector(self, inputs: Sequence[str]) -> str:
        offsets = np.cumsum([0, *self._n_features_outs])
        places = [f"{helper(index)} + {offsets[index]}" for index in range(len(inputs))]
        return vectors.sparse_ones(offsets[-1], places)

    def inverse_transform(self, X: Data, *args: Any, **kwargs: Any) -> Any:
        """Undo ``transform``; see scikit-learn's.

        Parameters
        ----------
        X : Spark DataFrame, or what scikit-learn takes
            In Spark, with the columns that ``transform`` made.

        Returns
        -------
        pyspark.sql.DataFrame or ndarray of shape (n_samples, n_features)
            In Spark, null where a category is missing or unknown. As in memory, a query fails that
            meets a row without a category, where that could not be an unknown or dropped one.
        """
        if not is_spark(X) or self.sparse_output or sum(getattr(self, "_n_features_outs", [1])):
            return super().inverse_transform(X, *args, **kwargs)
        # Each feature has one category, which was dropped, so that no column stands for it.
        made = self._undone([])
        names = zip(made, self._names_in(X), strict=True)
        return select(X, *(f"{sql} AS {quoted(name)}" for sql, name in names), "*")

    def _inverse_helpers(self, inputs: Sequence[str]) -> list[list[str]]:
        """Give the ones of each feature, and then their place: 0 for none, else counted from 1."""
        if not inputs:
            return []
        ends = np.cumsum([0, *self._n_features_outs])
        arrays = [
            f"cast(array({','.join(inputs[first:last])}) as array<double>)"
            for first, last in pairwise(ends)
        ]
        places = []
        for index in range(len(arrays)):
            held = helper(index)
            total = f"aggregate({held}, 0.0D, (__raydp_ml_a, __raydp_ml_b) -> " + (
                "__raydp_ml_a + __raydp_ml_b)"
            )
            known = f"when {total} is not null and not isnan({total})"
            places.append(
                f"case when {total} = 0 then 0 {known} then int(array_position({held}, array_max("
                f"{held}))) else int(raise_error('Input X contains NaN.')) end"
            )
        return [arrays, places]

    def _inverse_expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        count = len(self.categories_)
        undone = self._undone([helper(count + index) for index in range(count)])
        # What stands in the place of each output: at the first of a feature, the feature. A feature
        # without outputs stands beside the feature before it, or else the one after.
        made: list[list[str]] = []
        waiting: list[str] = []
        for sql, width in zip(undone, self._n_features_outs, strict=True):
            if width:
                made += [[*waiting, sql], *([] for _ in range(width - 1))]
                waiting, last = [], len(made) - width
            elif made:
                made[last].append(sql)
            else:
                waiting.append(sql)
        return made

    def _undone(self, places: Sequence[str]) -> list[str]:
        """Give the SQL of the features, of the places of their ones."""
        made = []
        for index, categories in enumerate(self.categories_):
            named = self._compute_transformed_categories(index, remove_dropped=False)
            kept = self._remove_dropped_categories(named, index)
            as_text = is_text(named)
            drops = self._drop_idx_after_grouping
            drop = None if drops is None else drops[index]
            if not len(kept):
                made.append(_value(categories[drop], as_text))
                continue
            infrequent = self._infrequent_enabled and self._infrequent_indices[index] is not None
            if self.handle_unknown == "ignore" or (
                self.handle_unknown != "error" and not infrequent
            ):
                # (As scikit-learn, which looks the dropped one up before grouping.)
                none = "null" if drop is None else _value(categories[drop], as_text)
            elif drop is None:
                none = f"raise_error({text(_NO_CATEGORY)})"
            else:
                none = _value(named[drop], as_text)
            values = [none, *(_value(value, as_text) for value in kept)]
            edges = list(range(1, len(values)))
            made.append(choose(places[index], edges, values))
        return made


_NO_CATEGORY = (
    "Samples can not be inverted when drop=None and handle_unknown='error' because they contain "
    "all zeros"
)


def _value(value: object, as_text: bool) -> str:
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or value != value:
        return "null"
    return literal(str(value) if as_text else value)


class OrdinalEncoder(InvertibleTransformer, CategoryEncoder, preprocessing.OrdinalEncoder):
    """Number the categories of each feature.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.preprocessing.OrdinalEncoder`.

    Notes
    -----
    In Spark, the outputs are doubles, and with ``handle_unknown="error"`` a query fails that meets
    an unknown category. Null and NaN are missing; see `OneHotEncoder` for them and for numbers.

    Examples
    --------
    >>> from raydp_ml.preprocessing import OrdinalEncoder
    >>> OrdinalEncoder().fit_transform([["b"], ["a"], ["b"]])
    array([[1.],
           [0.],
           [1.]])
    """

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        self._fit_categories(df, roles)

    def _expressions(self, inputs: Sequence[Any]) -> list[list[str]]:
        made = []
        for index, x in enumerate(inputs):
            places = np.arange(len(self.categories_[index]), dtype=np.float64)
            absent = self._missing_indices.get(index)
            mapping = (
                self._default_to_infrequent_mappings[index] if self._infrequent_enabled else None
            )
            if mapping is not None:
                held = places[: len(mapping)].astype(int)
                places[: len(mapping)] = np.take(mapping, held)
            if absent is not None:
                places[absent] = self.encoded_missing_value
            if self.handle_unknown == "error":
                other = self._fail(x, index)
            else:
                other = number(self.unknown_value)
            made.append([self._find(x, index, places, other, other)])
        return made

    def _inverse_expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        made = []
        for index, x in enumerate(inputs):
            categories = self._inverse_categories(index)
            as_text = is_text(np.array(categories, dtype=object))
            values = [_value(value, as_text) for value in categories]
            gone = [f"{x} is null or isnan({x})"]
            if index in self._missing_indices:
                gone.append(f"{x} = {number(self.encoded_missing_value)}")
            if self.handle_unknown == "use_encoded_value":
                gone.append(f"{x} = {number(self.unknown_value)}")
            fail = (
                f"raise_error(concat('index ', cast({x} as string), ' is out of bounds for column "
                f"{index} with {len(values)} categories'))"
            )
            known = "null"
            if values:
                found = choose(x, list(range(1, len(values))), values)
                known = f"if({x} > -1 and {x} < {len(values)}, {found}, {fail})"
            made.append([f"if({' or '.join(gone)}, null, {known})"])
        return made

    def _inverse_categories(self, index: int) -> list[Cell]:
        categories = list(self.categories_[index])
        absent = self._missing_indices.get(index)
        if absent is not None:
            del categories[absent]
        mapping = self._default_to_infrequent_mappings[index] if self._infrequent_enabled else None
        if mapping is not None:
            pairs = zip(categories, mapping, strict=True)
            frequent = [value for value, place in pairs if place < max(mapping)]
            categories = [*frequent, "infrequent_sklearn"]
        return categories
