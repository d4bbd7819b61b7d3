"""`MissingIndicator`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from sklearn import impute

from raydp_ml.exchange.columns import NUMERIC, ColumnRoles
from raydp_ml.impute._missing import MissingTests, gap, present
from raydp_ml.spark_jobs.expressions import text
from raydp_ml.transformers.base import SparkTransformer

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class MissingIndicator(MissingTests, impute.MissingIndicator):
    """Say where values are missing.

    Parameters, attributes and results are scikit-learn's; see `sklearn.impute.MissingIndicator`.

    Notes
    -----
    In Spark, the outputs are boolean columns, or with ``sparse=True`` one vector column
    ``missingindicator``. With ``error_on_new``, a query fails that meets a missing value in a
    feature that had none in ``fit``.

    Examples
    --------
    >>> import numpy as np
    >>> from raydp_ml.impute import MissingIndicator
    >>> MissingIndicator().fit_transform([[1.0, np.nan], [2.0, 3.0]])
    array([[ True],
           [False]])
    """

    _kinds = NUMERIC | {"string"}
    _computes = False

    def _learn(self, df: DataFrame, roles: ColumnRoles) -> None:
        held = self._held(df, roles.features)
        some = held["count"] < held["rows"]
        frame = pd.DataFrame(
            {
                column.name: [value, gap(column, self.missing_values) if missing else value]
                for column, missing in zip(roles.features, some, strict=True)
                for value in [present(column, self.missing_values)]
            }
        )
        super(SparkTransformer, self).fit(frame)

    def _is_vector(self) -> bool:
        return self.sparse is True

    def _expressions(self, inputs: Sequence[Any]) -> list[list[str]]:
        kept = set(self.features_.tolist())
        tests = self._tests(inputs)
        new = [i for i in range(len(tests)) if i not in kept]
        if new and self.error_on_new and self.features == "missing-only" and kept:
            found = ", ".join(f"if({tests[i]}, {text(inputs[i].name)}, null)" for i in new)
            message = (
                f"concat('The features [', concat_ws(', ', {found}), '] have missing values in "
                "transform but have no missing values in fit.')"
            )
            first = int(self.features_[0])
            any_new = " or ".join(tests[i] for i in new)
            fail = f"cast(raise_error({message}) as boolean)"
            tests[first] = f"if({any_new}, {fail}, {tests[first]})"
        return [[test] if i in kept else [] for i, test in enumerate(tests)]
