"""Who starts Ray, who keeps it up, and who ends it."""

from __future__ import annotations

import pytest

from raydp_ml.exceptions import SessionError
from raydp_ml.session import ray_runtime


@pytest.mark.slow
def test_a_ray_of_ours_lives_until_stop_and_its_last_holder(run_program):
    program = run_program("""
        import gc
        import ray
        from raydp_ml.session import ray_runtime, stop_spark

        class Block:
            pass

        stop_spark()
        assert not ray.is_initialized() and not ray_runtime.is_ours()

        ray_runtime.ensure_ray()
        ray_runtime.ensure_ray()
        assert ray.is_initialized() and ray_runtime.is_ours()
        assert not ray.worker._global_node.webui_url
        first, second, third = Block(), Block(), Block()
        for block in (first, second, third):
            ray_runtime.hold(block)
        calls = []
        ray_runtime.on_stop(lambda: calls.append(("first", ray.is_initialized())))
        ray_runtime.on_stop(lambda: 1 / 0)
        ray_runtime.on_stop(lambda: calls.append(("last", ray.is_initialized())))

        stop_spark()
        assert calls == [("last", True), ("first", True)], calls
        assert ray.is_initialized(), "blocks are held"
        stop_spark()
        assert len(calls) == 2 and ray.is_initialized()
        ray_runtime.release(first)
        ray_runtime.release(first)
        assert ray.is_initialized()
        del second
        gc.collect()
        assert ray.is_initialized()
        ray_runtime.release(third)
        assert not ray.is_initialized() and not ray_runtime.is_ours()
        print("released")

        ray_runtime.on_stop(lambda: print("stopped at exit", ray.is_initialized()))
        ray_runtime.ensure_ray()
        ray_runtime.hold(third)
    """)
    assert program.finish() == 0, program.stderr
    assert program.stdout.splitlines() == ["released", "stopped at exit True"]
    # The callback that failed is reported, once; nothing else is said.
    assert program.stderr.count("Traceback") == 1
    assert "ZeroDivisionError" in program.stderr
    program.assert_nothing_left()


@pytest.mark.slow
def test_a_ray_that_was_there_stays(run_program):
    program = run_program("""
        import ray
        from raydp_ml.session import ray_runtime, stop_spark

        ray.init(num_cpus=1, include_dashboard=False)
        ray_runtime.ensure_ray()
        assert not ray_runtime.is_ours()
        stop_spark()
        assert ray.is_initialized()
        ray.shutdown()

        ray_runtime.ensure_ray()
        assert ray_runtime.is_ours()
        ray.shutdown()
        ray.init(num_cpus=1, include_dashboard=False)  # the user's again
        assert not ray_runtime.is_ours()
        stop_spark()
        print(ray.cluster_resources()["CPU"])
    """)
    assert program.finish() == 0, program.stderr
    assert program.stdout.strip() == "1.0"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["local", "standalone", "native"])
def test_cleaning_up_after_the_users_own_shutdown_starts_no_ray(run_program, mode):
    program = run_program(f"""
        mode = {mode!r}
        import ray
        import raydp_ml
        from raydp_ml.training.gang.actors import actor_gang
        from raydp_ml.xgboost import XGBRegressor

        ray.init(num_cpus=2, include_dashboard=False)
        spark = raydp_ml.init_spark(
            mode=mode, driver_memory="1g", executor_resources={{"CPU": 1}}
        )
        df = spark.range(100).selectExpr("id x", "id * 2.0 y")
        freed, kept = raydp_ml.from_spark(df), raydp_ml.from_spark(df)
        assert raydp_ml.to_spark(kept).count() == raydp_ml.to_spark(freed).count() == 100
        XGBRegressor(n_estimators=2, num_workers=1).fit(df, "y")  # leaves a warm worker
        with actor_gang(1):
            ray.shutdown()
        assert not ray.is_initialized(), "the end of a gang"
        freed.free()
        assert not ray.is_initialized(), "free"
        try:
            kept.to_arrow()
        except raydp_ml.exceptions.DataLostError as error:
            print(error)
        assert not ray.is_initialized(), "to_arrow"
        raydp_ml.stop_spark()
        assert not ray.is_initialized(), "stop_spark"
        print("stopped")
    """)
    assert program.finish() == 0, program.stderr
    lost, stopped = program.stdout.splitlines()
    assert lost.startswith("The Ray that held these Blocks was shut down")
    assert stopped == "stopped"
    assert "Traceback" not in program.stderr
    program.assert_nothing_left()


