"""Random draws as SQL: each depends on a row's keys, a seed and a name, and on nothing else.

Spark's own ``rand(seed)`` depends on the partition that a row is in; a hash of the keys does not,
so that a data set is the same on any cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_random_state

from raydp_ml.spark_jobs.expressions import array_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_MAX_SEED = 2**31 - 1


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """Draw the seed of a data set from scikit-learn's kind of random state."""
    return int(check_random_state(random_state).randint(_MAX_SEED))


@dataclass(frozen=True)
class Draws:
    """Draws for the rows that `keys`, columns of integers, identify."""

    keys: tuple[str, ...]
    seed: int

    def uniform(self, name: str) -> str:
        """Draw from (0, 1), with 52 random bits: neither end occurs."""
        bits = f"xxhash64({', '.join(self.keys)}, {self.seed}, '{name}')"
        return f"((shiftrightunsigned({bits}, 12) + 0.5D) / {2.0**52!r}D)"

    def normal(self, name: str) -> str:
        """Draw from the standard normal distribution (Box and Muller 1958)."""
        radius = f"sqrt(-2 * ln({self.uniform(f'{name} radius')}))"
        return f"({radius} * cos(2 * pi() * {self.uniform(f'{name} angle')}))"

    def happens(self, name: str, probability: float) -> str:
        """Draw true with a probability."""
        return f"({self.uniform(name)} < {probability!r}D)"

    def index(self, name: str, weights: ArrayLike, row: str = "0") -> str:
        """Draw an index from 0 with probabilities in proportion to `weights`.

        A table of weights has a line for each value of the SQL `row`. Walker's alias method takes
        the same time for any number of weights.
        """
        table = np.atleast_2d(np.asarray(weights, dtype=float))
        width = table.shape[1]
        accept, alias = zip(*(alias_table(line) for line in table), strict=True)
        slot = f"int(floor({width} * {self.uniform(f'{name} slot')}))"
        at = f"(({row}) * {width} + {slot})"
        kept = f"{self.uniform(f'{name} kept')} < {array_of(np.concatenate(accept))}[{at}]"
        return f"if({kept}, {slot}, int({array_of(np.concatenate(alias))}[{at}]))"


def alias_table(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split `weights` into equal slots, each of at most two indices (Walker 1977, Vose 1991).

    Returns
    -------
    accept : ndarray of shape (n,)
        Share of slot i that is index i's.
    alias : ndarray of shape (n,)
        Whose the rest of slot i is.
    """
    share = weights * len(weights) / weights.sum()
    accept, alias = np.ones(len(weights)), np.arange(len(weights))
    small = [int(i) for i in np.flatnonzero(share < 1)]
    large = [int(i) for i in np.flatnonzero(share >= 1)]
    while small and large:
        i, j = small.pop(), large[-1]
        accept[i], alias[i] = share[i], j
        share[j] -= 1 - share[i]
        if share[j] < 1:
            small.append(large.pop())
    return accept, alias
