"""`TruncatedSVD`, by exact co-moments."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import decomposition
from sklearn.utils.extmath import svd_flip

from raydp_ml.covariance import co_moments
from raydp_ml.decomposition._linear import LinearTransformer
from raydp_ml.exchange.columns import ColumnRoles


class TruncatedSVD(LinearTransformer, decomposition.TruncatedSVD):
    """Singular value decomposition without centring.

    Parameters, attributes and results are scikit-learn's; see
    `sklearn.decomposition.TruncatedSVD`.

    Notes
    -----
    In Spark, one job computes means and co-moments, and the driver the decomposition: it is
    exact, as scikit-learn's with ``algorithm="arpack"``, whatever ``algorithm`` says. Missing
    values are refused in ``fit``; the outputs stand where the first feature stood.

    Examples
    --------
    >>> from raydp_ml.decomposition import TruncatedSVD
    >>> TruncatedSVD(1).fit([[3.0, 0.0], [4.0, 0.0]]).singular_values_
    array([5.])
    """

    def _learn(self, df: Any, roles: ColumnRoles) -> None:
        width = len(roles.features)
        if self.n_components > width:
            raise ValueError(f"n_components({self.n_components}) must be <= n_features({width}).")
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

    def _forward(self) -> tuple[np.ndarray, np.ndarray]:
        return self.components_, np.zeros(len(self.components_))

    def _backward(self) -> tuple[np.ndarray, np.ndarray]:
        return self.components_.T, np.zeros(self.components_.shape[1])
