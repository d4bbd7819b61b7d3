"""`ColumnTransformer`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn import compose
from sklearn.base import _fit_context, clone
from sklearn.compose._column_transformer import _get_transformer_list
from sklearn.utils import get_tags
from sklearn.utils._indexing import _get_column_indices
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.metadata_routing import _raise_for_params, process_routing
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import in_memory, kind_of
from raydp_ml.compose._selector import pandas_template
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import check_exists, from_spark_schema
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.preprocessing import FunctionTransformer
from raydp_ml.transformers.base import ANY, SparkTransformer, compared_columns
from raydp_ml.transformers.side_by_side import Part, side_by_side


class ColumnTransformer(SparkTransformer, compose.ColumnTransformer):
    """Apply transformers to chosen columns, and put their outputs next to each other.

    Parameters, attributes and results are scikit-learn's; see `sklearn.compose.ColumnTransformer`.

    Notes
    -----
    On a Spark DataFrame, the transformers must be raydp_ml's (or Pipelines of them). The columns
    to choose from are the features: the label and columns with other roles pass through, as do
    columns that were not there in ``fit``. The outputs, in scikit-learn's order, stand where the
    first feature stood. An output that is a vector bears the name of its class after the
    transformer's.

    Examples
    --------
    >>> from raydp_ml.compose import ColumnTransformer
    >>> from raydp_ml.preprocessing import MinMaxScaler
    >>> ColumnTransformer([("scale", MinMaxScaler(), [0])]).fit_transform([[1.0, 5.0], [3.0, 6.0]])
    array([[0.],
           [1.]])
    """

    _kinds = ANY
    _computes = False

    def fit(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit all transformers.

        Parameters
        ----------
        X : Spark DataFrame, Blocks, Ray Dataset, or what scikit-learn takes
        y : str or array-like, default=None
            With a Spark DataFrame, the label's column; None takes the role "label".
        **params : dict
            As in scikit-learn's metadata routing.

        Returns
        -------
        ColumnTransformer

        Raises
        ------
        SchemaError
            If a column is missing, or one of the transformers cannot use its columns.
        """
        if kind_of(X) == "spark":
            self._fit_transform_spark(X, y, **params)
            return self
        X, y, params = self._to_fit(X, y, **params)
        return super(SparkTransformer, self).fit(X, y, **params)

    def _compared(self, frame: pd.DataFrame) -> set[str]:
        made: set[str] = set()
        others = set(frame.columns)
        for _, transformer, columns in self.transformers:
            given = columns(frame) if callable(columns) else columns
            names = frame.columns[_get_column_indices(frame, given)]
            others -= set(names)
            made |= compared_columns(transformer, frame[names])
        return made | compared_columns(self.remainder, frame[list(others)])

    def _validate_column_callables(self, X: Any) -> None:
        # A selector by type is to find numbers where integers are objects.
        super()._validate_column_callables(in_memory(X, lambda frame: ()))

    @_fit_context(prefer_skip_nested_validation=False)
    def _fit_transform_spark(self, df: Any, y: Any, **params: Any) -> Any:
        _raise_for_params(params, self, "fit_transform")
        require_batch(df)
        roles = self._resolve(df, y, None)
        template = pandas_template(roles.features)
        self._set_features_in(roles.feature_names, len(roles.features))
        self._validate_transformers()
        self._check_columns(template)
        self._validate_column_callables(template)
        self._validate_remainder(template)
        routed = process_routing(self, "fit_transform", **params)
        fitted, parts = [], []
        for name, transformer, columns, weight in self._iter(
            fitted=False, column_as_labels=False, skip_drop=True, skip_empty_columns=True
        ):
            transformer = clone(transformer)
            if isinstance(columns, (str, int)) and get_tags(transformer).input_tags.two_d_array:
                raise SchemaError(
                    f"The columns of {name!r} are {columns!r}, one without a list, which in memory "
                    f"is one dimension, and {type(transformer).__name__} takes two. Pass "
                    f"[{columns!r}]."
                )
            chosen = template.columns[_get_column_indices(template, columns)]
            fitted.append(transformer)
            fit_transform = partial(_fit_transform, transformer, y, routed[name])
            parts.append(Part(name, list(chosen), fit_transform, weight))
        made, outputs = side_by_side(
            df, roles.feature_names, parts, self._add_prefix_for_feature_names_out
        )
        counts = [
            len(item.get_feature_names_out()) if _is_vector(item) else len(columns)
            for item, columns in zip(fitted, outputs, strict=True)
        ]
        self._update_fitted_transformers(fitted)
        self.sparse_output_ = any(_is_vector(item) for item in fitted)
        ends = np.cumsum([0, *counts])
        self.output_indices_ = {
            part.name: slice(int(ends[i]), int(ends[i + 1])) for i, part in enumerate(parts)
        }
        for name in [*(item[0] for item in self.transformers), "remainder"]:
            self.output_indices_.setdefault(name, slice(0, 0))
        return made

    def _transform_spark(self, df: Any) -> Any:
        check_is_fitted(self)
        features = self._require_names_in("transform")
        parts = []
        for name, transformer, _, weight in self._iter(
            fitted=True, column_as_labels=False, skip_drop=True, skip_empty_columns=True
        ):
            columns = [features[i] for i in self._transformer_to_input_indices[name]]
            for column in columns:
                check_exists(column, from_spark_schema(df.schema), f"input of {name!r}")
            parts.append(Part(name, columns, transformer.transform, weight))
        made, _ = side_by_side(df, features, parts, self._add_prefix_for_feature_names_out)
        return made

    def _iter(self, fitted: bool, **options: Any) -> Iterator[Any]:
        for name, transformer, columns, weight in super()._iter(fitted, **options):
            if not fitted and transformer == "passthrough":
                # Fitted in memory or on Spark, what stands for it transforms either.
                transformer = FunctionTransformer(
                    accept_sparse=True, check_inverse=False, feature_names_out="one-to-one"
                ).set_output(transform=_get_output_config("transform", self)["dense"])
            yield name, transformer, columns, weight

    def _check_columns(self, template: Any) -> None:
        """Raise `SchemaError` for a name that is no feature, with the nearest that is."""
        for name, _, columns in self.transformers:
            given = [columns] if isinstance(columns, str) else columns
            for column in given if isinstance(given, (list, tuple)) else ():
                if isinstance(column, str):
                    check_exists(column, list(template.columns), f"column of {name!r}")


def make_column_transformer(
    *transformers: Any,
    remainder: Any = "drop",
    sparse_threshold: float = 0.3,
    n_jobs: int | None = None,
    verbose: bool = False,
    verbose_feature_names_out: Any = True,
) -> ColumnTransformer:
    """Make a `ColumnTransformer` from pairs of transformers and columns, naming them itself.

    See Also
    --------
    sklearn.compose.make_column_transformer : The same in memory.
    """
    return ColumnTransformer(
        _get_transformer_list(transformers),
        remainder=remainder,
        sparse_threshold=sparse_threshold,
        n_jobs=n_jobs,
        verbose=verbose,
        verbose_feature_names_out=verbose_feature_names_out,
    )


def _fit_transform(transformer: Any, y: Any, routed: Any, df: Any) -> Any:
    if hasattr(transformer, "fit_transform"):
        return transformer.fit_transform(df, y, **routed.get("fit_transform", {}))
    return transformer.fit(df, y, **routed.get("fit", {})).transform(df)


def _is_vector(transformer: Any) -> bool:
    last = transformer[-1] if hasattr(transformer, "steps") else transformer
    return isinstance(last, SparkTransformer) and last._is_vector()
