"""Processes that end with their owner, however it ends."""

from __future__ import annotations

import signal

import pytest

from tests.session.conftest import eventually, is_alive

# A program that, like a Spark Worker, starts a child in its own process group.
TREE = "sleep 1000 & echo $! > child; exec sleep 1000"

OWNER = f"""
    import os, sys, tempfile, time
    from raydp_ml.session.guard import OwnedProcess

    folder = tempfile.mkdtemp()
    owned = OwnedProcess(
        ["/bin/sh", "-c", {TREE!r}], env=os.environ, folder=folder, log_file=f"{{folder}}/log"
    )
    while not os.path.exists(f"{{folder}}/child") or not open(f"{{folder}}/child").read():
        time.sleep(0.01)
    print("pids", owned.pid, open(f"{{folder}}/child").read(), "end")
    assert owned.is_running()
"""


def pids(program):
    program.wait_for("end")
    return [int(pid) for pid in program.stdout.split()[1:3]]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["stop", "return", "exception", "kill -9"])
def test_the_whole_group_and_its_folder_end_with_the_owner(run_program, ending):
    last = {
        "stop": "owned.stop(); assert not owned.is_running(); assert not os.path.exists(folder)",
        "return": "",
        "exception": "raise ValueError('mine')",
        "kill -9": "time.sleep(1000)",
    }
    program = run_program(f"{OWNER}\n    {last[ending]}\n    print('done')")
    processes = pids(program)
    if ending == "kill -9":
        assert all(map(is_alive, processes))
        program.process.send_signal(signal.SIGKILL)
    status = program.finish()
    assert status == {"stop": 0, "return": 0, "exception": 1, "kill -9": -9}[ending], program.stderr
    assert eventually(lambda: not any(map(is_alive, processes)), 60)
    program.assert_nothing_left()


def test_a_program_that_ends_by_itself_is_noticed(run_program):
    program = run_program("""
        import os, tempfile, time
        from raydp_ml.session.guard import OwnedProcess

        folder = tempfile.mkdtemp()
        owned = OwnedProcess(
            ["/bin/echo", "hello"], env=os.environ, folder=folder, log_file=f"{folder}/log"
        )
        while owned.is_running():
            time.sleep(0.01)
        print(open(f"{folder}/log").read())
        owned.stop()
    """)
    assert program.finish() == 0, program.stderr
    assert program.stdout.strip() == "hello"
    program.assert_nothing_left()


def test_one_that_ignores_the_request_is_killed(run_program):
    program = run_program("""
        import os, tempfile, time
        from raydp_ml.session.guard import OwnedProcess

        folder = tempfile.mkdtemp()
        owned = OwnedProcess(
            ["/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"],
            env=os.environ, folder=folder, log_file=f"{folder}/log",
        )
        while not open(f"{folder}/log").read():
            time.sleep(0.01)
        owned.stop()
        assert not owned.is_running()
    """)
    assert program.finish() == 0, program.stderr
    program.assert_nothing_left()
