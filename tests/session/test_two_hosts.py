"""Two hosts, each with its own network address, temporary folder and shared memory."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

import pytest

from tests.fresh_folder import MARK, marked
from tests.session.conftest import eventually

ROOT = Path(__file__).parents[2]
ADDRESSES = ("10.77.31.1", "10.77.31.2")
PORT = 6399
KNOWN = 8123456.789012345
"""The value of a column that must not be seen on the network."""

PROGRAM = f"""
import os, sys, threading, time
import numpy as np
import pyarrow
import ray
import xgboost
import raydp_ml
from raydp_ml.exchange import server_pool
from raydp_ml.session.lifecycle import executor_cpus
from raydp_ml.xgboost import XGBRegressor

def eventually(condition, what, timeout=180):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)

def told(*line):
    print(*line, flush=True)
    sys.stdin.readline()

def slowly(batches):
    for batch in batches:
        time.sleep(0.3)
        yield batch

def readers(batches):
    for batch in slowly(batches):
        yield pyarrow.RecordBatch.from_pydict(
            {{"host": [os.readlink("/proc/self/ns/net")], "n": [batch.num_rows]}}
        )

def attached():
    try:
        ray.init(address="{ADDRESSES[0]}:{PORT}", logging_level="error", log_to_driver=False)
    except ConnectionError:
        return False
    return True

eventually(attached, "no Ray")
spark = raydp_ml.init_spark(
    mode="native", num_executors=1, executor_memory="600m", driver_memory="600m",
    configs={{"spark.sql.shuffle.partitions": "2"}},
)
(here,) = executor_cpus()
told("one host")
df = spark.range(0, 400_000, 1, 150).selectExpr(
    "cast(id as double) a", "cast(id % 97 as double) b", "cast({KNOWN!r} as double) known",
    "cast(id % 97 + id / 4000 as double) y",
)
# Only the first host has a block server that this export knows of.
made = []
slow = df.mapInArrow(slowly, df.schema)
export = threading.Thread(target=lambda: made.append(raydp_ml.from_spark(slow)))
export.start()
scheduler = spark.sparkContext._jsc.sc()
python = spark._jvm.org.apache.spark.api.python.PythonUtils
assert scheduler.requestTotalExecutors(2, 0, python.toScalaMap({{}}))
eventually(lambda: len(executor_cpus()) == 2, "no executor on the second host")
(there,) = set(executor_cpus()) - {{here}}
assert export.is_alive(), "the executor came too late"
export.join(300)
(blocks,) = made
assert set(blocks.node_ids) == {{here}}, blocks.node_ids
rows = blocks.to_arrow().to_pandas()
assert np.array_equal(rows["a"], np.arange(4e5)) and set(rows["known"]) == {{{KNOWN!r}}}
read = raydp_ml.to_spark(blocks).mapInArrow(readers, "host string, n long")
read = read.groupBy("host").sum("n").toPandas().set_index("host")["sum(n)"]
assert read.sum() == 400_000 and read.drop(os.readlink("/proc/self/ns/net")).sum() > 0, read
(server,) = server_pool._servers.values()
told("exchanged", server.secret, spark.sparkContext._conf.get("spark.authenticate.secret"))

