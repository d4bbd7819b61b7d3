"""mode="standalone": real Masters, Workers and executors, owned by Ray actors."""

from __future__ import annotations

import json
import signal

import psutil
import pytest

from tests.session.conftest import below, eventually, is_alive

RAY = """
    import json, os, signal, sys, time
    import ray
    import raydp_ml
    from raydp_ml.exceptions import ResourceError, SessionError
    from raydp_ml.session import lifecycle

    ray.init(num_cpus=2, include_dashboard=False, logging_level="error")
    free = ray.cluster_resources()["CPU"]

    def cpus_come_back():
        deadline = time.monotonic() + 20
        while ray.available_resources().get("CPU", 0) != free and time.monotonic() < deadline:
            time.sleep(0.05)
        return ray.available_resources().get("CPU", 0) == free
"""
TWO = """
    spark = raydp_ml.init_spark(
        "two", mode="standalone", num_executors=2, executor_memory="600m", {more}
    )
    print("up", flush=True)
"""


EXECUTOR = ".CoarseGrainedExecutorBackend"


def daemons(program, name):
    """Living JVMs of the program whose main class ends in `name`."""
    return [
        process
        for process in program.processes()
        if process.info["name"] == "java"
        and any(word.endswith(name) for word in process.info["cmdline"])
    ]


@pytest.mark.slow
def test_two_executors_from_start_to_stop(run_program):
    program = run_program(f"""{RAY}{TWO.format(more="")}
    node = ray.get_runtime_context().get_node_id()
    assert lifecycle.executor_cpus() == {{node: 2.0}}
    assert ray.available_resources().get("CPU", 0) == 0

    def where(rows):
        time.sleep(0.5)  # long enough for both executors to take a task
        environment = dict(os.environ)
        yield environment.get("RAYDP_ML_NODE_ID"), sys.executable, os.getppid()

    found = spark.sparkContext.parallelize(range(2), 2).mapPartitions(where).collect()
    assert {{row[0] for row in found}} == {{node}}, found
    assert {{row[1] for row in found}} == {{sys.executable}}, found
    assert len({{row[2] for row in found}}) == 2, "one executor each"
    assert spark.range(1000).repartition(3).selectExpr("sum(id) s").collect()[0].s == 499500
    again = raydp_ml.init_spark(
        "two", mode="standalone", num_executors=2, executor_memory="600m", timeout=5
    )
    assert again is spark
    print(spark.sparkContext.getConf().get("spark.authenticate.secret"), "secret", flush=True)
    while not os.path.exists("go"):
        time.sleep(0.05)
    raydp_ml.stop_spark()
    assert ray.is_initialized() and cpus_come_back()
    assert lifecycle.executor_cpus() == {{}}
    print("stopped", flush=True)
    while not os.path.exists("end"):
        time.sleep(0.05)
    """)
    program.wait_for("secret")
    secret = program.stdout.split()[-2]
    assert len(secret) == 64
    assert len(daemons(program, ".Master")) == 1
    assert len(daemons(program, ".Worker")) == 2
    assert len(daemons(program, EXECUTOR)) == 2
    for process in program.processes():
        assert secret not in " ".join(process.info["cmdline"])
    for path in below(program.folder / "tmp"):
        if path.is_file() and secret in path.read_text(errors="replace"):
            assert path.stat().st_mode & 0o077 == 0, path

    (program.folder / "work" / "go").touch()
    program.wait_for("stopped")
    # At once: stop_spark returns when all of it has ended.
    assert not [p for p in program.processes() if "java" in p.info["name"]]
    assert not [path for path in program.left_files() if path.startswith("tmp/")]
    (program.folder / "work" / "end").touch()
    assert program.finish() == 0, program.stderr
    assert program.stderr == ""
    (program.folder / "work" / "go").unlink()
    (program.folder / "work" / "end").unlink()
    program.assert_nothing_left()


