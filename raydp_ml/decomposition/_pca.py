"""`PCA`, by the exact covariance."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import decomposition
from sklearn.decomposition._pca import _infer_dimension
from sklearn.utils.extmath import svd_flip

from raydp_ml.covariance import co_moments
from raydp_ml.decomposition._linear import LinearTransformer
from raydp_ml.exchange.columns import ColumnRoles


class PCA(LinearTransformer, decomposition.PCA):
    """Principal component analysis.

    Parameters, attributes and results are scikit-learn's; see `sklearn.decomposition.PCA`.

    Notes
    -----
    In Spark, one job computes the covariance, whatever ``svd_solver`` says, and the driver its
    eigenvectors. Missing values are refused in ``fit``; ``transform`` makes them missing in all
    outputs, which stand where the first feature stood.

    Examples
    --------
    >>> from raydp_ml.decomposition import PCA
    >>> PCA(1).fit([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]]).explained_variance_ratio_
    array([1.])
    """

    def _learn(self, df: Any, roles: ColumnRoles) -> None:
        rows, self.mean_, products = co_moments(df, roles.feature_names)
        least = min(rows, len(roles.features))
        wanted = least if self.n_components is None else self.n_components
        if wanted == "mle":
            if rows < len(roles.features):
                raise ValueError("n_components='mle' is only supported if n_samples >= n_features")
        elif not 0 <= wanted <= least:
            raise ValueError(
                f"n_components={wanted} must be between 0 and min(n_samples, n_features)={least} "
                "with svd_solver='covariance_eigh'"
            )
        self._fit_svd_solver = "covariance_eigh"
        with np.errstate(invalid="ignore", divide="ignore"):
            variances, vectors = np.linalg.eigh(np.nan_to_num(products / np.float64(rows - 1)))
        variances = np.maximum(variances[::-1], 0.0)[:least]
        _, components = svd_flip(None, vectors[:, ::-1].T[:least], u_based_decision=False)
        with np.errstate(invalid="ignore"):
            ratios = variances / variances.sum()
        if wanted == "mle":
            wanted = _infer_dimension(variances, rows)
        elif 0 < wanted < 1.0:
            wanted = int(np.searchsorted(np.cumsum(ratios), wanted, side="right") + 1)
        rest = variances[wanted:]
        self.noise_variance_ = rest.mean() if wanted < least else 0.0
        self.n_samples_, self.n_components_ = rows, wanted
        self.components_ = components[:wanted].copy()
        self.explained_variance_ = variances[:wanted].copy()
        self.explained_variance_ratio_ = ratios[:wanted].copy()
        self.singular_values_ = np.sqrt(variances * (rows - 1))[:wanted].copy()

    def _scales(self) -> np.ndarray:
        if not self.whiten:
            return np.ones(len(self.components_))
        return np.maximum(np.sqrt(self.explained_variance_), np.finfo(np.float64).eps)

    def _forward(self) -> tuple[np.ndarray, np.ndarray]:
        weights = self.components_ / self._scales()[:, None]
        return weights, -weights @ self.mean_

    def _backward(self) -> tuple[np.ndarray, np.ndarray]:
        scales = np.sqrt(self.explained_variance_) if self.whiten else 1.0
        return self.components_.T * scales, self.mean_
