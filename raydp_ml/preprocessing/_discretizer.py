"""`KBinsDiscretizer`: uniform bins, and bins of exact quantiles."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sklearn import preprocessing

from raydp_ml.exchange.columns import Column, ColumnRoles
from raydp_ml.spark_jobs import vectors
from raydp_ml.spark_jobs.expressions import array_of, helper, number, position, when_held
from raydp_ml.spark_jobs.moments import moments
from raydp_ml.spark_jobs.quantiles import quantiles, weighted_quantiles
from raydp_ml.transformers.base import InvertibleTransformer, WeightedTransformer
from raydp_ml.transformers.precision import common_dtype

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_MOST_BINS = 1_000_000


class KBinsDiscretizer(InvertibleTransformer, WeightedTransformer, preprocessing.KBinsDiscretizer):
    """Put each feature's values into bins.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.preprocessing.KBinsDiscretizer`.

    Notes
    -----
    In Spark, the bins come of all rows: ``subsample`` has no effect, as if it were None. With
    ``encode="onehot"``, which is sparse, the output is one vector column ``kbinsdiscretizer``.
    ``fit`` refuses missing values, and of ``transform`` the query that meets one fails. Columns
    that are all of single precision have edges of it, as in memory. The strategy "kmeans" is for
    data in memory only.

    Examples
    --------
    >>> from raydp_ml.preprocessing import KBinsDiscretizer
    >>> bins = KBinsDiscretizer(2, encode="ordinal", strategy="uniform")
    >>> bins.fit_transform([[0.0], [1.0], [4.0]])
    array([[0.],
           [0.],
           [1.]])
    """

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        names, weight = roles.feature_names, roles.sample_weight
        if self.strategy == "kmeans":
            raise ValueError(
                "KBinsDiscretizer has no strategy='kmeans' for a Spark DataFrame. Use "
                "strategy='uniform' or 'quantile'."
            )
        methods = ("averaged_inverted_cdf", "inverted_cdf")
        by_weight = self.strategy == "quantile" and weight is not None
        if by_weight and self.quantile_method not in methods:
            raise ValueError(
                "When fitting with strategy='quantile' and sample weights, quantile_method should "
                f"either be set to '{methods[0]}' or '{methods[1]}', got "
                f"quantile_method='{self.quantile_method}' instead."
            )
        bins = self._validate_n_bins(len(names)).copy()
        if bins.max() > _MOST_BINS:
            raise ValueError(
                f"n_bins={bins.max()} is more than the {_MOST_BINS:,} whose edges are found on a "
                "Spark DataFrame. Take fewer."
            )
        found = moments(df, names, weight=weight, allow_missing=False)
        edges = self._edges(df, roles, found, bins)
        for index, edge in enumerate(edges):
            if found["low"][index] == found["high"][index]:
                warnings.warn(
                    f"Feature {index} is constant and will be replaced with 0.", stacklevel=2
                )
                edges[index], bins[index] = np.array([-np.inf, np.inf]), 1
            elif self.strategy == "quantile":
                # scikit-learn's own bound for a bin that is too narrow.
                edges[index] = edge[np.ediff1d(edge, to_begin=np.inf) > 1e-8]
                if len(edges[index]) - 1 != bins[index]:
                    warnings.warn(
                        "Bins whose width are too small (i.e., <= 1e-8) in feature "
                        f"{index} are removed. Consider decreasing the number of bins.",
                        stacklevel=2,
                    )
                    bins[index] = len(edges[index]) - 1
        self.bin_edges_ = np.empty(len(names), dtype=object)
        self.bin_edges_[:] = edges
        self.n_bins_ = bins
        if "onehot" in self.encode:
            self._encoder = preprocessing.OneHotEncoder(
                categories=[np.arange(count) for count in bins],
                sparse_output=self.encode == "onehot",
                dtype=self.dtype or np.float64,
            ).fit(np.zeros((1, len(bins))))
        elif hasattr(self, "_encoder"):
            del self._encoder

    def _edges(
        self, df: DataFrame, roles: ColumnRoles, found: dict[str, np.ndarray], bins: np.ndarray
    ) -> list[np.ndarray]:
        names, weight = roles.feature_names, roles.sample_weight
        if self.strategy == "quantile":
            levels = [np.linspace(0, 100, count + 1) / 100 for count in bins]
            if weight is None:
                return quantiles(df, names, found["count"], levels, self.quantile_method)
            average = self.quantile_method == "averaged_inverted_cdf"
            return weighted_quantiles(df, names, weight, levels, average=average)
        dtype = common_dtype(roles.features)
        ends = zip(found["low"].astype(dtype), found["high"].astype(dtype), bins, strict=True)
        return [np.linspace(low, high, count + 1) for low, high, count in ends]

    def _is_vector(self) -> bool:
        return self.encode == "onehot"

    def _inputs(self, columns: Sequence[Column]) -> list[str]:
        values = super()._inputs(columns)
        if self.dtype == np.float32:
            return [f"cast(cast({x} as float) as double)" for x in values]
        return values

    def _helpers(self, inputs: Sequence[str]) -> list[list[str]]:
        pairs = zip(inputs, self.bin_edges_, strict=True)
        return [[position(x, edges[1:-1]) for x, edges in pairs]]

    def _vector(self, inputs: Sequence[str]) -> str:
        offsets = np.cumsum([0, *self.n_bins_])
        places = [f"{helper(i)} + {offsets[i]}" for i in range(len(inputs))]
        return vectors.sparse_ones(offsets[-1], places)

    def _expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        if self.encode == "ordinal":
            return [[f"cast({helper(i)} as double)"] for i in range(len(inputs))]
        return [
            [f"if({helper(i)} = {j}, 1.0D, 0.0D)" for j in range(count)]
            for i, count in enumerate(self.n_bins_)
        ]

    def _inverse_expressions(self, inputs: Sequence[str]) -> list[list[str]]:
        centers = [(edges[1:] + edges[:-1]) * 0.5 for edges in self.bin_edges_]
        if self.encode == "ordinal":
            return [
                [when_held(x, f"element_at({array_of(c)}, cast({x} as int) + 1)")]
                for x, c in zip(inputs, centers, strict=True)
            ]
        made, first = [], 0
        for middle in centers:
            ones = inputs[first : first + len(middle)]
            cases = "".join(
                f" when {x} = 1 then {number(c)}" for x, c in zip(ones, middle, strict=True)
            )
            made += [[f"case{cases} end"], *([] for _ in ones[1:])]
            first += len(middle)
        return made
