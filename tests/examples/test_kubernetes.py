"""The resources for KubeRay: against its own definitions, and against what the job asks for."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)
from ray.autoscaler._private.kuberay.utils import parse_quantity

from raydp_ml.session.options import check_options
from raydp_ml.session.placement import Node, room
from tests.examples.crd import problems
from tests.fresh_folder import EXAMPLES
from tests.session.fake_nodes import ROOT

FOLDER = EXAMPLES / "kubernetes"
FILES = ("raycluster.yaml", "rayjob.yaml")
CHECKED = Path(__file__).parent / "kuberay.json"
GIB = 2**30
# Beside the heap of a JVM (threads, code, network buffers), and what else runs in a pod.
BESIDE_HEAP, TRAINING, RAY_AND_PYTHON, DRIVER_PYTHON, RAY_OF_HEAD = (
    1 * GIB, 3 * GIB, 3 * GIB, 1 * GIB, 2 * GIB,
)  # fmt: skip


def load(name):
    return yaml.safe_load((FOLDER / name).read_text())


def cluster_spec(name):
    spec = load(name)["spec"]
    return spec.get("rayClusterSpec", spec)


def groups(name):
    spec = cluster_spec(name)
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def job_options(arguments=None):
    """What job.py is told by rayjob.yaml, or by `arguments`."""
    sys.path.insert(0, str(FOLDER))
    try:
        import job
    finally:
        sys.path.remove(str(FOLDER))
    if arguments is None:
        python, script, *arguments = shlex.split(load("rayjob.yaml")["spec"]["entrypoint"])
        assert (python, script) == ("python", "/app/job.py")
    return job.arguments().parse_args(arguments)


def amount(text):
    return int(parse_quantity(text))


# ------------------------------------------------------------ KubeRay's definitions


def test_what_kuberay_s_definitions_were_asked_about_is_what_is_here():
    """Its definitions are no part of this repository, but what they accepted is written down.

    After a change, have them look again: KUBERAY_CRDS=... pytest tests/examples/test_kubernetes.py
    """
    checked = json.loads(CHECKED.read_text())
    assert checked["accepted"] == {name: digest(name) for name in FILES}


def digest(name):
    """Of what a file says, whatever its comments and its layout."""
    return hashlib.sha256(json.dumps(load(name), sort_keys=True).encode()).hexdigest()


@pytest.fixture(params=(os.environ.get("KUBERAY_CRDS") or "-").split(os.pathsep))
def definitions(request):
    if request.param == "-":
        pytest.skip("KUBERAY_CRDS names no folders ray-operator/config/crd/bases of KubeRay")
    kinds = {"RayCluster": "rayclusters", "RayJob": "rayjobs"}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return {
        kind: yaml.load(Path(request.param, f"ray.io_{plural}.yaml").read_text(), loader)
        for kind, plural in kinds.items()
    }


@pytest.mark.parametrize("name", FILES)
def test_kuberay_s_definitions_accept_them(definitions, name):
    resource = load(name)
    assert problems(resource, definitions[resource["kind"]]) == []


@pytest.mark.parametrize("name", FILES)
def test_kuberay_s_definitions_refuse_every_misspelt_field(definitions, name):
    definition = definitions[load(name)["kind"]]
    free = ("rayStartParams", "metadata", "requests", "limits")  # maps, whose keys are the user's
    paths = [path for path in places(load(name)) if not set(path[:-1]) & set(free)]
    assert len(paths) > 50
    for path in paths:
        resource = load(name)
        parent = resource
        for step in path[:-1]:
            parent = parent[step]
        parent[f"{path[-1]}x"] = parent.pop(path[-1])
        if len(path) > 1:
            assert problems(resource, definition), path


def places(value, path=()):
    """Paths of all fields below a value."""
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)
    for key, below in items:
        if isinstance(key, str):
            yield (*path, key)
        yield from places(below, (*path, key))


DEFINITION = yaml.safe_load("""
    spec:
      group: ray.io
      names: {kind: Thing}
      versions:
        - name: v1
          served: true
          schema:
            openAPIV3Schema:
              type: object
              properties:
                spec:
                  type: object
                  required: [size, port]
                  properties:
                    size: {type: integer, minimum: 1}
                    port: {type: string, default: TCP}
                    room: {anyOf: [{type: integer}, {type: string}], x-kubernetes-int-or-string: 1}
                    mode: {type: string, enum: [a, b], nullable: true}
                    names: {type: object, additionalProperties: {type: string}}
                    any: {type: object, x-kubernetes-preserve-unknown-fields: true}
                    many: {type: array, items: {type: object, properties: {x: {type: boolean}}}}
