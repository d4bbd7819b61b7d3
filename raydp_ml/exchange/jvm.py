"""The only door to our Java classes: loads the jar into a Spark session, hands out its objects."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from raydp_ml.exceptions import SchemaError, SessionError
from raydp_ml.session.class_path import JAR

if TYPE_CHECKING:
    import py4j.java_gateway
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.connect.session import SparkSession as ConnectSession

_SPARK_VERSIONS = ("4.0.", "4.1.", "4.2.", "4.3.")
"""Those whose internal classes the jar knows (see Internals.java); they change between versions."""

_loading = threading.Lock()


def is_connect(spark: SparkSession | DataFrame) -> bool:
    """Whether a session or DataFrame belongs to Spark Connect, which shows no JVM."""
    return type(spark).__module__.startswith("pyspark.sql.connect")


def require_live(spark: SparkSession) -> None:
    """Raise `SessionError` where the session was stopped, or its JVM has ended."""
    from py4j.protocol import Py4JError

    if is_connect(spark):
        stopped = cast("ConnectSession", spark).is_stopped
    else:
        context = spark.sparkContext
        try:
            stopped = context._jsc is None or context._jsc.sc().isStopped()
        except (Py4JError, OSError) as error:  # of a session of the user's own
            raise SessionError(
                f"The JVM of this SparkSession has ended, or cannot be reached: {error}. Look at "
                "what it printed last, start a session anew (raydp_ml.init_spark) and make the "
                "DataFrame again from its source."
            ) from error
    if stopped:
        raise SessionError(
            "The SparkSession of this DataFrame was stopped. Start one (raydp_ml.init_spark) and "
            "make the DataFrame again from its source."
        )


def check_session(spark: SparkSession, function: str) -> None:
    """Raise unless `spark` is a live SparkSession, of either kind."""
    from pyspark.sql import SparkSession

    if not (isinstance(spark, SparkSession) or is_connect(spark)):
        # A block server comes by here, and scikit-learn takes a second to import.
        from sklearn.utils._param_validation import InvalidParameterError

        raise InvalidParameterError(
            f"The 'spark' parameter of {function} must be a SparkSession, such as "
            f"raydp_ml.init_spark() returns. Got {spark!r} instead."
        )
    require_live(spark)


def require_batch(df: DataFrame) -> None:
    """Raise where no job can look at all rows: the session was stopped, or the rows never end.

    What is lazy (predict, transform) takes a streaming DataFrame, and asks `require_live` only.
    """
    require_live(df.sparkSession)
    if df.isStreaming:
        raise SchemaError(
            "This needs all rows at once: fit, score, metrics, splits and from_spark take a batch "
            "DataFrame. Got a streaming one instead, which has no end. Read the source with "
            "spark.read, or do it to each micro-batch: stream.writeStream.foreachBatch("
            "lambda batch, number: model.fit(batch, ...)). predict and transform of what is "
            "fitted take a streaming DataFrame as it is."
        )


def is_deterministic(df: DataFrame) -> bool:
    """Whether a DataFrame has the same rows each time, as far as Spark can tell; cached ones do."""
    if is_connect(df):
        return False
    return bool(df._jdf.queryExecution().withCachedData().deterministic())


def count_tasks(spark: SparkSession, tag: str) -> tuple[int, int] | None:
    """Count the tasks of all jobs that bear a tag: those that are done, and all known so far.

    Returns
    -------
    (int, int) or None
        None where no job is known, or the session cannot be asked.
    """
    done = total = 0
    try:
        tracker = spark.sparkContext._jsc.sc().statusTracker()
        for job in tracker.getJobIdsForTag(tag):
            info = tracker.getJobInfo(job)
            for number in info.get().stageIds() if info.isDefined() else ():
                stage = tracker.getStageInfo(number)
                # One that has no time was not submitted: a shuffle that is there already, mostly.
                if stage.isDefined() and stage.get().submissionTime() > 0:
                    done += stage.get().numCompletedTasks()
                    total += stage.get().numTasks()
    except Exception:  # the session ends, of which whoever waits for the jobs is told
        return None
    return (min(done, total), total) if total else None


def _warn(reason: str) -> None:
    warnings.warn(
        "raydp_ml copies data through Spark's Python workers, which is several times slower: "
        f"{reason}.",
        stacklevel=2,
    )


def java_object(spark: SparkSession, name: str) -> JavaObject | None:
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
    if not spark.version.startswith(_SPARK_VERSIONS):
        _warn(f"Spark {spark.version} is none of 4.0 to 4.3, which its Java part is for")
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
    assert spark._jvm is not None
    java_class = spark._jvm.java.lang.Class.forName(f"ml.raydp.{name}", True, jars)
    return JavaObject(java_class.getDeclaredConstructor(None).newInstance(None))


class JavaObject:
    """An object of one of our Java classes.

    Its methods take DataFrames, Columns (also lists of them) and sessions as they are, beside
    strings, numbers and bytes.
    """

    def __init__(self, java: py4j.java_gateway.JavaObject) -> None:
        self._java = java

    def __getattr__(self, method: str) -> Callable[..., Any]:
        call = getattr(self._java, method)
        return lambda *arguments: call(*map(_handle, arguments))


def _handle(value: object) -> object:
    from pyspark.sql import SparkSession
    from pyspark.sql.classic.column import Column
    from pyspark.sql.classic.dataframe import DataFrame

    if isinstance(value, DataFrame):
        return value._jdf
    if isinstance(value, Column):
        return value._jc
    if isinstance(value, SparkSession):
        return value._jsparkSession
    return list(map(_handle, value)) if isinstance(value, list) else value


def as_frame(made: py4j.java_gateway.JavaObject, spark: SparkSession) -> DataFrame:
    """Return a DataFrame that one of our Java classes made."""
    from pyspark.sql.classic.dataframe import DataFrame

    return DataFrame(made, spark)


def as_column(made: py4j.java_gateway.JavaObject) -> Column:
    """Return a Column that one of our Java classes made."""
    from pyspark.sql.classic.column import Column

    return Column(made)


def doubles(packed: bytes) -> np.ndarray:
    """Read what our Java classes return: big-endian, as py4j hands an array over one by one."""
    return np.frombuffer(packed, dtype=">f8").astype(np.float64)
