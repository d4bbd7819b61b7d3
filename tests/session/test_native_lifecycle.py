"""mode="native" from start to end, each in a program of its own: starts, refusals, every ending."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

import raydp_ml
from raydp_ml.exceptions import SessionError
from raydp_ml.session.class_path import class_path
from raydp_ml.session.java import java_executable

NATIVE = """
    import json, os, signal, sys, time
    import ray
    import raydp_ml
    from raydp_ml.exceptions import ResourceError, SessionError
    from raydp_ml.session import lifecycle

    def start(**more):
        return raydp_ml.init_spark("native", mode="native", executor_memory="600m", **more)

    def eventually(condition, timeout):
        deadline = time.monotonic() + timeout
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.05)
        return condition()
"""
RAY = f"""{NATIVE}
    # (Ray would show what its Java workers say to standard error before their logs are there.)
    ray.init(num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False)
    free = ray.available_resources()

    def all_free():
        now = ray.available_resources()
        return all(now.get(name, 0) == free[name] for name in ("CPU", "memory"))
"""


@pytest.mark.slow
def test_five_sessions_in_one_process(run_program):
    program = run_program(f"""{RAY}
    for round in range(5):
        strategy = [None, "PACK"][round % 2]
        spark = start(num_executors=2, placement_group_strategy=strategy)
        assert sum(lifecycle.executor_cpus().values()) == 2
        assert spark.range(1000).repartition(3).selectExpr("sum(id) s").collect()[0].s == 499500
        raydp_ml.stop_spark()
        assert eventually(all_free, 60), ray.available_resources()
        assert lifecycle.executor_cpus() == {{}}
    assert all(g["state"] == "REMOVED" for g in ray.util.placement_group_table().values())
    print("five", flush=True)
    """)
    assert program.finish() == 0, program.stderr
    assert program.stdout == "five\n"
    assert program.stderr == ""
    program.assert_nothing_left()


@pytest.mark.slow
def test_a_fresh_process_needs_no_ray_and_can_turn_the_ui_off(run_program):
    program = run_program(f"""{NATIVE}
    spark = start(configs={{"spark.ui.enabled": False}})
    assert spark.sparkContext.uiWebUrl is None
    assert spark.range(10).repartition(2).count() == 10
    assert start(configs={{"spark.ui.enabled": False}}, timeout=5) is spark
    """)
    assert program.finish() == 0, program.stderr
    assert program.stdout == ""
    assert "Traceback" not in program.stderr
    program.assert_nothing_left()


@pytest.mark.slow
def test_what_the_cluster_has_not_is_refused_in_time(run_program):
    program = run_program(f"""{RAY}
    def refused(**more):
        begin = time.monotonic()
        try:
            start(**more)
        except ResourceError as error:
            print(json.dumps([str(error), time.monotonic() - begin]))
        assert eventually(all_free, 60)

    for more in (
        dict(num_executors=100),
        dict(executor_resources={{"CPU": 1, "special": 2}}),
        dict(executor_resources={{"CPU": 1, "memory": 10**15}}),
        dict(num_executors=2, placement_group_strategy="STRICT_SPREAD"),
    ):
        refused(**more)

    class Busy:
        def ready(self):
            return True

    busy = ray.remote(num_cpus=1)(Busy).remote()
    ray.get(busy.ready.remote())
    free = {{**free, "CPU": 1}}
    for strategy in (None, "PACK"):
        refused(num_executors=2, placement_group_strategy=strategy, timeout=5)
    ray.kill(busy)
    del busy
    free["CPU"] = 2
    assert eventually(all_free, 60)
    assert start(num_executors=2).range(10).count() == 10
    """)
    assert program.finish() == 0, program.stderr
    errors = [json.loads(line) for line in program.stdout.splitlines()]
    assert len(errors) == 6
    for _, seconds in errors[:4]:
        assert seconds < 5, "what can never be is refused at once"
    assert "100 executors of {'CPU': 1, 'memory': 629145600} each" in errors[0][0]
    assert "can hold 2 of them. Its nodes: " in errors[0][0]
    assert "'special': 0" in errors[1][0]
    assert "'memory': 1000000000000000" in errors[2][0]
    assert "under placement_group_strategy='STRICT_SPREAD'" in errors[3][0]
    for text, seconds in errors[4:]:
        assert 5 <= seconds < 10
        assert "2 executors of {'CPU': 1, 'memory': 629145600} each" in text
        assert "0 of them started within timeout=5 seconds" in text
        assert "has {'CPU': 2, 'memory': " in text
        assert "Free now: {'CPU': 1, 'memory': " in text
    program.assert_nothing_left()


@pytest.mark.slow
def test_executors_that_cannot_start_are_told_of(run_program):
    program = run_program(f"""{RAY}
    begin = time.monotonic()
    try:
        start(configs={{"spark.executor.extraJavaOptions": "-XX:MaxRAMPercentage=no"}}, timeout=30)
    except ResourceError as error:
        print(json.dumps([str(error), time.monotonic() - begin]))
    assert eventually(all_free, 60), ray.available_resources()
    """)
    assert program.finish() == 0, program.stderr
    text, seconds = json.loads(program.stdout)
    assert "0 of them started within timeout=30 seconds" in text
    assert seconds < 45
    program.assert_nothing_left()


def test_the_jvm_of_an_actor_ends_at_once_and_runs_no_exit_hooks(tmp_path):
    (tmp_path / "Ends.java").write_text("""
        class Ends {
            public static void main(String[] arguments) {
                Thread hook = new Thread(() -> System.out.println("a hook"));
                Runtime.getRuntime().addShutdownHook(hook);
                Thread.currentThread().interrupt();
                System.out.println("begun");
                ml.raydp.cluster.ActorJvm.kill();
                System.out.println("still here");
            }
        }
    """)
    done = subprocess.run(
        [java_executable(), "-cp", class_path(), "Ends.java"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "begun\n"), done.stderr


@pytest.mark.slow
def test_a_session_whose_appmaster_dies_again_and_again_ends(run_program):
    program = run_program(f"""{RAY}
    import psutil

    spark = start(num_executors=1, placement_group_strategy="PACK")
    df = spark.range(3)
    job = spark.range(100, numPartitions=100).rdd.map(lambda row: (time.sleep(1), row.id)[1])
    failed = []

    def work():
        try:
            job.sum()
        except Exception as error:
            failed.append(str(error))

    import threading
    thread = threading.Thread(target=work, daemon=True)
    thread.start()

    def masters():
        mark = f"={{spark.sparkContext.applicationId}}-appmaster"
        java = [p for p in psutil.process_iter(["name", "cmdline"]) if p.info["name"] == "java"]
        return [p for p in java if mark in " ".join(p.info["cmdline"] or [])]

    def executors():
        return sum(lifecycle.executor_cpus().values())

    for _ in range(4):
        assert eventually(lambda: executors() == 1, 60)
        (master,) = masters()
        master.kill()
        assert eventually(lambda: executors() == 0, 60)
    thread.join(30)
    assert not thread.is_alive()
    assert "The AppMaster has died 4 times within an hour" in failed[0], failed
    assert eventually(all_free, 60), ray.available_resources()
    try:
        raydp_ml.from_spark(df)
    except SessionError as error:
        print(error)
    again = start(num_executors=1)
    assert again is not spark and again.range(3).count() == 3
    """)
    assert program.finish() == 0, program.stderr
    assert "was stopped" in program.stdout
    program.assert_nothing_left()


def test_more_executors_than_dynamic_allocation_allows_are_refused_at_once():
    configs = {"spark.dynamicAllocation.enabled": True, "spark.dynamicAllocation.maxExecutors": 2}
    with pytest.raises(SessionError, match=r"maxExecutors' to 2, fewer than num_executors=3"):
        raydp_ml.init_spark(mode="native", num_executors=3, configs=configs)


@pytest.mark.slow
def test_a_cluster_that_was_started_with_ray_start(run_program, tmp_path):
    """Token authentication is on; what the actors hold is what the state API shows."""
    program = run_program(f"""{NATIVE}
    import subprocess
    from ray.util.state import list_actors

    command = [sys.executable, "-m", "ray.scripts.scripts"]
    folder = os.environ["RAY_TMPDIR"]
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # A home of its own, for a token of its own.
    os.environ["HOME"] = folder
    subprocess.run([*command, "get-auth-token", "--generate"], check=True, **quiet)
    # (`ray stop` would end every Ray of the machine: with --block, the command ends its own.)
    head = subprocess.Popen(
        [*command, "start", "--head", "--block", "--num-cpus=3", "--port=0", "--dashboard-port=0",
         "--include-dashboard=true", '--resources={{"special": 4}}', f"--temp-dir={{folder}}/ray"],
        **quiet,
    )
    try:
        assert eventually(lambda: os.path.exists(f"{{folder}}/ray/ray_current_cluster"), 60)
        ray.init(address="auto", logging_level="error")
        assert os.environ.get("RAY_AUTH_MODE") == "token"
        spark = start(num_executors=2, executor_resources={{"CPU": 0.5, "special": 1}})
        alive = [a for a in list_actors(detail=True) if a.state == "ALIVE"]
        print(json.dumps([[a.class_name, a.pid, a.required_resources] for a in alive]))
        names = {{a.pid: open(f"/proc/{{a.pid}}/comm").read().strip() for a in alive}}
        assert set(names.values()) == {{"java"}}, names
        raydp_ml.stop_spark()
        assert ray.is_initialized()
        gone = lambda: not [a for a in list_actors() if a.state == "ALIVE"]
        assert eventually(gone, 60)
        ray.shutdown()
    finally:
        head.terminate()
        head.wait(30)
    """)
    assert program.finish() == 0, program.stderr
    actors = json.loads(program.stdout)
    held = {"CPU": 0.5, "special": 1, "memory": 600 * 1024**2}
    assert sorted(name.rsplit(".", 1)[1] for name, _, _ in actors) == [
        "AppMaster",
        "ExecutorActor",
        "ExecutorActor",
    ]
    assert [resources for name, _, resources in actors if "Executor" in name] == [held, held]


@pytest.mark.slow
def test_dynamic_allocation(run_program):
    program = run_program(f"""{RAY}
    spark = start(configs={{
        "spark.dynamicAllocation.enabled": True,
        "spark.dynamicAllocation.minExecutors": 0,
        "spark.dynamicAllocation.maxExecutors": 2,
        "spark.dynamicAllocation.executorIdleTimeout": "2s",
        "spark.dynamicAllocation.schedulerBacklogTimeout": "1s",
    }})

    def executors():
        return sum(lifecycle.executor_cpus().values())

    assert executors() == 1
    for _ in range(2):
        assert eventually(lambda: executors() == 0, 60)
        assert eventually(all_free, 60)
        slow = spark.range(60, numPartitions=12).rdd.map(lambda row: (time.sleep(0.2), row.id)[1])
        assert slow.sum() == 1770
        assert executors() == 2
        # What a shuffle left behind keeps its executors; here is none.
    """)
    assert program.finish() == 0, program.stderr
    program.assert_nothing_left()


ENDINGS = ("exit", "exception", "SIGINT", "SIGKILL")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_programs_that_end_without_stop(run_program):
    # What a race leaves behind is seen in one of many: RAYDP_ML_ENDINGS=20 runs more of them.
    for round in range(int(os.environ.get("RAYDP_ML_ENDINGS", "1"))):
        program = run_program(f"""{NATIVE}
    spark = start(num_executors=1)
    assert spark.range(100).repartition(2).count() == 100
    print("up", flush=True)
    """)
        assert program.finish() == 0, (round, program.stderr)
        assert program.stdout == "up\n"
        program.assert_nothing_left()


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_endings_in_the_middle_of_a_job(run_program, ending):
    program = run_program(f"""{RAY}
    import threading
    spark = start(num_executors=2)
    job = spark.range(1000, numPartitions=100).rdd.map(lambda row: (time.sleep(0.1), row.id)[1])
    threading.Thread(target=job.sum, daemon=True).start()
    time.sleep(2)
    print("busy", flush=True)
    if {ending!r} == "exception":
        raise RuntimeError("the user's own error")
    if {ending!r} != "exit":
        time.sleep(300)
    """)
    program.wait_for("busy")
    if ending.startswith("SIG"):
        program.process.send_signal(getattr(signal, ending))
    status = program.finish()
    if ending == "exit":
        assert status == 0, program.stderr
    elif ending == "exception":
        assert status == 1
        assert "the user's own error" in program.stderr
    else:
        assert status != 0
    program.assert_nothing_left()
