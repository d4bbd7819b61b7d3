"""The checks in their order, what each needs, and the whole of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from raydp_ml.diagnosis import following, installed, machine, rays, trip
from raydp_ml.diagnosis.report import Check, Diagnosis, failure, not_tried

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SECONDS = 180.0
"""For the round trip, which takes some 20 on a machine that has nothing else to do."""

_CHECKS: dict[str, Callable[[], Check]] = {
    "python": installed.python,
    **{name: partial(installed.library, name) for name in installed.LIBRARIES},
    "java": installed.java,
    "jar": installed.jar,
    "memory": machine.memory,
    "/dev/shm": machine.shared_memory,
    "temporary files": machine.temporary_files,
    "open files": machine.open_files,
    "CPUs": machine.cpus,
    "host name": machine.host_name,
    "loopback": machine.loopback,
    "authentication": rays.authentication,
    "Ray cluster": rays.cluster,
}
_NEEDS = {"Ray cluster": ("ray", "loopback")}
# What a session of its own needs.
_TRIP_NEEDS = tuple(name for name in _CHECKS if name not in {"xgboost", "torch", "host name"})


def diagnose(*, quick: bool = False, timeout: float = SECONDS) -> Diagnosis:
    """Look for whatever keeps raydp_ml from working here, and say what to do about it.

    Versions, Java, memory, /dev/shm, temporary files, Ray and its authentication; then a round
    trip of 1,000 rows through every layer: Spark to Ray and back, `StandardScaler`,
    `XGBRegressor` on a worker, predictions on Spark, each compared with NumPy's or xgboost's own.
    With a live session (of ``init_spark`` or your own) the round trip uses it; otherwise it has
    one of its own, in another process, and leaves nothing. ``python -m raydp_ml doctor`` is the
    same in a terminal.

    Parameters
    ----------
    quick : bool, default=False
        Leave the round trip out.
    timeout : float, default=180
        Seconds for the round trip; one step of it has half of them.

    Returns
    -------
    Diagnosis
        Its text is the table; ``ok`` says whether nothing failed, and ``to_dict()`` has plain
        values.

    Raises
    ------
    sklearn.utils._param_validation.InvalidParameterError
        (a ValueError) if `timeout` is no number of seconds.

    Examples
    --------
    >>> import raydp_ml
    >>> print(raydp_ml.diagnose())  # doctest: +SKIP
    >>> raydp_ml.diagnose(quick=True)["java"].status  # doctest: +SKIP
    'ok'
    """
    is_number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if not is_number or not 0 < timeout < math.inf:
        from sklearn.utils._param_validation import InvalidParameterError

        raise InvalidParameterError(
            "The 'timeout' parameter of diagnose must be a number of seconds above 0. Got "
            f"{timeout!r} instead."
        )
    return Diagnosis(tuple(make_checks(quick=quick, timeout=timeout)))


def make_checks(*, quick: bool, timeout: float) -> Iterator[Check]:
    """Make the checks one by one; see `diagnose`."""
    failed: set[str] = set()
    for name, look in _CHECKS.items():
        needed = [need for need in _NEEDS.get(name, ()) if need in failed]
        check = not_tried(needed[0]) if needed else _guarded(look)
        if check.status in {"failure", "skipped"}:
            failed.add(name)
        yield replace(check, name=name)
    if quick:
        return
    spark = _live_spark()
    if spark is not None:
        yield from _trip_in(spark, timeout)
        return
    needed = [name for name in _TRIP_NEEDS if name in failed]
    if not needed:
        yield from following.in_process_of_its_own(timeout)
        return
    for name in (*trip.STARTS, *trip.SETTLED, trip.STOP):
        yield not_tried(", ".join(needed), name)


def _guarded(look: Callable[[], Check]) -> Check:
    """Look; that one check breaks must not hide the others."""
    try:
        return look()
    except Exception as error:
        return failure(
            f"the check itself broke: {type(error).__name__}: {error}",
            "Report it, with this table.",
        )


def _live_spark() -> SparkSession | None:
    try:
        from raydp_ml.session.lifecycle import live_spark

        return live_spark()
    except Exception:  # the libraries are broken, as the checks before have said
        return None


def _trip_in(spark: SparkSession, timeout: float) -> Iterator[Check]:
    """Make the round trip in a live session; a Ray that it had to start ends again."""
    from raydp_ml.session import ray_runtime

    had_ray = bool(ray_runtime.connection())
    hangs = False
    for check in following.in_session(spark, timeout):
        hangs = hangs or (check.status == "failure" and check.seconds is None)
        yield check
    if not had_ray and not hangs:
        ray_runtime.close()