@pytest.mark.slow
def test_what_the_cluster_cannot_hold_is_refused_at_once(run_program):
    program = run_program(f"""{RAY}
    for more in (
        dict(num_executors=100),
        dict(executor_cores=3),
        dict(executor_resources={{"CPU": 1, "special": 1}}),
        dict(num_executors=2, placement_group_strategy="STRICT_SPREAD"),
    ):
        start = time.monotonic()
        try:
            raydp_ml.init_spark(mode="standalone", **more)
        except ResourceError as error:
            print(json.dumps([str(error), time.monotonic() - start]))
        assert cpus_come_back()

    class Busy:
        def ready(self):
            return True

    busy = ray.remote(num_cpus=1)(Busy).remote()
    ray.get(busy.ready.remote())
    free = 1
    for strategy, timeout in ((None, 15), ("PACK", 2)):  # one of two starts, or neither
        start = time.monotonic()
        try:
            raydp_ml.init_spark(
                mode="standalone",
                num_executors=2,
                placement_group_strategy=strategy,
                timeout=timeout,
            )
        except ResourceError as error:
            print(json.dumps([str(error), time.monotonic() - start]))
        assert cpus_come_back()
    assert not ray.util.placement_group_table() or all(
        group["state"] == "REMOVED" for group in ray.util.placement_group_table().values()
    )
    """)
    assert program.finish() == 0, program.stderr
    errors = [json.loads(line) for line in program.stdout.splitlines()]
    texts = [text for text, _ in errors]
    assert "asked for 100 executors of {'CPU': 1, 'memory': 1073741824} each" in texts[0]
    assert "can hold 2 of them. Its nodes: " in texts[0]
    assert "has {'CPU': 2, 'memory': " in texts[0]
    assert "Ask for fewer executors" in texts[0]
    assert (
        "1 executor of {'CPU': 3, 'memory': 1073741824} each, but the Ray cluster can hold 0"
        in texts[1]
    )
    assert "'special': 0" in texts[2]
    assert "can hold 1 of them under placement_group_strategy='STRICT_SPREAD'" in texts[3]
    assert "1 of them started within timeout=15 seconds" in texts[4]
    assert "Free now: {'CPU': " in texts[4]
    assert "0 of them started within timeout=2 seconds" in texts[5]
    assert all(seconds < 5 for _, seconds in errors[:4])
    assert 15 <= errors[4][1] < 30
    assert 2 <= errors[5][1] < 10
    program.assert_nothing_left()


@pytest.mark.slow
def test_lost_daemons_come_back_and_all_end_with_the_driver(run_program):
    """Processes and their actors, killed one after the other, and executors after the Master."""
    program = run_program(f"""{RAY}{TWO.format(more="placement_group_strategy='PACK'")}
    for turn in range(4):
        while not os.path.exists(f"go{{turn}}"):
            time.sleep(0.05)
        total = spark.range(1000).repartition(3).selectExpr("sum(id) s").collect()[0].s
        print("turn", turn, total, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    """)
    program.wait_for("up")

    def lose(name, actor):
        lost = daemons(program, name)[0]
        owner = psutil.Process(lost.ppid())
        assert f"Spark{name[1:]}" in " ".join(owner.cmdline())
        executors = [p for p in daemons(program, EXECUTOR) if p.ppid() == lost.pid]
        (owner if actor else lost).kill()
        for process in (lost, *executors):
            assert eventually(lambda pid=process.pid: not is_alive(pid), 60)
        return lost.pid

    def back(name, number, pids=()):
        assert eventually(
            lambda: len({p.pid for p in daemons(program, name)} - set(pids)) == number, 120
        )

    for turn, (name, actor) in enumerate(
        [(".Worker", False), (".Worker", True), (".Master", False), (".Master", True)]
    ):
        pid = lose(name, actor)
        back(name, 2 if name == ".Worker" else 1, [pid])
        if name == ".Master":  # only one that knows the application starts executors
            for executor in daemons(program, EXECUTOR):
                executor.kill()
        back(EXECUTOR, 2)
        (program.folder / "work" / f"go{turn}").touch()
        program.wait_for(f"turn {turn} 499500")
    assert program.finish() == -signal.SIGKILL
    for turn in range(4):
        (program.folder / "work" / f"go{turn}").unlink()
    program.assert_nothing_left()


@pytest.mark.slow
def test_a_job_waits_for_lost_executors_as_long_as_the_session_did(run_program):
    """A Worker that ends again and again is left alone in the end."""
    program = run_program(f"""{RAY}
    spark = raydp_ml.init_spark(
        "one", mode="standalone", num_executors=1, executor_memory="600m", timeout=60
    )
    print("up", flush=True)
    while not os.path.exists("go"):
        time.sleep(0.05)
    try:
        spark.range(1000).repartition(3).count()
    except raydp_ml.exceptions.ResourceError as error:
        print(error)
    raydp_ml.stop_spark()
    assert cpus_come_back()
    """)
    program.wait_for("up")
    for _ in range(6):
        assert eventually(lambda: len(daemons(program, ".Worker")) == 1, 60)
        daemons(program, ".Worker")[0].kill()
        assert eventually(lambda: not daemons(program, ".Worker"), 60)
    (program.folder / "work" / "go").touch()
    assert program.finish() == 0, program.stderr
    assert "none took their place within timeout=60 seconds" in program.stdout
    assert "raydp_ml.stop_spark() and init_spark(...)" in program.stdout
    (program.folder / "work" / "go").unlink()
    program.assert_nothing_left()


