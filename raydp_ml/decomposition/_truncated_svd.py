"""`TruncatedSVD`, by exact co-moments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn import decomposition
from sklearn.utils.extmath import svd_flip

from raydp_ml.decomposition._krylov import OVERSAMPLES, largest_eigenpairs
from raydp_ml.decomposition._linear import LinearTransformer
from raydp_ml.exchange.columns import ColumnRoles
from raydp_ml.spark_jobs.covariance import co_moments
from raydp_ml.spark_jobs.expressions import helper
from raydp_ml.spark_jobs.vector_moments import (
    check_room,
    gram_product,
    require_java,
    vector_moments,
)
from raydp_ml.transformers.vector_features import VectorFeatures, named_by_content

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_ROOM = 1 << 20
"""Numbers in a block of vectors, of which up to 60 are kept: 8 MB each."""


class TruncatedSVD(VectorFeatures, LinearTransformer, decomposition.TruncatedSVD):
    """Singular value decomposition without centring.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.decomposition.TruncatedSVD`.

    Notes
    -----
    In Spark, one job computes means and co-moments, and the driver the decomposition: it is
    exact, as scikit-learn's with ``algorithm="arpack"``, whatever ``algorithm`` says. Missing
    values are refused in ``fit``, and fail the query of ``transform`` that meets one. The outputs
    stand where the first feature stood.

    Vectors, such as those of a `OneHotEncoder`, may be among the features. The decomposition is
    then by block Lanczos, a job for each block: some five to twenty, at most 60, until the singular
    vectors are exact to 1e-12 of the largest eigenvalue.

    Examples
    --------
    >>> from raydp_ml.decomposition import TruncatedSVD
    >>> TruncatedSVD(1).fit([[3.0, 0.0], [4.0, 0.0]]).singular_values_
    array([5.])
    """

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        self._check_components(len(roles.features))
        rows, mean, products = co_moments(df, roles.feature_names)
        # A small matrix with the Gram matrix of the data, products + rows * mean * mean^T: its SVD
        # keeps the digits that eigenvectors of the Gram matrix lose to a mean far from zero.
        values, vectors = np.linalg.eigh(products)
        factor = np.vstack(
            [np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T, np.sqrt(rows) * mean]
        )
        _, singular_values, directions = np.linalg.svd(factor, full_matrices=False)
        _, self.components_ = svd_flip(
            None, directions[: self.n_components], u_based_decision=False
        )
        self.singular_values_ = singular_values[: self.n_components]
        covariance = products / rows
        self.explained_variance_ = np.einsum(
            "ki,ij,kj->k", self.components_, covariance, self.components_
        )
        with np.errstate(invalid="ignore"):
            self.explained_variance_ratio_ = self.explained_variance_ / np.trace(covariance)

    def _check_components(self, width: int) -> None:
        if width < 2:
            raise ValueError(
                f"Found {width} feature(s), while a minimum of 2 is required by TruncatedSVD."
            )
        if self.n_components > width:
            raise ValueError(f"n_components({self.n_components}) must be <= n_features({width}).")

    def _learn_vectors(self, df: DataFrame, x: str, roles: ColumnRoles) -> int:
        found = vector_moments(df, x, allow_missing=False)
        width = found["mean"].shape[1]
        self._check_components(width)
        block = min(width, self.n_components + OVERSAMPLES)
        check_room(width, block, f"n_components={self.n_components}", _ROOM)
        multiply = gram_product(df, x)
        _, directions = largest_eigenpairs(lambda Q: multiply(Q)[0], width, self.n_components)
        _, self.components_ = svd_flip(None, directions.T, u_based_decision=False)
        values = multiply(self.components_.T)[1]
        self.singular_values_ = np.sqrt(values)
        means = self.components_ @ found["mean"][0]
        self.explained_variance_ = np.maximum(values / found["total"][0, 0] - means**2, 0.0)
        with np.errstate(invalid="ignore"):
            self.explained_variance_ratio_ = self.explained_variance_ / found["var"].sum()
        return width

    def _vector_outputs(
        self, spark: SparkSession, x: str
    ) -> tuple[list[list[str]], list[tuple[str, str]]]:
        packed = np.ascontiguousarray(self.components_.T, dtype=">f8").tobytes()
        name = named_by_content("map", packed)
        count = len(self.components_)
        require_java(spark, "columns.VectorMap").register(spark, name, count, packed)
        names = [str(output) for output in self.get_feature_names_out()]
        places = [f"element_at({helper(0)}, {place})" for place in range(1, count + 1)]
        return [[f"{name}({x})"]], list(zip(names, places, strict=True))

    def _is_vector(self) -> bool:
        return False

    def _forward(self) -> tuple[np.ndarray, np.ndarray]:
        return self.components_, np.zeros(len(self.components_))

    def _backward(self) -> tuple[np.ndarray, np.ndarray]:
        return self.components_.T, np.zeros(self.components_.shape[1])
