"""`OneHotEncoder` and `OrdinalEncoder`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import preprocessing

from raydp_ml import vectors
from raydp_ml.exchange.columns import ColumnRoles
from raydp_ml.expressions import choose, helper, literal, number
from raydp_ml.preprocessing._categories import CategoryEncoder
from raydp_ml.transformer import InvertibleTransformer


class OneHotEncoder(InvertibleTransformer, CategoryEncoder, preprocessing.OneHotEncoder):
    """Make a column of zeros and ones for each category.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.preprocessing.OneHotEncoder`.

    Notes
    -----
    In Spark, with ``sparse_output=True``, scikit-learn's default, the output is one sparse vector
    column ``onehotencoder``, however many categories there are. Null and NaN are one category.
    With ``handle_unknown="error"`` a query fails that meets an unknown category, and with "warn"
    there is no warning. Decimals are taken as doubles.

    Examples
    --------
    >>> from raydp_ml.preprocessing import OneHotEncoder
    >>> OneHotEncoder(sparse_output=False).fit_transform([["a"], ["b"]])
    array([[1., 0.],
           [0., 1.]])
    """

    def _learn(self, df: Any, roles: ColumnRoles) -> None:
        self._fit_categories(df, roles)

    def _is_vector(self) -> bool:
        return self.sparse_output

    def _helpers(self, inputs: Sequence[str]) -> list[list[str]]:
        return [[self._place(x, index) for index, x in enumerate(inputs)]]

    def _place(self, x: str, index: int) -> str:
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

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        return [
            [f"if({helper(index)} = {place}, 1.0D, 0.0D)" for place in range(count)]
            for index, count in enumerate(self._n_features_outs)
        ]

    def _vector(self, inputs: Sequence[str]) -> str:
        offsets = np.cumsum([0, *self._n_features_outs])
        places = [f"{helper(index)} + {offsets[index]}" for index in range(len(inputs))]
        return vectors.sparse_ones(offsets[-1], places)

    def _inverse_expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        made, first = [], 0
        for index, categories in enumerate(self.categories_):
            named = self._compute_transformed_categories(index, remove_dropped=False)
            kept = self._remove_dropped_categories(named, index)
            as_text = any(isinstance(value, str) for value in named)
            ones = inputs[first : first + len(kept)]
            first += len(kept)
            pairs = zip(ones, kept, strict=True)
            cases = [f"when {x} = 1 then {_value(v, as_text)}" for x, v in pairs]
            dropped = self._drop_idx_after_grouping
            other = "null"
            if dropped is not None and dropped[index] is not None:
                # scikit-learn looks the place up before grouping where it finds unknown ones.
                ungrouped = self.handle_unknown == "ignore"
                source = categories if ungrouped or len(named) == len(categories) else named
                other = _value(source[dropped[index]], as_text)
            made.append([f"case {' '.join(cases)} else {other} end" if cases else other])
            made += [[] for _ in ones[1:]]
        return made


def _value(value: Any, as_text: bool) -> str:
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
    In Spark, null and NaN are one category, and the outputs are doubles. With
    ``handle_unknown="error"`` a query fails that meets an unknown category. Decimals are taken as
    doubles.

    Examples
    --------
    >>> from raydp_ml.preprocessing import OrdinalEncoder
    >>> OrdinalEncoder().fit_transform([["b"], ["a"], ["b"]])
    array([[1.],
           [0.],
           [1.]])
    """

    def _learn(self, df: Any, roles: ColumnRoles) -> None:
        self._fit_categories(df, roles)

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
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
            as_text = any(isinstance(value, str) for value in categories)
            values = [_value(value, as_text) for value in categories]
            edges = [place - 0.5 for place in range(1, len(values))]
            known = f"{x} >= 0 and {x} < {len(values)}"
            made.append([f"if({known}, {choose(x, edges, values)}, null)"])
        return made

    def _inverse_categories(self, index: int) -> list[Any]:
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
