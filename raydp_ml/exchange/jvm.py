"""The only door to our Java classes: loads the jar into a Spark session, hands out its objects."""

from __future__ import annotations

import threading
import warnings
from typing import Any

from raydp_ml.exceptions import SessionError
from raydp_ml.session.class_path import JAR

_SPARK_VERSION = "4.3."
"""The jar is compiled against this Spark's internal classes, which change between versions."""

_loading = threading.Lock()


def is_connect(spark: Any) -> bool:
    """Whether a session or DataFrame belongs to Spark Connect, which shows no JVM."""
    return type(spark).__module__.startswith("pyspark.sql.connect")


def require_live(spark: Any) -> None:
    """Raise `SessionError` where the session was stopped."""
    if is_connect(spark):
        stopped = spark.is_stopped
    else:
        context = spark.sparkContext
        stopped = context._jsc is None or context._jsc.sc().isStopped()
    if stopped:
        raise SessionError(
            "The SparkSession of this DataFrame was stopped. Start one (raydp_ml.init_spark) and "
            "make the DataFrame again from its source."
        )


def _warn(reason: str) -> None:
    warnings.warn(
        "raydp_ml copies data through Spark's Python workers, which is several times slower: "
        f"{reason}.",
        stacklevel=2,
    )


def java_object(spark: Any, name: str) -> Any:
    """Make a new object of one of our Java classes, or None where the jar cannot be used.

    Parameters
    ----------
    spark : pyspark.sql.SparkSession
        The session whose class loader (and executors) get the jar.
    name : str
        Class name within ``ml.raydp``, for example ``"exchange.BlockExport"``.
    """
    if is_connect(spark):
        return None
    if not spark.version.startswith(_SPARK_VERSION):
        _warn(f"Spark {spark.version} is not the {_SPARK_VERSION}x that its Java part is for")
        return None
    if not JAR.exists():
        _warn(f"{JAR} is missing: build it with `pip install -e .`, or install a wheel")
        return None
    session = spark._jsparkSession
    jars = session.sharedState().jarClassLoader()
    url = JAR.as_uri().replace("file:///", "file:/")
    on_class_path = str(JAR) in spark.sparkContext._conf.get("spark.driver.extraClassPath", "")
    with _loading:  # once, also where several threads are the first
        if not on_class_path and not any(str(known.toString()) == url for known in jars.getURLs()):
            session.sessionState().resourceLoader().addJar(str(JAR))
    java_class = spark._jvm.java.lang.Class.forName(f"ml.raydp.{name}", True, jars)
    return java_class.getDeclaredConstructor(None).newInstance(None)
