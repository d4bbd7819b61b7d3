"""How many rows go where: pure functions."""

from __future__ import annotations

import numpy as np

# Private, for its texts are those that scikit-learn's users know.
from sklearn.model_selection._split import _validate_shuffle_split


def sizes_of(
    rows: int,
    test_size: float | None,
    train_size: float | None,
    default_test_size: float | None,
) -> tuple[int, int]:
    """Return how many rows to train and to test on, as scikit-learn counts them.

    Raises
    ------
    ValueError
        For sizes that do not fit the rows.
    """
    n_train, n_test = _validate_shuffle_split(rows, test_size, train_size, default_test_size)
    return int(n_train), int(n_test)


def share_out(total: int, weights: np.ndarray) -> np.ndarray:
    """Divide a number in proportion to weights: largest remainders first.

    Parameters
    ----------
    total : int
    weights : ndarray of int, shape (n,)

    Returns
    -------
    ndarray of int, shape (n,)
        Each at most its weight where `total` is at most their sum.
    """
    # In whole numbers of any size, so that equal remainders are equal; the first of them is first.
    whole = int(weights.sum())
    exact = [divmod(total * int(weight), whole) for weight in weights]
    parts = np.array([part for part, _ in exact], dtype=np.int64)
    order = sorted(range(len(exact)), key=lambda k: -exact[k][1])
    parts[order[: total - int(parts.sum())]] += 1
    return parts


def sizes_by_class(
    per_class: np.ndarray, n_train: int, n_test: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return how many rows of each class to train and to test on.

    Raises
    ------
    ValueError
        For a class of one row, or fewer rows than classes.
    """
    if per_class.min() < 2:
        raise ValueError(
            "The least populated classes in y have only 1 member, which is too few. The minimum "
            "number of groups for any class cannot be less than 2."
        )
    for what, size in (("train_size", n_train), ("test_size", n_test)):
        if size < len(per_class):
            raise ValueError(
                f"The {what} = {size} should be greater or equal to the number of classes = "
                f"{len(per_class)}"
            )
    train = share_out(n_train, per_class)
    return train, share_out(n_test, per_class - train)
