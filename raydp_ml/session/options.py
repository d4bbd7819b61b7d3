"""The options of ``init_spark``: checked at once, and turned into Spark's configuration.

Nothing here starts or imports Spark or Ray.
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NoReturn, TypeGuard

from raydp_ml.exceptions import SessionError
from raydp_ml.session.memory import SMALLEST_HEAP_MIB, available_mib, parse_mib

# An archive of classes that does not fit is no news for the user.
QUIET = "-Xlog:cds*=error"
# The JVM's second compiler takes half of the CPU time of a start. Four times its usual thresholds
# are reached within milliseconds by whatever works on data, and never by what only starts.
# What Spark generates for wide rows outgrows the 8,000 bytes beyond which the JVM interprets.
COMPILERS = (
    "-XX:Tier4InvocationThreshold=20000 -XX:Tier4MinInvocationThreshold=5000 "
    "-XX:Tier4CompileThreshold=40000 -XX:Tier4BackEdgeThreshold=200000 "
    "-XX:-DontCompileHugeMethods"
)

MODES = ("local", "standalone", "native")
STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")

# What init_spark decides itself: Spark's key -> what to use instead of it in `configs`.
_OWN_KEYS = {
    "spark.master": "the 'mode' parameter",
    "spark.remote": "SparkSession.builder.remote(...) for a Spark Connect session of your own",
    "spark.api.mode": "SparkSession.builder for a Spark Connect session of your own",
    "spark.submit.deployMode": "nothing: the driver runs in this process",
    "spark.app.name": "the 'app_name' parameter",
    "spark.driver.memory": "the 'driver_memory' parameter",
    "spark.executor.memory": "the 'executor_memory' parameter",
    "spark.executor.cores": "the 'executor_cores' parameter",
    "spark.executor.instances": "the 'num_executors' parameter",
    "spark.cores.max": "the 'num_executors' and 'executor_cores' parameters",
    "spark.authenticate": "nothing: a secret of its own always guards the session",
    "spark.authenticate.secret": "nothing: a secret of its own always guards the session",
}


@dataclass(frozen=True)
class SessionOptions:
    """The checked arguments of one ``init_spark`` call."""

    app_name: str
    mode: str
    num_executors: int
    executor_cores: int
    executor_memory: str
    driver_memory: str | None
    executor_resources: dict[str, float] | None
    placement_group_strategy: str | None
    configs: dict[str, str]
    timeout: float

    def resources_per_executor(self) -> dict[str, float]:
        """Ray resources that one executor holds; memory is in bytes."""
        memory = (parse_mib(self.executor_memory) or 0) * 1024.0**2
        given = self.executor_resources
        amounts = {"CPU": float(self.executor_cores)} if given is None else given
        return {**amounts, "memory": amounts.get("memory", memory)}

    def differences(self, other: SessionOptions) -> list[str]:
        """Names of the options, other than the time-out, in which `other` differs."""
        return [
            field.name
            for field in fields(self)
            if field.name != "timeout" and getattr(self, field.name) != getattr(other, field.name)
        ]


def check_options(
    *,
    app_name: object,
    mode: object,
    num_executors: object,
    executor_cores: object,
    executor_memory: object,
    driver_memory: object,
    executor_resources: object,
    placement_group_strategy: object,
    configs: object,
    timeout: object,
) -> SessionOptions:
    """Check every argument of ``init_spark`` and return them normalised.

    Raises
    ------
    sklearn.utils._param_validation.InvalidParameterError
        (a ValueError) for a value of the wrong type or range.
    SessionError
        For `configs` that contradict what ``init_spark`` decides.
    """
    if not isinstance(app_name, str) or not app_name.strip():
        _refuse("app_name", "a non-empty str", app_name)
    if not isinstance(mode, str) or mode not in MODES:
        _refuse("mode", f"a str among {set_text(MODES)}", mode)
    executors = _check_count("num_executors", num_executors)
    cores = _check_count("executor_cores", executor_cores)
    memory = _check_memory("executor_memory", executor_memory)
    driver = None if driver_memory is None else _check_memory("driver_memory", driver_memory)
    if placement_group_strategy is not None and not (
        isinstance(placement_group_strategy, str) and placement_group_strategy in STRATEGIES
    ):
        _refuse(
            "placement_group_strategy",
            f"None or a str among {set_text(STRATEGIES)}",
            placement_group_strategy,
        )
    if not _is_real(timeout) or not 0 < timeout < math.inf:
        _refuse("timeout", "a number of seconds in the range (0, inf)", timeout)
    options = SessionOptions(
        app_name=app_name,
        mode=mode,
        num_executors=executors,
        executor_cores=cores,
        executor_memory=memory,
        driver_memory=driver,
        executor_resources=_check_resources(executor_resources),
        placement_group_strategy=placement_group_strategy,
        configs=_check_configs(configs),
        timeout=float(timeout),
    )
    _check_mode(options)
    return options


def driver_heap(options: SessionOptions) -> str:
    """JVM size of the driver's heap.

    Where the one JVM does all the work (local mode) the default is a quarter of the memory that
    is available now, else ``"1g"``.
    """
    if options.driver_memory is not None:
        return options.driver_memory
    if options.mode != "local":
        return "1g"
    return f"{default_heap_mib()}m"


def default_heap_mib() -> int:
    """MiB of the one JVM of local mode, where nothing else is asked for."""
    return max(1024, available_mib() // 4)


def spark_conf(
    options: SessionOptions,
    *,
    master: str,
    host: str,
    folder: str,
    log4j_file: str,
    class_path: str,
    class_archive: str | None,
) -> dict[str, str]:
    """Return the whole Spark configuration of a session, the user's `configs` applied last.

    Parameters
    ----------
    options : SessionOptions
        What the user asked for.
    master : str
        Spark's master URL.
    host : str
        Address of the driver, as the executors see it.
    folder : str
        A folder of this session, which is removed with it.
    log4j_file : str
        The logging configuration of the driver JVM.
    class_path : str
        What every JVM needs on its class path.
    class_archive : str or None
        An archive of the classes on it, for JVMs that have nothing else in front of it.
    """
    archive = f'"-XX:SharedArchiveFile={class_archive}" {QUIET}' if class_archive else ""
    conf = {
        "spark.master": master,
        "spark.app.name": options.app_name,
        "spark.submit.deployMode": "client",
        "spark.driver.memory": driver_heap(options),
        "spark.driver.host": host,
        "spark.driver.bindAddress": host,
        # The JVM unpacks native libraries into its temporary folder.
        "spark.driver.extraJavaOptions": (
            f'"-Dlog4j2.configurationFile={log4j_file}" "-Djava.io.tmpdir={folder}" '
            f"{COMPILERS} {archive}"
        ).strip(),
        "spark.driver.extraClassPath": class_path,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.authenticate": "true",
    }
    if options.configs.get("spark.sql.catalogImplementation", "in-memory") == "in-memory":
        # The tables of an in-memory catalogue are gone with the session: so are their files,
        # rather than left in the user's working folder. A Hive catalogue keeps Spark's default.
        conf["spark.sql.warehouse.dir"] = f"{folder}/warehouse"
    if options.mode != "local":
        conf |= _executor_conf(options, class_path, archive)
    if options.mode == "native":
        conf["spark.ui.enabled"] = "true"
        conf["spark.raydp_ml.classArchive"] = class_archive or ""
    own = dict(conf)
    conf |= options.configs
    for process in ("driver", "executor"):
        key = f"spark.{process}.extraJavaOptions"
        if key in own and key in options.configs:
            # The last of two equal -D options wins, so the user's still do.
            conf[key] = f"{own[key]} {options.configs[key]}"
        key = f"spark.{process}.extraClassPath"
        if key in own and key in options.configs:
            conf[key] = os.pathsep.join([options.configs[key], own[key]])
    return conf


def set_text(choices: tuple[str, ...]) -> str:
    """``{'a', 'b'}``, in the given order."""
    return "{" + ", ".join(map(repr, choices)) + "}"


def _refuse(name: str, expected: str, value: object) -> NoReturn:
    # scikit-learn takes a second to import, so only an error waits for it.
    from sklearn.utils._param_validation import InvalidParameterError

    raise InvalidParameterError(
        f"The {name!r} parameter of init_spark must be {expected}. Got {value!r} instead."
    )


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_real(value: object) -> TypeGuard[float]:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _check_count(name: str, value: object) -> int:
    if not _is_int(value) or value < 1:
        _refuse(name, "an int in the range [1, inf)", value)
    return int(value)


def _check_memory(name: str, value: object) -> str:
    mib = parse_mib(value) if isinstance(value, str) else None
    if not isinstance(value, str) or mib is None or mib < SMALLEST_HEAP_MIB:
        optional = "None or " if name == "driver_memory" else ""
        _refuse(
            name,
            f"{optional}a str such as '512m' or '2g', of at least '{SMALLEST_HEAP_MIB}m'",
            value,
        )
    return value.lower()


def _check_resources(value: object) -> dict[str, float] | None:
    if value is None:
        return None
    expected = "None or a non-empty dict from Ray resource names to numbers, for example {'CPU': 1}"
    if not isinstance(value, Mapping) or not value:
        _refuse("executor_resources", expected, value)
    for name, amount in value.items():
        if not isinstance(name, str) or not name or not _is_real(amount):
            _refuse("executor_resources", expected, value)
        if not 0 <= amount < math.inf or (amount > 1 and amount != int(amount)):
            _refuse(
                "executor_resources",
                "a dict of amounts that are at least 0 and, above 1, whole (Ray splits only one "
                "unit)",
                value,
            )
    return {name: float(amount) for name, amount in value.items()}


def _check_configs(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        _refuse("configs", "None or a dict from Spark's configuration keys to values", value)
    configs = {}
    for key, setting in value.items():
        if not isinstance(key, str) or not key.startswith("spark."):
            _refuse("configs", "a dict whose keys begin with 'spark.'", key)
        if isinstance(setting, bool):
            configs[key] = str(setting).lower()
        elif isinstance(setting, str | int | float):
            configs[key] = str(setting)
        else:
            _refuse("configs", f"a dict of str, bool, int or float; see {key!r}", setting)
        if key in _OWN_KEYS:
            raise SessionError(
                f"configs sets {key!r} to {setting!r}, which init_spark decides itself. "
                f"Use {_OWN_KEYS[key]} instead."
            )
    return configs


def _check_mode(options: SessionOptions) -> None:
    dynamic = options.configs.get("spark.dynamicAllocation.enabled", "false").lower() == "true"
    most = options.configs.get("spark.dynamicAllocation.maxExecutors", "")
    if dynamic and most.isdecimal() and int(most) < options.num_executors:
        raise SessionError(
            f"configs sets 'spark.dynamicAllocation.maxExecutors' to {most}, fewer than "
            f"num_executors={options.num_executors}, with which the session starts. Lower "
            "num_executors, or raise maxExecutors."
        )
    if options.mode == "standalone" and dynamic:
        raise SessionError(
            "configs sets 'spark.dynamicAllocation.enabled', but mode='standalone' keeps exactly "
            "num_executors executors. Leave the key out, or use mode='native'."
        )


def _executor_conf(options: SessionOptions, class_path: str, archive: str) -> dict[str, str]:
    """Return what executors with JVMs of their own need."""
    # (The AppMaster of native mode has its own way to hand the archive on.)
    archive = archive if options.mode == "standalone" else ""
    return {
        "spark.executor.extraClassPath": class_path,
        "spark.executor.memory": options.executor_memory,
        "spark.executor.cores": str(options.executor_cores),
        "spark.executor.instances": str(options.num_executors),
        "spark.cores.max": str(options.num_executors * options.executor_cores),
        "spark.dynamicAllocation.enabled": "false",
        # Data and calls between driver and executors cross a network.
        "spark.network.crypto.enabled": "true",
        "spark.executor.extraJavaOptions": f"{COMPILERS} {archive}".strip(),
    }
