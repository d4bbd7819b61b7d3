"""One Ray cluster for the whole run, one Spark session per mode, and a check for what is left."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from pathlib import Path

import hypothesis
import psutil
import pytest

from benchmarks.session import ensure_class_archive
from tests.connect_server import connect_session, make_columns_of

# Spark's Python workers must be this interpreter also where no environment is activated.
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

# A JVM that lives for minutes spends more on compiling well than the compiled code gives back.
QUICK_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
os.environ.setdefault("SPARK_SUBMIT_OPTS", QUICK_JVM)

QUICK_SPARK = {
    "spark.sql.shuffle.partitions": "4",
    "spark.python.daemon.module": "tests.python_daemon",
    "spark.executorEnv.PYTHONPATH": str(Path(__file__).parents[1]),
}

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would the programs
# that they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A process that has to wait for its turn is no slow example.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

NUM_CPUS = 2
BEGUN = time.monotonic()


@pytest.fixture(scope="session")
def ray_cluster():
    """Ray with as many CPUs as the smallest machine that the tests are meant for."""
    import ray

    ray.init(num_cpus=NUM_CPUS, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()
    left = [p for p in psutil.process_iter(["ppid"]) if p.info["ppid"] == os.getpid()]
    _, alive = psutil.wait_procs(left, timeout=30)
    assert not alive, f"The tests left processes behind: {alive}"


@pytest.fixture(scope="session")
def spark(request, ray_cluster):
    """A SparkSession in the test's mode: ``local``, ``standalone``, or the user's ``own``.

    That of ``connect`` is one of a Spark Connect server, in a process of its own.

    Session-scoped and parametrised: pytest runs the tests of one mode together. The session of the
    tests before goes on until another mode is asked for; that of a test of ``none`` has ended, so
    that no executor holds Ray's CPUs.
    """
    import raydp_ml

    mode = request.param
    if mode == "none":
        yield None
    elif mode == "own":
        from pyspark.sql import SparkSession

        session = (
            SparkSession.builder.master("local[2]")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.memory", "4g")
            .config(map=QUICK_SPARK)
            .getOrCreate()
        )
        session.sparkContext.setLogLevel("ERROR")
        yield session
        _end_own(session)
        raydp_ml.stop_spark()
    elif mode == "connect":
        with connect_session(QUICK_SPARK) as session:
            yield session
        raydp_ml.stop_spark()
    else:
        yield raydp_ml.init_spark(
            "tests",
            mode=mode,
            num_executors=2,
            driver_memory="3g",
            configs={"spark.ui.showConsoleProgress": "false", **QUICK_SPARK},
        )
        raydp_ml.stop_spark()


def _end_own(session):
    """Stop a session and its JVM, so that the next mode starts as in a fresh process."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    session.stop()
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait(timeout=60)
    SparkContext._gateway = SparkContext._jvm = None