plain = xgboost.XGBRegressor(n_estimators=10, max_depth=3, nthread=1)
plain.fit(rows[["a", "b"]], rows["y"])
want = plain.predict(rows[["a", "b"]])
model = XGBRegressor(n_estimators=10, max_depth=3, num_workers=2).fit(df.drop("known"), "y")
got = model.predict(df).select("prediction").toPandas()["prediction"].to_numpy()
error, plain_error = (np.sqrt(np.mean((made - rows["y"]) ** 2)) for made in (got, want))
assert abs(error - plain_error) < 0.05 * plain_error, (error, plain_error)
told("fitted")  # the second host's executor is killed
eventually(lambda: there in executor_cpus(), "nothing took its place")
assert np.array_equal(raydp_ml.from_spark(df).to_arrow()["a"].to_numpy(), np.arange(4e5))
raydp_ml.stop_spark()
print("done", flush=True)
ray.shutdown()
"""


def run(*command):
    subprocess.run(command, check=True, capture_output=True, text=True)


class Hosts:
    """Two network namespaces with a cable between them."""

    def __init__(self, folder):
        self.folder = folder
        self.token = uuid.uuid4().hex
        self.names = [f"rt{uuid.uuid4().hex[:6]}" for _ in ADDRESSES]
        self.ends = [f"{name}v" for name in self.names]
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
            MARK: self.token,
            "TMPDIR": str(folder),
            "RAY_TMPDIR": str(folder),
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": uuid.uuid4().hex,
        }
        for name in self.names:
            run("ip", "netns", "add", name)
        run("ip", "link", "add", self.ends[0], "type", "veth", "peer", "name", self.ends[1])
        for name, end, address in zip(self.names, self.ends, ADDRESSES, strict=True):
            run("ip", "link", "set", end, "netns", name)
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", end)
            run("ip", "-n", name, "link", "set", end, "up")
            run("ip", "-n", name, "link", "set", "lo", "up")

    def start(self, host, *command, **streams):
        """Start a program on a host, with a temporary folder and shared memory of that host's."""
        own = f'mount -t tmpfs t {self.folder}; mount -t tmpfs -o size=2g t /dev/shm; exec "$@"'
        program = ["ip", "netns", "exec", self.names[host], "unshare", "-m", "sh", "-ec", own, "sh"]
        return subprocess.Popen(
            [*program, *command], env=self.environment, cwd=ROOT, text=True, **streams
        )

    def ray(self, host, *options):
        """Command that runs Ray on a host until it is ended."""
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
        return [*command, f"--node-ip-address={ADDRESSES[host]}", *options]

    def executors(self, host):
        """Spark's executors on a host."""
        network = os.stat(f"/run/netns/{self.names[host]}").st_ino
        return [
            process
            for process in marked(self.token)
            if process.info["name"] == "java"
            and any("-executor-" in word for word in process.info["cmdline"])
            and os.stat(f"/proc/{process.pid}/ns/net").st_ino == network
        ]

    def close(self):
        deadline = time.monotonic() + 60
        while (left := marked(self.token)) and time.monotonic() < deadline:
            for process in left:
                process.kill()
            time.sleep(0.1)
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


class Tap(threading.Thread):
    """All that goes over the cable, seen from the first host."""

    def __init__(self, hosts):
        super().__init__(daemon=True)
        self.seen = bytearray()
        self.stopped = False
        self.source = subprocess.Popen(
            [
                *("ip", "netns", "exec", hosts.names[0], sys.executable, "-c"),
                "import os, socket\n"
                "tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))\n"
                "tap.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)\n"  # SO_RCVBUFFORCE
                f"tap.bind(({hosts.ends[0]!r}, 0))\n"
                "os.write(1, b'ready')\n"
                "while True: os.write(1, tap.recv(1 << 16)[54:])\n",  # less the headers
            ],
            stdout=subprocess.PIPE,
        )
        assert self.source.stdout.read(5) == b"ready"
        self.start()

    def run(self):
        while part := self.source.stdout.read1(1 << 20):
            self.seen += part

    def stop(self):
        time.sleep(0.5)  # what has been sent has been seen
        self.source.kill()
        self.source.wait()
        self.join(10)
        return bytes(self.seen)


@pytest.fixture
def hosts():
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None:
        pytest.skip("network namespaces need root, and iproute2 and util-linux")
    folder = Path(tempfile.mkdtemp(prefix="h-", dir="/tmp"))
    made = None
    try:
        try:
            made = Hosts(folder)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine allows no network namespaces: {error.stderr}")
        yield made
    finally:
        if made is not None:
            made.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_executors_of_two_hosts(hosts, tmp_path):
    errors = tmp_path / "errors"
    ray = " ".join(hosts.ray(0, "--head", f"--port={PORT}", "--include-dashboard=false"))
    with errors.open("w") as stderr:
        # In one shell, since they share a host's files.
        program = hosts.start(
            0,
            *("sh", "-c", f'{ray} > /dev/null 2>&1 & exec {sys.executable} -c "$1"', "sh", PROGRAM),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )

    def says(word):
        got = program.stdout.readline().strip()
        assert got.startswith(word), (got, errors.read_text()[-4000:])
        return got.removeprefix(word).split()

    def go_on():
        program.stdin.write("\n")
        program.stdin.flush()

    says("one host")
    tap = Tap(hosts)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    hosts.start(1, *hosts.ray(1, f"--address={ADDRESSES[0]}:{PORT}"), **quiet)
    go_on()
    secrets = says("exchanged")
    seen = tap.stop()
    assert len(seen) > 1_000_000, "the cable was in use"
    assert len(secrets) == 2
    for secret in secrets:
        assert secret.encode() not in seen
    assert struct.pack("<d", KNOWN) not in seen
    assert struct.pack(">d", KNOWN) not in seen
    go_on()
    says("fitted")
    (executor,) = hosts.executors(1)
    executor.kill()
    executor.wait(30)
    go_on()
    says("done")
    assert program.wait(60) == 0
    assert eventually(lambda: not hosts.executors(0) + hosts.executors(1), 60)
