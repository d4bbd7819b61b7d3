"""What ``fit`` is given beside X."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raydp_ml.exchange.data_kinds import Values


@dataclass(frozen=True)
class Given:
    """Labels and the like, as the user gave them: names of columns, or a value for each row.

    Attributes
    ----------
    y, sample_weight, base_margin, group : str, array-like or None
    eval_set : object
        Evaluation sets, in one of the ways that there are.
    eval_weight, eval_margin, eval_group : sequence or None
        The weights, base margins and groups of each evaluation set.
    without : frozenset of str
        Of an evaluation set, which of the attributes above it has none of because its entry in
        the list was None: no column of its own stands in for it.
    """

    y: Values | None = None
    sample_weight: Values | None = None
    base_margin: Values | None = None
    group: Values | None = None
    eval_set: Any = None
    eval_weight: Sequence[Values | None] | None = None
    eval_margin: Sequence[Values | None] | None = None
    eval_group: Sequence[Values | None] | None = None
    without: frozenset[str] = frozenset()

    def of_each(self, sets: Sequence[object]) -> list[Given]:
        """Return what was given with each evaluation set, but its label.

        Parameters
        ----------
        sets : sequence
            The evaluation sets.

        Raises
        ------
        ValueError
            Where there are more or fewer of something than sets.
        """
        lists = {
            "sample_weight": ("sample_weight_eval_set", self.eval_weight),
            "base_margin": ("base_margin_eval_set", self.eval_margin),
            "group": ("eval_group", self.eval_group),
        }
        found: list[dict[str, Any]] = [{} for _ in sets]
        for what, (name, values) in lists.items():
            if values is None:
                continue
            if isinstance(values, str) or len(values) != len(sets):
                held = repr(values) if isinstance(values, str) else f"a list of {len(values)}"
                raise ValueError(
                    f"{name} is a list with an entry for each evaluation set, of which there are "
                    f"{len(sets)}. Got {held}. An entry of None is for a set that has none."
                )
            for of, value in zip(found, values, strict=True):
                of[what] = value
        return [
            Given(**of, without=frozenset(what for what, value in of.items() if value is None))
            for of in found
        ]
