"""`MissingIndicator`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn import impute

from raydp_ml.exchange.columns import ColumnRoles
from raydp_ml.exchange.sql_text import select
from raydp_ml.expressions import double, text
from raydp_ml.impute._missing import MissingTests, gap, missing_sql
from raydp_ml.statistics import check_finite, no_rows
from raydp_ml.transformer import NUMERIC, SparkTransformer


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

    def _learn(self, df: Any, roles: ColumnRoles) -> None:
        tests = [missing_sql(column, self.missing_values) for column in roles.features]
        counted = [f"count_if({test}) AS c{i}" for i, test in enumerate(tests)]
        numbers = [column.name for column in roles.features if column.kind != "string"]
        counted += [
            f"count_if(abs({double(name)}) = double('Infinity')) AS i{i}"
            for i, name in enumerate(numbers)
        ]
        row = select(df, "count(1) AS rows", *counted).collect()[0]
        if not row["rows"]:
            raise no_rows()
        counts = [row[f"c{i}"] for i in range(len(tests))]
        check_finite(numbers, np.array(row[1 + len(tests) :], dtype=np.int64))
        frame = pd.DataFrame(
            {
                column.name: [
                    gap(column, self.missing_values) if count else _present(column),
                    _present(column),
                ]
                for column, count in zip(roles.features, counts, strict=True)
            }
        )
        super(SparkTransformer, self).fit(frame)

    def _is_vector(self) -> bool:
        return self.sparse is True

    def _expressions(self, inputs: Sequence[Any]) -> list[list[str]]:
        kept = set(self.features_.tolist())
        tests = [missing_sql(column, self.missing_values) for column in inputs]
        new = [test for i, test in enumerate(tests) if i not in kept]
        if new and self.error_on_new and self.features == "missing-only" and kept:
            message = text("The features have missing values in transform but have none in fit.")
            first = int(self.features_[0])
            tests[first] = (
                f"if({' or '.join(new)}, cast(raise_error({message}) as boolean), {tests[first]})"
            )
        return [[test] if i in kept else [] for i, test in enumerate(tests)]


def _present(column: Any) -> Any:
    return "" if column.kind == "string" else 0.5
