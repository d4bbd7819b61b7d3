"""Tasks side by side: each on one worker of its own, as many at a time as there are workers."""

from __future__ import annotations

import threading
import warnings
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

from raydp_ml.exceptions import TrainingError
from raydp_ml.session.full import store_may_be_full
from raydp_ml.training.gang.failure import WorkerLostError

if TYPE_CHECKING:
    from raydp_ml.exchange.blocks import Blocks
    from raydp_ml.training.gang.actors import ActorGang
    from raydp_ml.training.gang.attempts import Workers

Result = dict[str, Any]
OnEnd = Callable[[int, Result], None]

_WAKE_SECONDS = 1.0
_ATTEMPTS = 2
"""A task whose worker is lost is tried once more."""


class Task(Protocol):
    """What a worker is to do."""

    @property
    def rows(self) -> Hashable:
        """Which rows it reads: a worker keeps those of its last task."""


class TaskQueue:
    """Tasks to do, handed out so that a worker stays with its rows as long as it can."""

    def __init__(self, tasks: Sequence[Task], on_end: OnEnd) -> None:
        self._tasks = tasks
        self._on_end = on_end
        self._todo: dict[Hashable, deque[int]] = {}
        for number, task in enumerate(tasks):
            self._todo.setdefault(task.rows, deque()).append(number)
        self._busy: Counter[Hashable] = Counter()
        self._lost: Counter[int] = Counter()
        self.results: dict[int, Result] = {}
        self._warned: dict[int, list[tuple[type[Warning], str]]] = {}
        self.error: BaseException | None = None
        self.changed = threading.Condition()

    def next(self, rows: Hashable) -> int | None:
        """Take a task of those rows, or else of the ones with most left for each worker on them."""
        with self.changed:
            if self.error is not None:
                return None
            left = {of: len(todo) / (1 + self._busy[of]) for of, todo in self._todo.items() if todo}
            if not left:
                return None
            chosen = rows if rows in left else max(left, key=lambda of: left[of])
            self._busy[chosen] += 1
            return self._todo[chosen].popleft()

    def done(self, number: int, result: Result) -> None:
        """Keep a result."""
        with self.changed:
            self._busy[self._tasks[number].rows] -= 1
            # Whoever hears of a result hears of it as the function gave it, however all ends.
            self._warned[number] = result.pop("warnings")
            if "raised" in result:
                self.error = result["raised"]
            else:
                self.results[number] = result
            self.changed.notify_all()

    def failed(self, number: int, error: BaseException) -> None:
        """Put the task of a lost worker back, once; any other error ends all."""
        with self.changed:
            rows = self._tasks[number].rows
            self._busy[rows] -= 1
            self._lost[number] += 1
            if not isinstance(error, WorkerLostError) or self._lost[number] >= _ATTEMPTS:
                self.error = error
            else:
                self._todo[rows].appendleft(number)
            self.changed.notify_all()

    def left(self) -> bool:
        """Whether a task waits for a worker."""
        with self.changed:
            return self.error is None and any(self._todo.values())

    def warn_once(self) -> None:
        """Repeat the workers' warnings, each text once."""
        given = chain.from_iterable(warned for _, warned in sorted(self._warned.items()))
        for category, text in dict.fromkeys(given):
            warnings.warn(text, category, stacklevel=2)

    def tell(self, told: int) -> int:
        """Hand results over that nobody has heard of yet, in the thread that asks for it."""
        with self.changed:
            fresh = list(self.results.items())[told:]
        for number, result in fresh:
            self._on_end(number, result)
        return told + len(fresh)


def run_tasks(
    function: Callable[[Any, Any], Result],
    shared: Any,
    tasks: Sequence[Task],
    workers: Workers,
    blocks: Blocks,
    on_end: OnEnd = lambda number, result: None,
) -> list[Result]:
    """Run ``function(shared, task)`` for each task, on actors.

    Parameters
    ----------
    function : callable
        Importable on the workers. Its result is a dict; the exception in its "raised" ends all.
    shared : object
        Goes to each worker once.
    tasks : sequence of Task
    workers : Workers
        Its count is that of the tasks at a time.
    blocks : Blocks
        Near which the workers are placed.
    on_end : callable
        Called in this thread with the number of a task and its result, as they come. A
        ``KeyboardInterrupt`` ends all workers, and passes.

    Returns
    -------
    list of dict
        The results by number.

    Raises
    ------
    ResourceError
        There is no room for the workers.
    TrainingError
        A worker was lost twice with the same task.
    Exception
        What a result has "raised".
    """
    import ray

    from raydp_ml.training.gang.actors import actor_gang

    queue, told = TaskQueue(tasks, on_end), 0
    with store_may_be_full():
        held = [ray.put(shared)]  # in a list, a reference is handed on as it is
    while queue.left():
        with actor_gang(
            workers.count,
            cpus_per_worker=workers.cpus,
            gpus_per_worker=workers.gpus,
            resources_per_worker=workers.resources,
            blocks=blocks,
        ) as gang:
            told = _with_gang(queue, (function, held), tasks, gang, told)
    queue.warn_once()
    if queue.error is not None:
        if isinstance(queue.error, WorkerLostError):
            raise TrainingError(
                f"A worker was lost {_ATTEMPTS} times with the same task. It may lack memory: "
                f"lower n_jobs. Last: {queue.error}"
            ) from queue.error
        raise queue.error
    queue.tell(told)
    return [queue.results[number] for number in range(len(tasks))]


def _with_gang(
    queue: TaskQueue, call: tuple[Any, Any], tasks: Sequence[Task], gang: ActorGang, told: int
) -> int:
    members = gang.members()
    threads = [
        threading.Thread(target=_work, args=(queue, call, tasks, member), daemon=True)
        for member in members
    ]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            with queue.changed:
                queue.changed.wait(_WAKE_SECONDS)
            told = queue.tell(told)
    except BaseException as error:  # Ctrl-C, or a callback's own
        with queue.changed:
            queue.error = error
        gang.end()
        raise
    finally:
        # The pool takes back workers that have answered.
        gang.healthy = gang.healthy and all(member.healthy for member in members)
    return told


def _work(queue: TaskQueue, call: tuple[Any, Any], tasks: Sequence[Task], gang: ActorGang) -> None:
    rows: Hashable = None
    while (number := queue.next(rows)) is not None:
        rows = tasks[number].rows
        try:
            (result,) = gang.run(_on_worker, [(*call, tasks[number])])
        except BaseException as error:
            queue.failed(number, error)
            if not gang.healthy:
                return
        else:
            queue.done(number, result)
    try:
        gang.run(_forget, [()])
    except BaseException as error:
        # It is lost, which no task needs to know.
        del error


# ------------------------------------------------------------------- on the worker

kept: dict[str, Any] = {}
"""What the tasks of a worker leave for the next one; gone at the end of all."""

_shared: dict[Any, Any] = {}


def _on_worker(function: Callable[[Any, Any], Result], held: list[Any], task: Any) -> Result:
    import ray

    (ref,) = held
    if ref not in _shared:
        _forget()
        _shared[ref] = ray.get(ref)
    # The driver repeats them, where the user's filters are, and once for each text.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function(_shared[ref], task)
    result["warnings"] = [(item.category, str(item.message)) for item in caught]
    return result


def _forget() -> None:
    _shared.clear()
    kept.clear()
