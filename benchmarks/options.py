"""The cases, and what a run of one is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

MODES = ("local", "standalone", "native")
CASES = {
    "session": "How long does a session take to start: plain pyspark, raydp_ml's modes, RayDP?",
    "exchange": "How fast does a Spark DataFrame become Arrow data in Ray, and come back?",
    "fit": "What does XGBRegressor.fit(spark_df, 'y') cost beside plain xgboost and xgboost.spark?",
    "predict": "What does model.predict(spark_df) cost beside xgboost.spark and a UDF by hand?",
    "explain": "What does model.explain(spark_df) cost beside xgboost.spark and a UDF by hand?",
    "serve": "What does a prediction of one row in memory cost beside xgboost's own object?",
    "search": "What does a grid search cost beside CrossValidator, scikit-learn's, Ray Tune?",
    "torch": "How fast does TorchRegressor train beside a loop by hand, skorch, Ray Train, RayDP?",
    "transformers": "What does a preprocessing Pipeline cost beside pyspark.ml's?",
    "metrics": "What do AUC, average precision, log loss and confusion matrix of 10M rows cost?",
    "airline": "How long is the way from Parquet of flights to the AUC, by GBM-perf's protocol?",
    "memory": "What do from_spark and fit take of each process's memory as the data grow?",
    "external": "What does a fit cost whose rows neither the object store nor a worker can hold?",
    "soak": "Does anything grow over 300 fits, 100 exchanges and 20 sessions in one process?",
    "scaling": "How do from_spark and fit grow with the rows, the workers and the partitions?",
}


@dataclass(frozen=True)
class Options:
    """The command line of a run.

    `rows` None means the case's own sizes, `modes` empty its own modes, `data` None its own data.
    """

    rows: int | None
    workers: int
    modes: tuple[str, ...]
    quick: bool
    repeat: int
    data: str | None = None

    def rows_or(self, full: int, quick: int) -> int:
        """Rows asked for, else the case's size."""
        return self.rows or (quick if self.quick else full)

    @property
    def warm_up(self) -> int:
        """Untimed rounds: the JVM compiles its hot code in the first few."""
        return 1 if self.quick else 3


class BadArgumentError(Exception):
    """Something that the command line names is not there, or is not what it should be."""