""")
GOOD = {
    "apiVersion": "ray.io/v1",
    "kind": "Thing",
    "metadata": {"name": "t"},
    "spec": {
        "size": 1,
        "room": "5Gi",
        "names": {"k": "v"},
        "any": {"z": [1]},
        "many": [{"x": True}],
    },
}


def test_what_a_definition_allows_has_no_problems():
    assert problems(GOOD, DEFINITION) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"sise": 1}, "$.spec: Additional properties are not allowed ('sise' was unexpected)"),
        ({"size": "1"}, "$.spec.size: '1' is not of type 'integer'"),
        ({"size": 0}, "$.spec.size: 0 is less than the minimum of 1"),
        ({"room": 1.5}, "$.spec.room: 1.5 is not valid under any of the given schemas"),
        ({"mode": "c"}, "$.spec.mode: 'c' is not one of ['a', 'b']"),
        ({"names": {"k": 1}}, "$.spec.names.k: 1 is not of type 'string'"),
        ({"many": [{"y": 1}]}, "$.spec.many[0]: Additional properties are not allowed"),
    ],
)
def test_what_a_definition_does_not_allow_is_told(change, text):
    resource = copy.deepcopy(GOOD)
    resource["spec"] |= change
    (problem,) = problems(resource, DEFINITION)
    assert problem.startswith(text)


def test_what_is_required_and_what_is_defined_is_told():
    assert problems({**GOOD, "spec": {}}, DEFINITION) == ["$.spec: 'size' is a required property"]
    assert problems({**GOOD, "kind": "RayJob"}, DEFINITION) == [
        "ray.io/v1 RayJob is not what is defined"
    ]
    assert problems({**GOOD, "apiVersion": "ray.io/v2"}, DEFINITION)


# ------------------------------------------------------------ the numbers


def test_the_job_has_the_cluster_of_the_other_file():
    assert cluster_spec("rayjob.yaml") == cluster_spec("raycluster.yaml")


def test_versions_are_those_that_are_tested():
    constraints = (ROOT / "constraints.txt").read_text()
    (ray,) = re.findall(r"^ray==(\S+)$", constraints, re.MULTILINE)
    assert cluster_spec("rayjob.yaml")["rayVersion"] == ray
    dockerfile = (FOLDER / "Dockerfile").read_text()
    (tested,) = re.findall(r"on Python (\d\.\d+)\.", constraints)
    assert set(re.findall(r"^FROM python:(\d\.\d+)-", dockerfile, re.MULTILINE)) == {tested}
    assert set(re.findall(r"openjdk-(\d+)-j", dockerfile)) == {"17"}
    for source in re.findall(r"^COPY (?!--)(.+) \S+$", dockerfile, re.MULTILINE):
        for path in source.split():
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("name", FILES)
def test_what_a_pod_asks_for_is_what_it_may_have(name):
    for group in groups(name):
        (container,) = group["template"]["spec"]["containers"]
        resources = container["resources"]
        assert resources["requests"] == resources["limits"], "or the machine may lack it"
        (mount,) = container["volumeMounts"]
        (volume,) = group["template"]["spec"]["volumes"]
        assert mount == {"name": volume["name"], "mountPath": "/dev/shm"}
        assert volume["emptyDir"]["medium"] == "Memory"
        store = int(group["rayStartParams"]["object-store-memory"])
        assert store + GIB <= amount(volume["emptyDir"]["sizeLimit"]), "Ray would use the disk"


def test_the_memory_of_a_worker_s_pod_adds_up():
    options = job_options()
    executor = check_options(
        app_name="job", mode="native", num_executors=options.executors,
        executor_cores=options.executor_cores, executor_memory=options.executor_memory,
        driver_memory=options.driver_memory, executor_resources=None,
        placement_group_strategy=None, configs=None, timeout=options.timeout,
    ).resources_per_executor()  # fmt: skip
    # Ray's own reading of the resource, by which its autoscaler goes.
    resource = {"metadata": {"name": "c", "namespace": "n"}, "spec": cluster_spec("rayjob.yaml")}
    config = _derive_autoscaling_config_from_ray_cr(resource)
    head, worker = (config["available_node_types"][key] for key in ("headgroup", "workers"))
    assert head["resources"]["CPU"] == 0
    fitting = room(executor, Node("pod", worker["resources"]))
    assert fitting == 1, "one to a pod, whatever else waits"
    assert fitting * worker["max_workers"] >= options.executors, "or the job waits in vain"
    (group,) = cluster_spec("rayjob.yaml")["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    (volume,) = group["template"]["spec"]["volumes"]
    parts = (
        fitting * (int(executor["memory"]) + BESIDE_HEAP),
        amount(volume["emptyDir"]["sizeLimit"]),
        TRAINING,
        RAY_AND_PYTHON,
    )
    assert fitting * (executor["memory"] + BESIDE_HEAP) <= worker["resources"]["memory"]
    assert sum(parts) <= amount(container["resources"]["limits"]["memory"])


def test_the_memory_of_the_head_s_pod_adds_up():
    group = cluster_spec("rayjob.yaml")["headGroupSpec"]
    (container,) = group["template"]["spec"]["containers"]
    (volume,) = group["template"]["spec"]["volumes"]
    heap = amount(job_options().driver_memory.upper() + "i")
    parts = heap + BESIDE_HEAP + DRIVER_PYTHON + RAY_OF_HEAD
    store = amount(volume["emptyDir"]["sizeLimit"])
    assert parts + store <= amount(container["resources"]["limits"]["memory"])


def test_the_job_s_defaults_are_what_the_resource_is_made_for():
    assert job_options() == job_options([])


# ------------------------------------------------------------ the program


@pytest.mark.slow
@pytest.mark.cluster
def test_the_job_on_a_cluster_that_grows_for_it(run_program):
    """A head without CPUs and no other node, as under KubeRay; Ray pretends the pods."""
    program = run_program(f"""
    import os, subprocess, sys
    sys.path.insert(0, {str(ROOT)!r})
    os.environ |= {{"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 2}}
    import ray
    from tests.session.conftest import eventually
    from tests.session.fake_nodes import AutoscaledCluster

    cluster = AutoscaledCluster("v2", os.environ["RAY_TMPDIR"], head_cpus=0)
    assert eventually(cluster.attach, 90), "no Ray"
    arguments = ["--rows=40000", "--executors=2", "--executor-cores=1", "--executor-memory=600m",
                 "--driver-memory=600m", "--timeout=120"]
    job = subprocess.run(
        [sys.executable, {str(FOLDER / "job.py")!r}, *arguments], text=True, capture_output=True,
        env={{**os.environ, "RAY_ADDRESS": cluster.address, "PYTHONPATH": {str(ROOT)!r}}},
    )
    print(job.stdout, job.stderr, len([n for n in ray.nodes() if n["Alive"]]), sep="|")
    assert job.returncode == 0, job.stderr
    ray.shutdown()
    cluster.stop()
    """)
    assert program.finish() == 0, program.stderr
    program.assert_nothing_left()
    (score,) = re.findall(r"^R² (\S+)$", program.stdout, re.MULTILINE)
    assert float(score) == pytest.approx(plain_score(40_000), abs=0.003)
    assert re.search(r"^2 executors, [78],\d{3} rows kept out$", program.stdout, re.MULTILINE)


def plain_score(rows):
    """R² of xgboost itself on rows like the job's, a fifth of them kept out."""
    import numpy as np
    import xgboost

    id_ = np.arange(rows)
    x, y = np.column_stack([id_ % 97, id_ % 89]).astype(float), id_ % 97 + 2 * (id_ % 89)
    kept = np.random.default_rng(0).random(rows) < 0.2
    return xgboost.XGBRegressor(n_estimators=50).fit(x[~kept], y[~kept]).score(x[kept], y[kept])


def test_bad_arguments_get_one_line(monkeypatch, capsys):
    job_options()
    monkeypatch.setattr(sys, "argv", ["job.py", "--executors=0"])
    with pytest.raises(SystemExit) as end:
        sys.modules["job"].main()
    assert end.value.code == 2
    assert "--rows and --executors must be at least 1" in capsys.readouterr().err
