"""Options of init_spark: what is refused, with which words, and what Spark is told."""

from __future__ import annotations

import pytest
from sklearn.utils._param_validation import InvalidParameterError

import raydp_ml
from raydp_ml.exceptions import SessionError
from raydp_ml.session import memory
from raydp_ml.session.options import check_options, driver_heap, spark_conf

DEFAULTS = {
    "app_name": "raydp_ml",
    "mode": "local",
    "num_executors": 1,
    "executor_cores": 1,
    "executor_memory": "1g",
    "driver_memory": None,
    "executor_resources": None,
    "placement_group_strategy": None,
    "configs": None,
    "timeout": 120,
}


def checked(**changes):
    return check_options(**{**DEFAULTS, **changes})


def conf_of(**changes):
    return spark_conf(
        checked(**changes),
        master="spark://h:1",
        host="10.0.0.1",
        folder="/f",
        log4j_file="/f/l",
        class_path="/ours.jar:/spark/*",
        class_archive="/cache/a.jsa",
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("app_name", "", "a non-empty str"),
        ("app_name", None, "a non-empty str"),
        ("mode", "yarn", "a str among {'local', 'standalone', 'native'}"),
        ("mode", 1, "a str among {'local', 'standalone', 'native'}"),
        ("num_executors", 0, "an int in the range [1, inf)"),
        ("num_executors", True, "an int in the range [1, inf)"),
        ("num_executors", 2.0, "an int in the range [1, inf)"),
        ("executor_cores", -1, "an int in the range [1, inf)"),
        ("executor_memory", "2 GB", "a str such as '512m' or '2g', of at least '512m'"),
        ("executor_memory", 1024, "a str such as '512m' or '2g', of at least '512m'"),
        ("executor_memory", "100m", "a str such as '512m' or '2g', of at least '512m'"),
        ("driver_memory", "1", "None or a str such as '512m' or '2g', of at least '512m'"),
        ("executor_resources", {}, "None or a non-empty dict"),
        ("executor_resources", {"CPU": "1"}, "None or a non-empty dict"),
        ("executor_resources", {"CPU": -1}, "a dict of amounts that are at least 0"),
        ("executor_resources", {"GPU": 1.5}, "a dict of amounts that are at least 0"),
        (
            "placement_group_strategy",
            "pack",
            "None or a str among {'PACK', 'SPREAD', 'STRICT_PACK', 'STRICT_SPREAD'}",
        ),
        ("configs", ["spark.a"], "None or a dict from Spark's configuration keys"),
        ("timeout", 0, "a number of seconds in the range (0, inf)"),
        ("timeout", float("nan"), "a number of seconds in the range (0, inf)"),
    ],
)
def test_a_bad_value_is_refused_at_once_as_scikit_learn_does(name, value, expected):
    with pytest.raises(InvalidParameterError) as caught:
        raydp_ml.init_spark(**{name: value})
    text = str(caught.value)
    assert text.startswith(f"The '{name}' parameter of init_spark must be {expected}")
    assert text.endswith(f"Got {value!r} instead.")
    assert isinstance(caught.value, ValueError)


def test_a_misspelt_option_is_a_type_error():
    with pytest.raises(TypeError, match="num_executor"):
        raydp_ml.init_spark(num_executor=2)


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("spark.master", "the 'mode' parameter"),
        ("spark.executor.memory", "the 'executor_memory' parameter"),
        ("spark.executor.instances", "the 'num_executors' parameter"),
        ("spark.driver.memory", "the 'driver_memory' parameter"),
        ("spark.authenticate.secret", "a secret of its own"),
    ],
)
def test_a_config_that_a_parameter_decides_is_refused(key, remedy):
    with pytest.raises(SessionError, match=f"configs sets '{key}' to 'x'.*{remedy}"):
        checked(configs={key: "x"})


@pytest.mark.parametrize(
    ("configs", "text"),
    [
        ({"park.ui.enabled": True}, "keys begin with 'spark.'. Got 'park.ui.enabled' instead."),
        ({3: "x"}, "keys begin with 'spark.'. Got 3 instead."),
        ({"spark.x": None}, "str, bool, int or float; see 'spark.x'. Got None instead."),
    ],
)
def test_a_config_that_spark_would_ignore_is_refused(configs, text):
    with pytest.raises(InvalidParameterError, match=text):
        checked(configs=configs)


def test_dynamic_allocation_contradicts_standalone_mode():
    with pytest.raises(SessionError, match="exactly num_executors"):
        checked(mode="standalone", configs={"spark.dynamicAllocation.enabled": True})


def test_configs_are_spelt_as_spark_reads_them():
    options = checked(configs={"spark.a": True, "spark.b": 3, "spark.c": "x"})
    assert options.configs == {"spark.a": "true", "spark.b": "3", "spark.c": "x"}