@pytest.mark.slow
def test_modes_can_follow_each_other(run_program):
    program = run_program(f"""{RAY}
    for mode in ("standalone", "local", "standalone"):
        with raydp_ml.spark_session(mode, mode=mode, executor_memory="600m") as spark:
            assert spark.range(100).repartition(2).selectExpr("sum(id) s").collect()[0].s == 4950
            assert bool(lifecycle.executor_cpus()) == (mode == "standalone")
        assert cpus_come_back()
    """)
    assert program.finish() == 0, program.stderr
    assert program.stderr == ""
    program.assert_nothing_left()


@pytest.mark.slow
def test_executors_that_cannot_start_are_one_clear_error(run_program):
    program = run_program(f"""{RAY}
    try:
        raydp_ml.init_spark(
            mode="standalone",
            timeout=60,
            configs={{"spark.executor.extraJavaOptions": "-XX:MaxDirectMemorySize=nonsense"}},
        )
    except (SessionError, ResourceError) as error:
        print(error)
    assert cpus_come_back()
    """)
    assert program.finish() == 0, program.stderr
    assert "Executors of Spark fail as soon as they start. Check executor_memory" in program.stdout
    assert "Improperly specified VM option .MaxDirectMemorySize=nonsense" in program.stdout.replace(
        "'", "."
    )
    program.assert_nothing_left()


@pytest.mark.slow
def test_at_exit_nothing_is_left(run_program):
    endings = {"": 0, "raise ValueError('mine')": 1}
    programs = [run_program(f"{RAY}{TWO.format(more='')}\n    {ending}") for ending in endings]
    for program, status in zip(programs, endings.values(), strict=True):
        assert program.finish() == status
        assert program.stderr.count("Traceback") == status
        program.assert_nothing_left()


@pytest.mark.slow
def test_half_a_cpu_and_a_custom_resource(run_program):
    program = run_program("""
        import ray
        import raydp_ml
        from raydp_ml.session import lifecycle

        ray.init(num_cpus=1, resources={"special": 2}, include_dashboard=False)
        spark = raydp_ml.init_spark(
            mode="standalone",
            num_executors=2,
            executor_memory="600m",
            executor_resources={"CPU": 0.5, "special": 1},
        )
        assert list(lifecycle.executor_cpus().values()) == [1.0]
        assert ray.available_resources().get("special", 0) == 0
        assert spark.range(10).count() == 10
    """)
    assert program.finish() == 0, program.stderr
    program.assert_nothing_left()


@pytest.mark.slow
def test_executors_spread_over_nodes_and_know_theirs(run_program):
    program = run_program("""
        import os
        import time
        import ray
        import raydp_ml
        from ray.cluster_utils import Cluster
        from raydp_ml.session import lifecycle

        # (Ray's dashboard leaves a folder of its own behind.)
        head = {"num_cpus": 0, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        first, second = (cluster.add_node(num_cpus=1) for _ in range(2))
        nodes = {first.node_id, second.node_id}
        ray.init(address=cluster.address, logging_level="error")
        with raydp_ml.spark_session(
            mode="standalone",
            num_executors=2,
            executor_memory="600m",
            placement_group_strategy="STRICT_SPREAD",
        ) as spark:
            assert lifecycle.executor_cpus() == dict.fromkeys(nodes, 1.0)

            def where(rows):
                import time
                time.sleep(0.5)
                yield os.environ["RAYDP_ML_NODE_ID"]

            found = spark.sparkContext.parallelize(range(2), 2).mapPartitions(where).collect()
            assert set(found) == nodes, (found, nodes)

            cluster.remove_node(second)
            third = cluster.add_node(num_cpus=1)
            nodes = {first.node_id, third.node_id}
            until = time.monotonic() + 120
            while lifecycle.executor_cpus() != dict.fromkeys(nodes, 1.0):
                assert time.monotonic() < until, (lifecycle.executor_cpus(), nodes)
                time.sleep(0.1)
            with raydp_ml.from_spark(spark.range(5000)) as blocks:
                assert blocks.to_arrow()["id"].to_pylist() == list(range(5000))
        assert ray.is_initialized()
        ray.shutdown()
        cluster.shutdown()
    """)
    assert program.finish() == 0, program.stderr
    program.assert_nothing_left()
