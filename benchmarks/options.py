"""The cases, and what a run of one is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

CASES = {
    "exchange": "How fast does a Spark DataFrame become Arrow data in Ray, and come back?",
    "fit": "What does XGBRegressor.fit(spark_df, 'y') cost beside plain xgboost and xgboost.spark?",
}


@dataclass(frozen=True)
class Options:
    """The command line of a run; `rows` None means the case's own size."""

    rows: int | None
    workers: int
    mode: str
    quick: bool
    repeat: int

    def rows_or(self, full: int, quick: int) -> int:
        """Rows asked for, else the case's size."""
        return self.rows or (quick if self.quick else full)

    @property
    def warm_up(self) -> int:
        """Untimed rounds: the JVM compiles its hot code in the first few."""
        return 1 if self.quick else 3
