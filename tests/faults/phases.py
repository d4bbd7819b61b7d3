"""What a fault can hit, and the faults: run by programs of their own (see test_faults.py).

Each phase is real work with a gate in its middle, in a Spark task or in a training worker: the
first process that comes there writes its number down and waits until the fault has happened. What
the phase gives is compared with what it gives without a fault.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import psutil

from tests.faults.gate import WAITS, Gate, through
from tests.faults.promises import CLOSE, EXACT
from tests.fresh_folder import MARK, marked
from tests.session.conftest import eventually

if TYPE_CHECKING:
    import ray.cluster_utils

SMALL = Path(os.environ.get("TMPDIR", "/tmp")).parent / "small"
"""A small disk, where the program was started with one."""

number_of_rows = 3000
written: Path | None = None
"""Where predictions are written; None for the folder of temporary files."""


def rows(spark, gate: Gate):
    """Rows in eight partitions, whose first batch comes to the gate."""
    df = spark.range(0, number_of_rows, 1, 8).selectExpr(
        "cast(id as double) / 3000 as a", "cast(id % 97 as double) as b", "id % 97 + id / 1e3 as y"
    )
    return df.mapInArrow(through(gate), df.schema)


def grid() -> pd.DataFrame:
    return pd.DataFrame({"a": np.linspace(0, 1, 400), "b": np.arange(400) % 97.0})


def from_spark(spark, gate):
    with raydp_ml().from_spark(rows(spark, gate)) as blocks:
        return blocks.to_arrow().to_pandas().to_numpy()


def to_spark(spark, gate):
    from raydp_ml.exchange.blocks import put_table

    table = rows(spark, Gate(None)).toArrow()
    with put_table(table, 8) as blocks:
        df = raydp_ml().to_spark(blocks, spark)
        return df.mapInArrow(through(gate), df.schema).toPandas().to_numpy()


def statistics(spark, gate):
    from raydp_ml.preprocessing import StandardScaler

    fitted = StandardScaler().fit(rows(spark, gate))
    return np.array([fitted.mean_, fitted.var_])


def xgboost_fit(spark, gate):
    from raydp_ml.xgboost import XGBRegressor
    from tests.faults.in_round import InRound

    model = XGBRegressor(n_estimators=8, max_depth=3, num_workers=2, callbacks=[InRound(gate)])
    return model.fit(rows(spark, Gate(None)), "y").predict(grid())


def torch_fit(spark, gate):
    from raydp_ml.torch import TorchRegressor
    from tests.faults.in_step import InStep

    model = TorchRegressor(InStep, module__gate=gate, max_epochs=3, num_workers=2, random_state=0)
    return model.fit(rows(spark, Gate(None)), "y").predict(grid())


def predict(spark, gate):
    from raydp_ml.xgboost import XGBRegressor

    X = grid()
    model = XGBRegressor(n_estimators=5, num_workers=0).fit(X, X["a"] + X["b"])
    with tempfile.TemporaryDirectory(dir=written) as folder:
        given = rows(spark, gate).select("a", "b")
        model.predict(given).write.parquet(f"{folder}/written")
        made = spark.read.parquet(f"{folder}/written").toPandas().sort_values(["a", "b"])
    return made.to_numpy()


def search(spark, gate):
    from raydp_ml.model_selection import GridSearchCV, KFold
    from raydp_ml.xgboost import XGBRegressor
    from tests.faults.in_round import InRound

    model = XGBRegressor(n_estimators=6, num_workers=1, callbacks=[InRound(gate)])
    cv = KFold(2, shuffle=True, random_state=0)
    found = GridSearchCV(model, {"max_depth": [1, 2]}, cv=cv, refit=False)
    return found.fit(rows(spark, Gate(None)), "y").cv_results_["mean_test_score"]


def idle(spark, gate):
    if gate.folder is not None:
        threading.Thread(target=gate, daemon=True).start()
        while not os.path.exists(f"{gate.folder}/go"):
            time.sleep(0.05)
    return from_spark(spark, Gate(None))


PHASES = {
    "from_spark": from_spark,
    "to_spark": to_spark,
    "statistics": statistics,
    "XGBoost fit": xgboost_fit,
    "torch fit": torch_fit,
    "predict": predict,
    "search": search,
    "idle": idle,
}


def kill_held(spark, held: int) -> None:
    os.kill(held, signal.SIGKILL)


def stop_held(spark, held: int) -> None:
    os.kill(held, signal.SIGSTOP)
    time.sleep(60)
    os.kill(held, signal.SIGCONT)


def kill_named(*names: str):
    """Kill one of this program's processes whose command line holds one of `names`."""

    def killed() -> bool:
        for process in ours():
            with contextlib.suppress(psutil.Error):
                if any(name in " ".join(process.cmdline()) for name in names):
                    process.kill()
                    # (psutil's wait would take a child's exit status away from its owner.)
                    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                        time.sleep(0.02)
                    return True
        return False

    def strike(spark, held: int) -> None:
        # (One that was killed in the phase before may be on its way again.)
        assert eventually(killed, 60), f"no process is named {names}"

    return strike