@pytest.fixture(scope="module")
def one_thread():
    """Let torch use one thread in this process: several are slower on small networks."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def at_once(monkeypatch):
    """Progress bars from the first moment, as those of long work."""
    monkeypatch.setattr("raydp_ml.bars._DELAY_SECONDS", 0.0)


@pytest.fixture
def close_figures():
    """Close what a test has drawn."""
    yield
    from matplotlib import pyplot as plt

    plt.close("all")


def pytest_addoption(parser):
    help_ = "run tests that use Spark in this mode only, and skip those that are of other modes"
    modes = ["local", "standalone", "native", "own", "connect", "none"]
    parser.addoption("--spark-mode", choices=modes, help=help_)
    help_ = "begin no slow test after so many minutes, so that a slow machine ends in time"
    parser.addoption("--slow-minutes", type=float, help=help_)
    help_ = "run whole grids too (marker `grid`), which take an hour"
    parser.addoption("--grids", action="store_true", help=help_)


def pytest_generate_tests(metafunc):
    if "spark" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("modes")
        modes = marker.args if marker else ("local",)
        if asked := metafunc.config.getoption("--spark-mode"):
            modes = (asked,) if marker is None or asked in marker.args else ()
        metafunc.parametrize("spark", modes, indirect=True, scope="session")


STARTS = pytest.StashKey[bool]()
SEEN = pytest.StashKey[set[str]]()
CLUSTERS = {"ray_cluster", "run_program", "spark"}
"""Fixtures that start something."""


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_itemcollected(item):
    modes = item.get_closest_marker("modes")
    asked = item.config.getoption("--spark-mode")
    if modes and not asked and params_of(item).get("spark", modes.args[0]) != modes.args[0]:
        item.add_marker("slow")  # a run of the default tests starts few sessions
    if CLUSTERS & set(item.fixturenames) or is_slow(item):
        item.add_marker("cluster")
    if item.get_closest_marker("cluster") and not is_slow(item):
        seen = item.config.stash.setdefault(SEEN, set())
        function = item.nodeid.partition("[")[0]
        if function in seen:
            item.add_marker("further")
        seen.add(function)


@pytest.fixture(autouse=True)
def starts_nothing_unmarked(request):
    """Fail a test that starts Ray or Spark without the marker `cluster`, in a run without such."""
    yield
    if not request.config.stash[STARTS]:
        assert not list(started()), "It starts Ray or Spark: give it the marker `cluster`."


def pytest_collection_finish(session):
    # Thousands of tests and the modules that they import stay: no collection looks at them again.
    gc.collect()
    gc.freeze()
    session.config.stash[STARTS] = any(item.get_closest_marker("cluster") for item in session.items)


def started():
    """What runs for this process: Ray, a JVM."""
    ray, spark = sys.modules.get("ray"), sys.modules.get("pyspark")
    if ray is not None and ray.is_initialized():
        yield "ray"
    if spark is not None and spark.SparkContext._gateway is not None:
        yield "jvm"


@pytest.hookimpl(trylast=True)  # after pytest has put the tests of one Spark mode together
def pytest_collection_modifyitems(items):
    """Put slow programs last: what `--slow-minutes` cuts off must not be what others wait for.

    Slow tests of a shared Spark session stay in their place: it lives once, for one run of tests.
    """
    items.sort(key=lambda item: is_slow(item) and "spark" not in item.fixturenames)


@pytest.hookimpl(tryfirst=True)  # before fixtures that are made of columns
def pytest_runtest_setup(item):
    make_columns_of("connect" if params_of(item).get("spark") == "connect" else "classic")
    if item.get_closest_marker("grid") and not item.config.getoption("--grids"):
        pytest.skip("of a whole grid, of which a part is run without --grids")
    minutes = item.config.getoption("--slow-minutes")
    if minutes is not None and is_slow(item) and time.monotonic() > BEGUN + 60 * minutes:
        pytest.skip(f"slow, and {minutes:g} minutes had passed (--slow-minutes)")


def params_of(item):
    return item.callspec.params if hasattr(item, "callspec") else {}


def is_slow(item):
    return item.get_closest_marker("slow") is not None


def pytest_sessionstart(session):
    """Make the archive of classes before several processes of tests leave no CPU idle for it."""
    if session.config.getoption("numprocesses", None):
        ensure_class_archive()


class FailureLog:
    """Says at once what failed: a run that is cut off has no summary."""

    def __init__(self, terminal):
        self._terminal = terminal

    def pytest_runtest_logreport(self, report):
        if report.failed or report.outcome == "rerun":
            said = report.longreprtext[-2000:]
            self._terminal.write_line(f"\n{report.nodeid} failed in {report.when}: {said}")


def pytest_terminal_summary(terminalreporter):
    """List the tests that passed at their second run only (``--reruns``): each has to be mended."""
    again = terminalreporter.stats.get("rerun", [])
    failed = {report.nodeid for report in terminalreporter.stats.get("failed", [])}
    for report in again:
        if report.nodeid not in failed:
            error = getattr(report.longrepr, "reprcrash", None)
            first = error.message.splitlines()[0] if error else report.longreprtext[-200:]
            terminalreporter.write_line(f"FLAKY: {report.nodeid}, {first}", yellow=True)


@pytest.hookimpl(trylast=True)  # after pytest's own terminal
def pytest_configure(config):
    # A process that runs a share of the tests (`-n`) has no terminal, and sends its reports.
    if terminal := config.pluginmanager.get_plugin("terminalreporter"):
        config.pluginmanager.register(FailureLog(terminal))