def test_executors_hold_their_cores_unless_told_otherwise():
    gib = 1024.0**3
    held = checked(executor_cores=3, executor_memory="2g").resources_per_executor()
    assert held == {"CPU": 3.0, "memory": 2 * gib}
    asked = {"CPU": 0.5, "special": 1}
    assert checked(executor_resources=asked).resources_per_executor() == {**asked, "memory": gib}
    asked = {"CPU": 1, "memory": 0}
    assert checked(executor_resources=asked).resources_per_executor() == asked


def test_equal_options_do_not_differ_and_the_timeout_does_not_count():
    options = checked(configs={"spark.a": 1})
    assert options.differences(checked(configs={"spark.a": "1"}, timeout=3)) == []
    assert options.differences(checked(num_executors=2)) == ["num_executors", "configs"]


def test_local_mode_accepts_options_of_executors_and_tells_spark_nothing_of_them():
    conf = conf_of(num_executors=4, executor_cores=8, placement_group_strategy="SPREAD")
    assert not [key for key in conf if key.startswith(("spark.executor", "spark.cores"))]


def test_standalone_mode_asks_spark_for_exactly_the_executors():
    conf = conf_of(mode="standalone", num_executors=3, executor_cores=2, executor_memory="2G")
    assert conf["spark.executor.cores"] == "2"
    assert conf["spark.executor.memory"] == "2g"
    assert conf["spark.cores.max"] == "6"
    assert conf["spark.executor.instances"] == "3"
    assert conf["spark.driver.host"] == conf["spark.driver.bindAddress"] == "10.0.0.1"


def test_a_users_configs_win_over_the_defaults():
    conf = conf_of(configs={"spark.ui.enabled": True, "spark.sql.warehouse.dir": "/w"})
    assert conf["spark.ui.enabled"] == "true"
    assert conf["spark.sql.warehouse.dir"] == "/w"
    assert conf["spark.sql.execution.arrow.pyspark.enabled"] == "true"


def test_a_users_java_options_come_after_ours():
    options = conf_of(configs={"spark.driver.extraJavaOptions": "-Dx=1"})
    java_options = options["spark.driver.extraJavaOptions"]
    assert java_options.startswith('"-Dlog4j2.configurationFile=/f/l"')
    assert java_options.endswith(" -Dx=1")


def test_every_jvm_has_our_class_path_and_its_archive():
    conf = conf_of(mode="standalone", configs={"spark.executor.extraClassPath": "/users.jar"})
    assert conf["spark.driver.extraClassPath"] == "/ours.jar:/spark/*"
    assert conf["spark.executor.extraClassPath"] == "/users.jar:/ours.jar:/spark/*"
    for process in ("driver", "executor"):
        assert "-XX:SharedArchiveFile=/cache/a.jsa" in conf[f"spark.{process}.extraJavaOptions"]


def test_data_between_machines_is_encrypted():
    assert "spark.network.crypto.enabled" not in conf_of()
    for mode in ("standalone", "native"):
        assert conf_of(mode=mode)["spark.network.crypto.enabled"] == "true"


def test_native_mode_shows_the_ui_and_allocates_dynamically_where_that_is_asked_for():
    assert conf_of(mode="native")["spark.ui.enabled"] == "true"
    configs = {"spark.ui.enabled": False, "spark.dynamicAllocation.enabled": True}
    conf = conf_of(mode="native", configs=configs)
    assert conf["spark.ui.enabled"] == "false"
    assert conf["spark.dynamicAllocation.enabled"] == "true"


def test_a_hive_catalogue_keeps_its_warehouse():
    conf = conf_of(configs={"spark.sql.catalogImplementation": "hive"})
    assert "spark.sql.warehouse.dir" not in conf
    assert conf_of()["spark.sql.warehouse.dir"] == "/f/warehouse"


def test_the_secret_is_in_no_configuration_that_reaches_a_file():
    assert not [key for key in conf_of(mode="standalone") if "secret" in key]


def test_the_drivers_heap():
    assert driver_heap(checked(driver_memory="3g")) == "3g"
    assert driver_heap(checked(mode="standalone")) == "1g"
    quarter = memory.available_mib() / 4
    assert memory.parse_mib(driver_heap(checked())) == pytest.approx(max(1024, quarter), rel=0.1)


@pytest.mark.parametrize(
    ("size", "mib"),
    [("512m", 512), ("2g", 2048), ("1T", 1024**2), ("2048k", 2), ("0m", None), ("1.5g", None)],
)
def test_sizes_of_memory(size, mib):
    assert memory.parse_mib(size) == mib
