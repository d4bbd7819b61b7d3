"""torch.distributed for a gang: where the workers meet, and sums over all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch.distributed import TCPStore

# Longest wait of a worker for the others; a batch takes far less.
TIMEOUT_SECONDS = 600.0
_MEETING_SECONDS = 60.0


@dataclass(frozen=True)
class Meeting:
    """Where the workers of a gang meet."""

    host: str
    port: int
    size: int


_stores: dict[int, TCPStore] = {}


def open_meeting(rank: int, size: int) -> Meeting | None:
    """Let rank 0 listen on a free port of its node (runs on each worker).

    The store listens from now on, so that no other process can take the port.
    """
    if rank != 0 or size == 1:
        return None
    import ray
    from torch.distributed import TCPStore

    host = ray.util.get_node_ip_address()
    # The port of an attempt that failed before is not needed any more.
    _stores.clear()
    store = TCPStore(
        host,
        0,
        is_master=True,
        wait_for_workers=False,
        timeout=timedelta(seconds=_MEETING_SECONDS),
    )
    _stores[store.port] = store
    return Meeting(host, store.port, size)


class Peers:
    """The workers of a gang, as one of them sees the others; alone without a `Meeting`."""

    def __init__(self, rank: int, size: int, device: torch.device) -> None:
        self.rank = rank
        self.size = size
        self._device = device

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over all workers of an array of float64 or int64, for each the same."""
        if self.size == 1:
            return values
        import torch
        import torch.distributed as dist

        tensor = torch.from_numpy(np.array(values)).to(self._device)
        dist.all_reduce(tensor)
        return tensor.cpu().numpy()

    def share(self, array: np.ndarray | None, rank: int) -> np.ndarray:
        """Give all workers the array of 64-bit integers of one."""
        import torch
        import torch.distributed as dist

        size = torch.tensor([0 if array is None else len(array)], device=self._device)
        dist.broadcast(size, rank)
        if array is None:
            tensor = torch.empty(int(size), dtype=torch.int64, device=self._device)
        else:
            tensor = torch.from_numpy(array.view(np.int64)).to(self._device)
        dist.broadcast(tensor, rank)
        return tensor.cpu().numpy().view(np.uint64)


@contextlib.contextmanager
def joined(meeting: Meeting | None, rank: int, device: torch.device) -> Iterator[Peers]:
    """Join the process group for the time of a ``with`` block: gloo, or nccl on GPUs.

    When one worker leaves, those that wait for it fail at once; they never wait longer than
    `TIMEOUT_SECONDS`.
    """
    if meeting is None:
        yield Peers(0, 1, device)
        return
    import torch.distributed as dist

    store = _stores.get(meeting.port) if rank == 0 else None
    if store is None:
        store = dist.TCPStore(
            meeting.host,
            meeting.port,
            is_master=False,
            timeout=timedelta(seconds=_MEETING_SECONDS),
        )
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=rank,
        world_size=meeting.size,
        timeout=timedelta(seconds=TIMEOUT_SECONDS),
    )
    try:
        yield Peers(rank, meeting.size, device)
        # A worker that left while others still talk would look like one that was lost.
        dist.barrier()
    finally:
        dist.destroy_process_group()
        _stores.pop(meeting.port, None)
