"""Whether workers can hold their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from raydp_ml.session.memory import available_mib
from raydp_ml.training.gang.gang import Gang
from raydp_ml.training.rows.data_sets import DataSet

COPIES = 2.5
"""So many times its rows a worker may hold: the rows, and what training makes of them."""

_NEVER_MUCH = 256 << 20
"""So many bytes fit everywhere, and nobody has to be asked."""


def reads_blocks(
    wanted: bool | None,
    sets: Sequence[DataSet],
    gang: Gang,
    resources: Mapping[str, float] | None,
) -> bool:
    """Say whether the workers read their rows block by block, rather than hold them.

    Parameters
    ----------
    wanted : bool or None
        What the user says; None asks whether they fit.
    sets : sequence of DataSet
    gang : Gang
    resources : mapping of str to float or None
        As in `fits_into_memory`.
    """
    return not fits_into_memory(sets, gang, resources) if wanted is None else wanted


def fits_into_memory(
    sets: Sequence[DataSet], gang: Gang, resources: Mapping[str, float] | None
) -> bool:
    """Say whether each worker of a gang can hold its share of the rows.

    Parameters
    ----------
    sets : sequence of DataSet
    gang : Gang
    resources : mapping of str to float or None
        What each worker has of Ray; its "memory" is a limit.
    """
    if gang.in_process:
        return True  # they are in this process already
    share = COPIES * sum(data.nbytes for data in sets) / gang.size
    if share <= _NEVER_MUCH:
        return True
    room = gang.run(available_mib, [()] * gang.size)
    neighbours = Counter(gang.node_ids)
    least = min(
        mib * 2**20 / neighbours[node] for mib, node in zip(room, gang.node_ids, strict=True)
    )
    return share <= min(least, (resources or {}).get("memory", least))
