"""Each fault in each phase: what docs/reliability.md promises, and then the program goes on."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.faults.phases import EVENTS
from tests.faults.promises import EXACT, NOT_PROMISED, PHASES, PROMISES, table

ROOT = Path(__file__).parents[2]


DRIVER = "driver killed"
DISKS = {
    "disk of temporary files full": {"small": 64_000_000},
    "object store and its disk full": {"small": 100_000_000},
}
"""Small disks of their own, by event."""


@pytest.fixture(scope="session")
def known(tmp_path_factory):
    """A folder of what phases give without a fault, one for all processes of tests."""
    folder = tmp_path_factory.getbasetemp()
    known = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "known"
    known.mkdir(exist_ok=True)
    return known


@pytest.mark.slow
@pytest.mark.timeout(1700)
@pytest.mark.parametrize("event", [event for event in EVENTS if event != DRIVER])
def test_promises(run_program, event, known):
    promised = {
        phase: promise
        for phase, promise in PROMISES[event].items()
        if promise not in (None, NOT_PROMISED)
    }
    program = run_program(program_of(event, [*promised], known), disks=DISKS.get(event, {}))
    status = program.finish(1500)
    outcomes = dict(json.loads(line) for line in program.stdout.splitlines() if line[:2] == '["')
    assert status == 0, (outcomes, program.stderr[-3000:])
    assert list(outcomes) == list(promised)
    broken = {
        phase: (outcomes[phase][-3000:], promise)
        for phase, promise in promised.items()
        if not outcomes[phase].startswith(promise.outcomes) or promise.text not in outcomes[phase]
    }
    assert not broken
    program.assert_nothing_left()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("phase", PHASES)
def test_a_driver_that_is_killed_leaves_nothing(run_program, phase, known):
    program = run_program(program_of(DRIVER, [phase], known))
    assert program.finish(700) == -signal.SIGKILL, program.stderr[-3000:]
    program.assert_nothing_left()


def program_of(event, phases, known):
    return f"""
    import os, sys
    os.environ["PYTHONPATH"] = {str(ROOT)!r}
    sys.path.insert(0, {str(ROOT)!r})
    from tests.faults.phases import main
    main({event!r}, {phases!r}, {str(known)!r})
    """


def test_the_page_says_what_is_tested():
    assert list(PROMISES) == list(EVENTS)
    assert all(tuple(of) == PHASES for of in PROMISES.values())
    page = (ROOT / "docs" / "reliability.md").read_text()
    assert table() in page, "python -m tests.faults.promises prints the table for the page"
    assert EXACT in page