def ours() -> list[psutil.Process]:
    return marked(os.environ[MARK])


def fill_disk(spark, held: int):
    fill = SMALL / "fill"
    with contextlib.suppress(OSError), fill.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return fill.unlink


def fill_store(spark, held: int):
    import ray

    filling: list[ray.ObjectRef] = []
    with contextlib.suppress(ray.exceptions.OutOfDiskError):
        while True:
            filling.append(ray.put(np.zeros(1 << 19)))
    return filling.clear


def lose_node(spark, held: int) -> None:
    from raydp_ml.session.lifecycle import executor_cpus

    used = executor_cpus()
    lost = next(node for node in nodes if node.node_id in used)
    nodes.remove(lost)
    cluster.remove_node(lost)


def kill_driver(spark, held: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop_session(spark, held: int) -> None:
    raydp_ml().stop_spark()


def end_ray(spark, held: int) -> None:
    import ray

    ray.shutdown()


EVENTS = {
    "training worker killed": ("local", kill_held),
    "training worker stopped for 60 s": ("local", stop_held),
    "block server killed": ("local", kill_named("ray::BlockServer")),
    "driver's JVM killed": ("local", kill_named("org.apache.spark.deploy.SparkSubmit")),
    "stop_spark() in another thread": ("local", stop_session),
    "ray.shutdown() in another thread": ("local", end_ray),
    "disk of temporary files full": ("local", fill_disk),
    "object store and its disk full": ("local", fill_store),
    "Ray node lost": ("native", lose_node),
    "native executor killed": ("native", kill_named("-executor-")),
    "AppMaster killed": ("native", kill_named("-appmaster")),
    "standalone Worker killed": ("standalone", kill_named("deploy.worker.Worker")),
    "standalone Master killed": ("standalone", kill_named("deploy.master.Master")),
    "driver killed": ("local", kill_driver),
}


def raydp_ml():
    import raydp_ml

    return raydp_ml


def session(mode: str):
    shuffle = {"spark.sql.shuffle.partitions": "4", "spark.ui.showConsoleProgress": "false"}
    return raydp_ml().init_spark(
        "faults",
        mode=mode,
        num_executors=2,
        driver_memory="1g",
        configs=shuffle,
        placement_group_strategy="STRICT_SPREAD" if nodes else None,
    )


cluster: ray.cluster_utils.Cluster | None = None
nodes: list[ray._private.node.Node] = []
"""Those beside the driver's: one more than two executors on two nodes need."""


def add_nodes() -> None:
    while cluster is not None and len(nodes) < 2:
        nodes.append(cluster.add_node(num_cpus=2))


def start_ray(event: str) -> None:
    """Start the Ray that an event needs."""
    import ray
    from ray.cluster_utils import Cluster

    global cluster, number_of_rows
    options: dict[str, object] = {"num_cpus": 2, "include_dashboard": False}
    if event == "Ray node lost":
        cluster = Cluster(initialize_head=True, head_node_args=options)
        add_nodes()
        options = {"address": cluster.address}
    elif event == "object store and its disk full":
        number_of_rows = 300_000  # a small object needs no room in the store
        options |= {"object_store_memory": 80 << 20, "object_spilling_directory": str(SMALL)}
    ray.init(**options, log_to_driver=False, logging_level="error")


def temporary_files() -> list[str]:
    """What lies on the small disk, but torch's cache of code."""
    return [name for name in os.listdir(SMALL) if not name.startswith("torchinductor_")]


def hit(event: str, phase: str, expected: np.ndarray) -> str:
    """Run a phase through the fault; say what came of it."""
    mode, strike = EVENTS[event]
    spark = session(mode)
    folder = tempfile.mkdtemp(dir=SMALL.parent)
    gate = Gate(folder)
    struck: list[float] = []
    undo: list[Callable[[], object]] = []

    def act() -> None:
        held = gate.held()
        try:
            undo.append(strike(spark, held) or (lambda: None))
        finally:
            struck.append(time.monotonic())
            gate.open()

    acting = threading.Thread(target=act, daemon=True)
    acting.start()
    try:
        got = PHASES[phase](spark, gate)
        # Spark adds a column's numbers up in the order in which its tasks end.
        same = (
            np.allclose(got, expected, rtol=1e-12, atol=0)
            if phase == "statistics"
            else (np.array_equal(got, expected))
        )
        close = np.shape(got) == np.shape(expected) and np.allclose(got, expected, 1e-5, 1e-6)
        other = CLOSE if close else f"another result: {got - expected}"
        outcome = EXACT if same else other
    except Exception as error:
        outcome = f"{type(error).__name__}: {error}"
    acting.join(WAITS)  # the call may end before what ends it
    assert undo, f"The fault did not happen: {outcome}"
    undo[0]()
    sys.stderr.write(f"{event}, {phase}: {time.monotonic() - struck[0]:.1f} s, {outcome[:300]}\n")
    shutil.rmtree(folder, ignore_errors=True)
    return outcome


def expected_of(phase: str, mode: str, known: Path) -> np.ndarray:
    """Return what a phase gives without a fault, which programs before may have found out."""
    # It is the same in every mode.
    file = known / f"{phase}-{number_of_rows}-{len(nodes)}.npy"
    if not file.exists():
        made = np.asarray(PHASES[phase](session(mode), Gate(None)))
        with tempfile.NamedTemporaryFile(dir=known, delete=False) as new:
            np.save(new, made)
        os.rename(new.name, file)
    return np.load(file)


def main(event: str, phases: list[str], known: str) -> None:
    """Print, for each phase, what came of it, as JSON; `known` is a folder of what was found."""
    import ray

    if event == "disk of temporary files full":
        tempfile.tempdir = os.environ["TMPDIR"] = str(SMALL)
    if event == "driver killed":
        global written
        written = SMALL.parent  # the user's own, which stays
    start_ray(event)
    for number, phase in enumerate(phases):
        faulthandler.dump_traceback_later(WAITS, exit=True)
        if not ray.is_initialized():
            start_ray(event)
        add_nodes()
        if event.endswith("Master killed") and number % 3 == 0:
            raydp_ml().stop_spark()  # not for ever has one a successor
        expected = expected_of(phase, EVENTS[event][0], Path(known))
        outcome = hit(event, phase, expected)
        print(json.dumps([phase, outcome]), flush=True)
        # Whatever it was, the same process can go on.
        if not ray.is_initialized():
            raydp_ml().stop_spark()
            start_ray(event)
        again = from_spark(session(EVENTS[event][0]), Gate(None))
        assert again.shape == (number_of_rows, 3), "nothing works after it"
    faulthandler.cancel_dump_traceback_later()
    raydp_ml().stop_spark()
    ray.shutdown()
    if cluster is not None:
        cluster.shutdown()
    if event == "disk of temporary files full":
        assert eventually(lambda: not temporary_files(), 60), temporary_files()
