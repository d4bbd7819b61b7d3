"""The largest eigenvalues of a matrix of which only products are known."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning

__all__ = ["largest_eigenpairs"]

OVERSAMPLES = 10
"""Columns of a block beside those that are wanted (Halko, Martinsson, Tropp, 2011)."""

_PRODUCTS = 60
_TOLERANCE = 1e-12


def largest_eigenpairs(
    multiply: Callable[[np.ndarray], np.ndarray], width: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the largest eigenvalues and the eigenvectors of a positive semi-definite matrix.

    Block Lanczos with full orthogonalisation (Golub, Underwood, 1977): exact once its space is
    invariant, as it is at the latest when it is whole, and mostly much earlier.

    Parameters
    ----------
    multiply : callable
        Returns the product with a matrix of shape (width, n).
    width : int
    count : int
        At most `width`.

    Returns
    -------
    values : ndarray of shape (count,)
        The largest first.
    vectors : ndarray of shape (width, count)
    """
    # What comes of it depends on the start by no more than rounding.
    start = np.random.default_rng(0).normal(size=(width, min(width, count + OVERSAMPLES)))
    block = np.linalg.qr(start)[0]
    basis, products = block, np.empty((width, 0))
    for _ in range(_PRODUCTS):
        products = np.hstack([products, multiply(block)])
        values, weights = np.linalg.eigh(_symmetric(basis.T @ products))
        order = np.argsort(values)[::-1][:count]
        values, weights = np.maximum(values[order], 0.0), weights[:, order]
        found = basis @ weights
        errors = np.linalg.norm(products @ weights - found * values, axis=0)
        scale = values[0] if len(values) else 0.0
        block = _new_directions(products[:, -block.shape[1] :], basis, _TOLERANCE * scale)
        if errors.max() <= _TOLERANCE * scale or not block.shape[1]:
            return values, found
        basis = np.hstack([basis, block])
    warnings.warn(
        f"The singular vectors did not converge in {_PRODUCTS} passes over the data: they are "
        f"exact to {errors.max() / scale:.1e} of the largest eigenvalue.",
        ConvergenceWarning,
        stacklevel=2,
    )
    return values, found


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return (matrix + matrix.T) / 2


def _new_directions(candidates: np.ndarray, basis: np.ndarray, least: float) -> np.ndarray:
    """Return what of the candidates is not in the span of the basis, orthonormal."""
    rest = candidates
    for _ in range(2):  # Once leaves rounding errors of the parts that were taken away.
        rest = rest - basis @ (basis.T @ rest)
    left, sizes, _ = np.linalg.svd(rest, full_matrices=False)
    made = left[:, sizes > least]
    made = made - basis @ (basis.T @ made)
    return np.linalg.qr(made)[0]
