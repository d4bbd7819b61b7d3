"""How fast does ``TorchRegressor.fit`` train, beside loops by hand, skorch, Ray Train and RayDP?

All contenders train the same network of three linear layers with Adam, on the same rows, in the
same batches and epochs, with the same number of threads. The first table begins with arrays in
memory: what does the loop cost? The second begins with a cached Spark DataFrame, and a time is that
of the whole way from there to a trained network. A score on rows that none has seen stands beside
it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

import raydp_ml
from benchmarks import raydp_peer
from benchmarks.harness import Contender, Measured, Table, Target, compare
from benchmarks.options import Options
from benchmarks.spark import cached, garbage_collector, partitions, session
from benchmarks.torch_network import BATCH, FEATURES, LEARNING_RATE, network, signal
from raydp_ml.torch import TorchRegressor

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

OURS, OURS_SPARK = "TorchRegressor, in this process", "TorchRegressor.fit(spark_df)"
HAND, LOADER, SKORCH = "loop by hand", "DataLoader", "skorch"
RAY_TRAIN, RAYDP = "Ray Train", f"RayDP {raydp_peer.VERSION}"
_ROOT = Path(__file__).parent.parent
_NOTE = (
    f"{RAYDP} ran after the others, in a process and with an older Spark of its own (one executor "
    "of as many cores), by way of Parquet: on its way through the object store its AppMaster dies."
)


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Run both tables."""
    rows = options.rows_or(2_000_000, 20_000)
    epochs = 1 if options.quick else 2
    (mode,) = options.modes or ("local",)
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    with session(options, mode) as spark, _threads(options.workers):
        settle = garbage_collector(spark)
        df = cached(signal(spark, rows, 0, partitions(spark)))
        held_out = arrays(signal(spark, max(1000, rows // 20), 1000, partitions(spark)))
        about = (
            f"{rows:,} rows x {len(FEATURES)} float32, {epochs} epochs, batches of {BATCH}, "
            f"{options.workers} threads"
        )
        # Runs that take minutes in some contenders are warm after one.
        memory = _contenders(_in_memory(*arrays(df), epochs, options), held_out, rows)
        tables = [compare(f"in memory: {about}", memory, options, settle, warm_up=1)]
        spark_ways = _contenders(_from_spark(df, epochs, options), held_out, rows)
        table = replace(
            compare(f"from Spark: {about}", spark_ways, options, settle, warm_up=1), note=_NOTE
        )
        df.unpersist()
    table.rows.append(_raydp(rows, epochs, options))
    tables.append(table)
    return tables, targets(*tables)


def arrays(df: DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Collect a DataFrame as float32 arrays X of shape (n, features) and y of shape (n,)."""
    table = df.toArrow()
    X = np.column_stack([table.column(name).to_numpy() for name in FEATURES])
    return X, table.column("y").to_numpy()


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


Way = tuple[str, Callable[[], Any]]
"""A name, and what trains and returns ``predict``."""


def _in_memory(X: np.ndarray, y: np.ndarray, epochs: int, options: Options) -> list[Way]:
    def ours() -> Any:
        return _ours(0, epochs, cpus_per_worker=options.workers).fit(X, y)

    return [
        (OURS, ours),
        (HAND, lambda: by_hand(X, y, epochs)),
        (LOADER, lambda: with_loader(X, y, epochs)),
        (SKORCH, lambda: with_skorch(X, y, epochs)),
    ]


def _from_spark(df: DataFrame, epochs: int, options: Options) -> list[Way]:
    def ours() -> Any:
        return _ours(options.workers, epochs, cpus_per_worker=1).fit(df, "y")

    return [
        (OURS_SPARK, ours),
        (f"toArrow + {HAND}", lambda: by_hand(*arrays(df), epochs)),
        (f"toArrow + {LOADER}", lambda: with_loader(*arrays(df), epochs)),
        (f"toArrow + {SKORCH}", lambda: with_skorch(*arrays(df), epochs)),
        (RAY_TRAIN, lambda: with_ray_train(df, epochs, options.workers)),
    ]


def _ours(workers: int, epochs: int, **params: Any) -> TorchRegressor:
    return TorchRegressor(
        network,
        num_workers=workers,
        max_epochs=epochs,
        batch_size=BATCH,
        lr=LEARNING_RATE,
        random_state=0,
        **params,
    )


def by_hand(X: np.ndarray, y: np.ndarray, epochs: int) -> nn.Module:
    """Train as one would without any library: slices of a shuffled tensor."""
    torch.manual_seed(0)
    module = network()
    optimizer = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE)
    features, target = torch.from_numpy(X), torch.from_numpy(y)
    for _ in range(epochs):
        order = torch.randperm(len(features))
        for index in order.split(BATCH):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(module(features[index])[:, 0], target[index])
            loss.backward()
            optimizer.step()
    return module


def with_loader(X: np.ndarray, y: np.ndarray, epochs: int) -> nn.Module:
    """Train with a DataLoader over a TensorDataset."""
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    module = network()
    optimizer = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE)
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    for _ in range(epochs):
        for features, target in DataLoader(data, batch_size=BATCH, shuffle=True):
            optimizer.zero_grad()
            nn.functional.mse_loss(module(features)[:, 0], target).backward()
            optimizer.step()
    return module


def with_skorch(X: np.ndarray, y: np.ndarray, epochs: int) -> Any:
    """Train with skorch's NeuralNetRegressor."""
    from skorch import NeuralNetRegressor

    torch.manual_seed(0)
    model = NeuralNetRegressor(
        network,
        max_epochs=epochs,
        batch_size=BATCH,
        lr=LEARNING_RATE,
        optimizer=torch.optim.Adam,
        train_split=None,
        iterator_train__shuffle=True,
        verbose=0,
    )
    model.fit(X, y[:, None])
    return model.module_


def with_ray_train(df: DataFrame, epochs: int, workers: int) -> nn.Module:
    """Train with Ray Train's TorchTrainer, fed by Ray Data from our blocks."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    config = {"epochs": epochs, "batch": BATCH // workers}
    with (
        raydp_ml.from_spark(df) as blocks,
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        result = TorchTrainer(
            ray_train_loop,
            train_loop_config=config,
            datasets={"train": blocks.to_dataset()},
            # Its controller and Ray Data's tasks need CPUs as well.
            scaling_config=ScalingConfig(num_workers=workers, resources_per_worker={"CPU": 0.25}),
            run_config=RunConfig(storage_path=folder, name="benchmark"),
        ).fit()
        module = network()
        with result.checkpoint.as_directory() as saved:
            module.load_state_dict(torch.load(Path(saved) / "weights.pt", weights_only=True))
    return module


def ray_train_loop(config: dict[str, Any]) -> None:
    """The loop of one of Ray Train's workers."""
    import ray.train
    from ray.train.torch import prepare_model

    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = prepare_model(network())
    optimizer = torch.optim.Adam(module.parameters(), lr=LEARNING_RATE)
    shard = ray.train.get_dataset_shard("train")
    for _ in range(config["epochs"]):
        for batch in shard.iter_torch_batches(
            batch_size=config["batch"], local_shuffle_buffer_size=4 * config["batch"]
        ):
            features = torch.stack([batch[name] for name in FEATURES], dim=1)
            optimizer.zero_grad()
            nn.functional.mse_loss(module(features)[:, 0], batch["y"]).backward()
            optimizer.step()
    plain = getattr(module, "module", module)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(plain.state_dict(), Path(folder) / "weights.pt")
        checkpoint = None
        if ray.train.get_context().get_world_rank() == 0:
            checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report({}, checkpoint=checkpoint)


def _contenders(
    ways: list[Way], held_out: tuple[np.ndarray, np.ndarray], rows: int
) -> list[Contender]:
    X, y = held_out

    def check(model: Any) -> dict[str, Any]:
        module = getattr(model, "module_", model)
        with torch.no_grad():
            residual = y - module(torch.from_numpy(X))[:, 0].numpy()
        facts: dict[str, Any] = {"rows": rows, "held-out R²": float(1 - residual.var() / y.var())}
        if hasattr(model, "history_"):
            facts["loop rows/s"] = round(model.history_[-1]["rows_per_second"])
        return facts

    return [Contender(name, run, check) for name, run in ways]


def _raydp(rows: int, epochs: int, options: Options) -> Measured:
    """RayDP's TorchEstimator, in a process and an environment of its own; only fits are timed."""
    row = Measured(RAYDP)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "seen.json"
        given = [rows, epochs, options.workers, options.repeat, file]
        try:
            # Our own version: a plain "torch" may be gigabytes of CUDA.
            same_torch = f"torch=={torch.__version__.split('+')[0]}"
            extra = (same_torch, "torchmetrics")  # which its estimator imports
            python = raydp_peer.python(make=not options.quick, extra=extra)
            ended = subprocess.run(
                [python, "-m", "benchmarks.torch_raydp", *map(str, given)],
                cwd=_ROOT,
                # Ray Train keeps its results in ~/ray_results.
                env=raydp_peer.environment() | {"HOME": folder},
                capture_output=True,
                text=True,
                check=False,
                timeout=3600,
            )
            if not file.exists():
                said = (ended.stderr or ended.stdout).strip().splitlines()[-1:]
                row.error = f"exit status {ended.returncode}: {' '.join(said) or 'no output'}"
                return row
            seen = json.loads(file.read_text())
        except (raydp_peer.PeerError, subprocess.TimeoutExpired) as error:
            row.error = str(error)
            return row
    row.error = seen.get("error")
    row.facts = {"rows": rows} | seen.get("facts", {})
    for usage in seen.get("runs", []):
        row.add(**usage)
    return row


def targets(memory: Table, spark: Table) -> list[Target]:
    """Compare ours with each of the others."""
    found = [Target("speed in memory, of the loop by hand", memory.ratio(HAND, OURS), 0.9, True)]
    for table, ours in ((memory, OURS), (spark, OURS_SPARK)):
        for row in table.rows:
            if row.name != ours and HAND not in row.name:
                text = f"{table.title.split(':')[0]}: times as fast as {row.name}"
                found.append(Target(text, table.ratio(row.name, ours), 3, at_least=True))
    return found
