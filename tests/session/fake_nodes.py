"""A cluster whose nodes Ray's own autoscaler adds and takes away, all on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import ray
from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider

ROOT = Path(__file__).parents[2]
MEMORY = 2 * 2**30  # that a node has to give, in bytes
LISTS = [
    "cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands",
    "setup_commands", "head_setup_commands", "worker_setup_commands", "head_start_ray_commands",
    "worker_start_ray_commands",
]  # fmt: skip
HEAD = "f" * 51 + "0" * 5  # what Ray's fake provider calls the head


class Nodes(FakeMultiNodeProvider):
    """Ray's fake provider, whose nodes can have memory to give, as those of KubeRay have.

    Given by its module's name, it also needs no defaults of Ray's, whose wheel lacks their file.
    """

    def _create_node_with_resources_and_labels(self, node_config, tags, count, resources, labels):
        kind = tags["ray-user-node-type"]
        with self.lock:
            name = self._next_hex_node_id()
            parameters = ray._private.parameter.RayParams(
                min_worker_port=0,
                max_worker_port=0,
                dashboard_agent_listen_port=0,
                num_cpus=1,
                memory=MEMORY,
                object_store_memory=200 * 2**20,
                redis_address=self._gcs_address,
                gcs_address=self._gcs_address,
                env_vars={
                    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": name,
                    "RAY_CLOUD_INSTANCE_ID": name,
                    "RAY_NODE_TYPE_NAME": kind,
                },
            )
            node = ray._private.node.Node(
                parameters, head=False, shutdown_at_exit=False, spawn_reaper=False
            )
            own = {
                "ray-node-type": "worker",
                "ray-user-node-type": kind,
                "ray-node-name": name,
                "ray-node-status": "up-to-date",
            }
            self._nodes[name] = {"tags": {**own, **tags}, "node": node}


class AutoscaledCluster:
    """A head, and up to `most` nodes of one CPU that come when they are asked for.

    Ray's `AutoscalingCluster` is not for a machine that others use: it ends every Ray on it.

    Parameters
    ----------
    version : {"v1", "v2"}
        The generation of the autoscaler.
    folder : str
        Ray's temporary folder.
    most : int, default=2
    head_cpus : int, default=1
    """

    def __init__(self, version: str, folder: str, most: int = 2, head_cpus: int = 1) -> None:
        with socket.socket() as free:
            free.bind(("", 0))
            self.address = f"{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"
        config = Path(folder, "autoscaler.json")
        config.write_text(json.dumps(self._config(most, head_cpus)))
        names = {
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD,
            "RAY_CLOUD_INSTANCE_ID": HEAD,
            "RAY_FAKE_CLUSTER": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "PYTHONPATH": str(ROOT),
        }
        if version == "v2":
            names |= {"RAY_enable_autoscaler_v2": "1", "RAY_NODE_TYPE_NAME": "ray.head.default"}
        # (`ray stop` would end every Ray of the machine: with --block, the command ends its own.)
        self._head = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block",
             f"--port={self.address.split(':')[1]}", f"--num-cpus={head_cpus}",
             "--include-dashboard=false", "--object-store-memory=209715200",
             f"--autoscaling-config={config}"],
            env={**os.environ, **names},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _config(self, most: int, head_cpus: int) -> dict[str, object]:
        node = {"node_config": {}, "resources": {"CPU": 1, "memory": MEMORY}}
        return {
            "cluster_name": "fake",
            "provider": {
                "type": "external",
                "module": f"{__name__}.{Nodes.__name__}",
                "gcs_address": self.address,
                "head_node_id": HEAD,
                "launch_multiple": True,
                "use_node_id_as_ip": True,
                "disable_node_updaters": True,
                "disable_launch_config_check": True,
            },
            "available_node_types": {
                "ray.head.default": {
                    "node_config": {},
                    "resources": {"CPU": head_cpus},
                    "max_workers": 0,
                },
                "worker": {**node, "min_workers": 0, "max_workers": most},
            },
            "head_node_type": "ray.head.default",
            "max_workers": most,
            "idle_timeout_minutes": 0.1,
            "upscaling_speed": 1.0,
            "file_mounts_sync_continuously": False,
            # What `ray start` hands to the autoscaler must be complete.
            "auth": {},
            "file_mounts": {},
            **{name: [] for name in LISTS},
        }

    def attach(self) -> bool:
        """Connect this process to it, or say that it is not there yet."""
        try:
            ray.init(address=self.address, logging_level="error", log_to_driver=False)
        except ConnectionError:
            return False
        return True

    def stop(self) -> None:
        """End the head and the nodes, of which nobody else ends the helpers."""
        processes = psutil.Process(self._head.pid).children(recursive=True)
        self._head.terminate()
        self._head.wait(60)
        _, left = psutil.wait_procs(processes, timeout=10)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