SLOW_RAYLET = """
    import contextlib
    import os
    import signal
    import sys
    import threading
    import time

    import psutil
    import raydp_ml

    # A machine on which Ray's node manager gets no CPU: the one that starts first, or each.
    stopped = []

    def stop_raylet():
        while len(stopped) < {times}:
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):  # one that ended meanwhile
                    if process.pid not in stopped and process.name() == "raylet":
                        process.suspend()
                        stopped.append(process.pid)
            time.sleep(0.01)

    threading.Thread(target=stop_raylet, daemon=True).start()
    try:
        spark = raydp_ml.init_spark(driver_memory="1g", timeout={timeout})
        print(spark.range(3).count())
    except raydp_ml.exceptions.ResourceError as error:
        print(error)
    print("left", sum(psutil.pid_exists(pid) for pid in stopped))
"""


@pytest.mark.slow
def test_a_ray_that_starts_slowly_is_started_again(run_program):
    program = run_program(SLOW_RAYLET.format(times=1, timeout=120))
    assert program.finish() == 0, program.stderr
    assert program.stdout.splitlines() == ["3", "left 0"]
    assert "raydp_ml tries again" in program.stderr
    program.assert_nothing_left()


@pytest.mark.slow
def test_a_ray_that_does_not_start_is_an_error_within_the_timeout(run_program):
    program = run_program(SLOW_RAYLET.format(times=9, timeout=5))
    assert program.finish() == 0, program.stderr
    said, left = program.stdout.splitlines()
    assert said.startswith("Ray did not start on this machine within ")
    assert "(timeout=5)" in said
    assert left == "left 0"
    program.assert_nothing_left()


def test_a_temporary_folder_where_no_worker_starts(run_program, tmp_path):
    """Ray's workers refuse it as they start, and ``ray.init`` would wait for them for ever."""
    program = run_program(f"""
        import os
        os.environ["VIRTUAL_ENV"] = {str(tmp_path)!r}
        os.environ["RAY_TMPDIR"] = {str(tmp_path / "tmp")!r}
        import raydp_ml
        try:
            raydp_ml.init_spark()
        except raydp_ml.exceptions.SessionError as error:
            print(error)
    """)
    assert program.finish(60) == 0, program.stderr
    assert f"RAY_TMPDIR, which is {str(tmp_path / 'tmp')!r}" in program.stdout
    assert "Set RAY_TMPDIR to a folder elsewhere" in program.stdout
    program.assert_nothing_left()


def test_a_client_address_is_refused_before_connecting(run_program):
    program = run_program("""
        import os
        os.environ["RAY_ADDRESS"] = "ray://10.255.255.1:10001"
        import raydp_ml
        try:
            raydp_ml.init_spark()
        except raydp_ml.exceptions.SessionError as error:
            print(error)
    """)
    assert program.finish(60) == 0, program.stderr
    assert "RAY_ADDRESS is 'ray://10.255.255.1:10001', a client connection" in program.stdout
    assert "ray.init(address='auto')" in program.stdout


def test_a_client_connection_is_refused(monkeypatch):
    from ray.util.client import ray as client

    monkeypatch.setattr(client, "is_connected", lambda: True)
    with pytest.raises(SessionError, match=r"connected as a client \(ray://\).*one of its nodes"):
        ray_runtime.ensure_ray()
