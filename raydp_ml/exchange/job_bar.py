"""A progress bar of Spark's jobs: Spark knows how many tasks they have, and how many are done."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from raydp_ml.bars import Bar, shown

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def job_bar(spark: SparkSession, tag: str, what: str) -> Bar:
    """Make a bar of the tasks of all jobs that bear a tag.

    Parameters
    ----------
    spark : pyspark.sql.SparkSession
        Classic, with a JVM.
    tag : str
    what : str
        What the jobs are for.
    """
    return Bar(what, "tasks", look=partial(_tasks, spark, tag), show=shown())


def _tasks(spark: SparkSession, tag: str) -> tuple[int, int] | None:
    """Count the tasks that are done, and all that are known so far."""
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
    except Exception:  # the session ends; whoever waits for the job is told
        return None
    return (min(done, total), total) if total else None
