"""`PCA`, by the exact covariance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import decomposition
from sklearn.decomposition._pca import _infer_dimension
from sklearn.utils.extmath import svd_flip

from raydp_ml.decomposition._linear import LinearTransformer
from raydp_ml.exchange.columns import ColumnRoles
from raydp_ml.spark_jobs.covariance import co_moments

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class PCA(LinearTransformer, decomposition.PCA):
    """Principal component analysis.

    Parameters, attributes and results are scikit-learn's; see `sklearn.decomposition.PCA`.

    Notes
    -----
    In Spark, one job computes the covariance, whatever ``svd_solver`` says, and the driver its
    eigenvectors: they are exact. The solver decides only which numbers of components are possible,
    as in memory. Missing values are refused in ``fit``, and fail the query of ``transform`` that
    meets one. The outputs stand where the first feature stood.

    Examples
    --------
    >>> from raydp_ml.decomposition import PCA
    >>> PCA(1).fit([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]]).explained_variance_ratio_
    array([1.])
    """

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        rows, self.mean_, products = co_moments(df, roles.feature_names)
        least = min(rows, len(roles.features))
        self._fit_svd_solver = self._solver(rows, len(roles.features))
        wanted = self._checked_components(rows, len(roles.features))
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

    def _solver(self, rows: int, width: int) -> str:
        """Name the solver that scikit-learn would choose."""
        if self.svd_solver != "auto":
            return str(self.svd_solver)
        if width <= 1000 and rows >= 10 * width:
            return "covariance_eigh"
        if max(rows, width) <= 500 or self.n_components == "mle":
            return "full"
        wanted = min(rows, width) if self.n_components is None else self.n_components
        return "randomized" if 1 <= wanted < 0.8 * min(rows, width) else "full"

    def _checked_components(self, rows: int, width: int) -> Any:
        """Return the number of components that is asked for, if the solver allows it."""
        least, solver, wanted = min(rows, width), self._fit_svd_solver, self.n_components
        if wanted is None:
            return least - 1 if solver == "arpack" else least
        if solver in {"full", "covariance_eigh"}:
            if wanted == "mle":
                if rows < width:
                    raise ValueError(
                        "n_components='mle' is only supported if n_samples >= n_features"
                    )
            elif not 0 <= wanted <= least:
                raise ValueError(
                    f"n_components={wanted} must be between 0 and min(n_samples, n_features)="
                    f"{least} with svd_solver={solver!r}"
                )
            return wanted
        if isinstance(wanted, str):
            raise ValueError(
                f"n_components={wanted!r} cannot be a string with svd_solver={solver!r}"
            )
        if not 1 <= wanted <= least:
            raise ValueError(
                f"n_components={wanted} must be between 1 and min(n_samples, n_features)={least} "
                f"with svd_solver={solver!r}"
            )
        if solver == "arpack" and wanted == least:
            raise ValueError(
                f"n_components={wanted} must be strictly less than min(n_samples, n_features)="
                f"{least} with svd_solver='arpack'"
            )
        return wanted

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
