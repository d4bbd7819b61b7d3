"""The contenders of the airline case: from Parquet to probabilities, each part timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import xgboost
from sklearn.metrics import roc_auc_score
from xgboost.spark import SparkXGBClassifier

import raydp_ml
from benchmarks.airline_data import CATEGORIES, FEATURES, LABEL, NUMBERS, Source
from benchmarks.harness import Contender
from raydp_ml.xgboost import XGBClassifier

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

OURS, PLAIN, SPARK = "raydp_ml", "toPandas + xgboost", "xgboost.spark"


@dataclass
class Run:
    """Seconds of the parts of one run, and what it found.

    Attributes
    ----------
    seconds : dict of float
    scores : callable
        Returns labels and probabilities of the test, both of shape (n,).
    close : list of callables
        What frees what it holds.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    scores: Callable[[], tuple[Any, Any]] = lambda: ((), ())
    close: list[Callable[[], Any]] = field(default_factory=list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part."""
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin

    def facts(self) -> dict[str, Any]:
        """Rows of the test, and the area under its curve."""
        labels, scores = self.scores()
        return {"test rows": len(labels), "test AUC": float(roc_auc_score(labels, scores))}

    def free(self) -> None:
        """Free what the run holds."""
        for close in self.close:
            close()


@dataclass(frozen=True)
class Job:
    """What all contenders have in common.

    Attributes
    ----------
    spark : SparkSession
    source : Source
    begun : Path
        Where the first worker writes when its training begins.
    cpus : int
        To train on.
    params : dict
        XGBoost's.
    """

    spark: SparkSession
    source: Source
    begun: Path
    cpus: int
    params: dict[str, Any]

    def contenders(self) -> list[Contender]:
        """Return ours and its rivals."""
        return [
            self._contender(OURS, self.ours),
            self._contender(PLAIN, self.plain),
            self._contender(SPARK, self.with_spark),
        ]

    def _contender(self, name: str, work: Callable[[Run], None]) -> Contender:
        def run() -> Run:
            made = Run()
            try:
                work(made)
            except BaseException:
                made.free()
                raise
            return made

        return Contender(name, run, Run.facts, Run.free, parts=lambda made: made.seconds)

    def ours(self, run: Run) -> None:
        """Strings into the object store, and from there into the workers."""
        train, test = self._read(run)
        with run.part("exchange"):
            blocks = raydp_ml.from_spark(train)
        run.close.append(blocks.free)
        with self._fit(run) as callbacks:
            model = XGBClassifier(
                cpus_per_worker=self.cpus,
                enable_categorical=True,
                callbacks=callbacks,
                **self.params,
            ).fit(blocks, LABEL)
        with run.part("predict"):
            predicted = model.predict_proba(test)
            _consume(predicted)
        run.scores = lambda: _collected(predicted)

    def plain(self, run: Run) -> None:
        """One process, which holds everything."""
        train, test = self._read(run)
        with run.part("exchange"):
            rows: Any = train.toPandas()
        with self._fit(run) as callbacks:
            types = {
                name: pd.CategoricalDtype(sorted(rows[name].dropna().unique()))
                for name in CATEGORIES
            }
            model = xgboost.XGBClassifier(
                n_jobs=self.cpus, enable_categorical=True, callbacks=callbacks, **self.params
            )
            model.fit(rows[FEATURES].astype(types), rows[LABEL])
        with run.part("predict"):
            tested: Any = test.toPandas()
            shares = model.predict_proba(tested[FEATURES].astype(types))[:, 1]
        run.scores = lambda: (tested[LABEL], shares)

    def with_spark(self, run: Run) -> None:
        """xgboost.spark, on the codes of a StringIndexer."""
        from pyspark.ml.functions import vector_to_array

        train, test = self._read(run)
        with run.part("exchange"):
            coded = _indexed(train)
        with self._fit(run) as callbacks:
            model = SparkXGBClassifier(
                features_col=FEATURES,
                label_col=LABEL,
                feature_types=["c"] * len(CATEGORIES) + ["q"] * len(NUMBERS),
                num_workers=self.cpus,
                callbacks=callbacks,
                verbose=False,
                **self.params,
            ).fit(coded(train))
        with run.part("predict"):
            predicted = model.transform(coded(test))
            _consume(predicted)
        run.scores = lambda: _collected(
            predicted.withColumn("probability", vector_to_array("probability"))
        )

    def _read(self, run: Run) -> tuple[DataFrame, DataFrame]:
        """Read training and test rows into Spark's cache."""
        with run.part("read"):
            train, test = (df.cache() for df in self.source.frames(self.spark))
            run.close += [train.unpersist, test.unpersist]
            train.count(), test.count()
        return train, test

    @contextmanager
    def _fit(self, run: Run) -> Iterator[list[Any]]:
        """Time a fit as two parts, which XGBoost's callback tells apart."""
        self.begun.unlink(missing_ok=True)
        begin = time.time()
        yield [_mark(self.begun)]
        end, trains = time.time(), float(self.begun.read_text())
        run.seconds |= {"matrix": trains - begin, "train": end - trains}


def _mark(file: Path) -> xgboost.callback.TrainingCallback:
    """Return a callback that writes down when training begins, in whichever process it does."""

    # A class inside a function travels to the workers as a whole.
    class Mark(xgboost.callback.TrainingCallback):
        def before_training(self, model: Any) -> Any:
            if xgboost.collective.get_rank() == 0:
                file.write_text(repr(time.time()))
            return model

    return Mark()


def _indexed(train: DataFrame) -> Callable[[DataFrame], DataFrame]:
    """Learn codes of all categories; returns what puts them in the strings' place."""
    from pyspark.ml.feature import StringIndexer
    from pyspark.sql import functions as sql

    codes = [f"{name}_code" for name in CATEGORIES]
    indexer = StringIndexer(
        inputCols=CATEGORIES,
        outputCols=codes,
        stringOrderType="alphabetAsc",
        handleInvalid="keep",
    ).fit(train)
    sizes = [len(labels) for labels in indexer.labelsArray]

    def coded(df: DataFrame) -> DataFrame:
        known = {
            name: sql.when(sql.col(code) < size, sql.col(code))
            for name, code, size in zip(CATEGORIES, codes, sizes, strict=True)
        }
        return indexer.transform(df).withColumns(known).drop(*codes)

    return coded


def _consume(df: DataFrame) -> None:
    df.write.format("noop").mode("overwrite").save()


def _collected(df: DataFrame) -> tuple[Any, Any]:
    rows: Any = df.selectExpr(LABEL, "probability[1] as score").toPandas()
    return rows[LABEL].to_numpy(), rows["score"].to_numpy()
