"""`SQLTransformer`: a query as a step of a Pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import InvalidParameterError

from raydp_ml.base import SparkEstimator, is_spark
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.jvm import require_batch, require_live
from raydp_ml.exchange.sql_text import run_query

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.exchange.data_kinds import Data, Values

__all__ = ["SQLTransformer"]

_PLACE = "__THIS__"
_TABLES_KEPT_BACK = (
    " (It was loaded from a file, which cannot allow tables: look at its statement first.)"
)


class _Foreign(str):
    """A statement that was read from a file: whoever wrote it is no user of this session."""

    __slots__ = ()


class SQLTransformer(SparkEstimator, TransformerMixin, BaseEstimator):
    """Transform a Spark DataFrame by an SQL query.

    Parameters
    ----------
    statement : str, default="select * from __THIS__"
        One query, in which ``__THIS__`` is the DataFrame. Spark's own parser checks it before
        anything runs: it may hold subqueries, ``with`` and functions that the user registered, but
        no command, no script (``transform ... using``), no other table, no ``identifier(...)`` and
        no function that calls Java (``reflect``, ``java_method``).
    tables : iterable of str, default=()
        Names of other tables and views that the query may read. They are not kept by ``save``: who
        loads a query allows it tables anew.

    Notes
    -----
    A query that was loaded (`raydp_ml.load`) may be a stranger's, and so may its clones. It calls
    Spark's own functions only, whatever the session has registered, and of these none that loads
    classes or reads files (``from_xml``, ``from_avro``, ``from_protobuf`` and their kin), and it
    holds no ``${variable}``. Who has looked at it makes it his own:
    ``step.set_params(statement=str(step.statement))``.

    See Also
    --------
    pyspark.ml.feature.SQLTransformer : The same as a step of a Spark Pipeline, unchecked.

    Examples
    --------
    >>> from raydp_ml.sql import SQLTransformer
    >>> step = SQLTransformer("select *, a / b as ratio from __THIS__")
    >>> step.fit_transform(df).columns  # doctest: +SKIP
    ['a', 'b', 'ratio']
    """

    def __init__(
        self, statement: str = "select * from __THIS__", tables: Iterable[str] = ()
    ) -> None:
        self.statement = statement
        self.tables = tables

    def fit(self, X: Data, y: Values | None = None) -> SQLTransformer:
        """Check the query against the columns of X; there is nothing to learn.

        Parameters
        ----------
        X : pyspark.sql.DataFrame
        y : str, default=None
            The label's column, which the query should keep.

        Raises
        ------
        InvalidParameterError
            If `statement` is not one query over ``__THIS__``.
        SchemaError
            If the query does not fit the columns of X, or reads tables that `tables` does not name.
        SessionError
            In Spark Connect, or a Spark that is none of 4.0 to 4.3, where it cannot be checked.
        """
        if is_spark(X):
            require_batch(X)
        self.transform(X)
        assert is_spark(X)
        self._set_features_in(list(X.columns), len(X.columns))
        return self

    def transform(self, X: Data) -> DataFrame:
        """Return the result of the query on the Spark DataFrame X, lazily.

        Parameters
        ----------
        X : Spark DataFrame
            What ``__THIS__`` stands for.
        """
        if not is_spark(X):
            raise TypeError(
                f"SQLTransformer takes a Spark DataFrame, since its SQL is Spark's. Got "
                f"{type(X).__name__} instead."
            )
        require_live(X.sparkSession)
        if not isinstance(self.statement, str):
            raise self._no_query(f"SQL in which {_PLACE} is the DataFrame")
        tables = [self.tables] if isinstance(self.tables, str) else list(self.tables)
        foreign = isinstance(self.statement, _Foreign)
        if foreign and "${" in self.statement:
            raise self._no_query("a query without ${variables}, of which Spark knows passwords too")
        from pyspark.errors import AnalysisException, ParseException

        try:
            made = run_query(X, self.statement, _PLACE, tables, foreign)
        except ParseException as error:
            raise self._no_query(f"a query that Spark can parse ({_first_line(error)})") from error
        except AnalysisException as error:
            raise SchemaError(
                f"The query {self.statement!r} does not fit the DataFrame, which has the columns "
                f"{X.columns}: {_first_line(error)}"
            ) from error
        if not isinstance(made, tuple):
            return made
        kind, what = made
        if kind == "table":
            raise SchemaError(
                f"The query {self.statement!r} reads the table {what!r}, and may read {_PLACE} "
                f"only. Name the others that it may read: SQLTransformer(statement, "
                f"tables={[*tables, what]!r})." + (_TABLES_KEPT_BACK if foreign else "")
            )
        raise self._no_query(
            {
                "place": f"SQL in which {_PLACE} is the DataFrame",
                "command": f"one query, and no command ({what})",
                "function": f"a query without the function {what!r}, which may call any code",
                "foreign": (
                    f"a query without the function {what!r}: it was loaded from a file, and calls "
                    "Spark's own functions only, of which none reads files. Look at it first, and "
                    "make it yours: set_params(statement=str(step.statement))"
                ),
            }[kind]
        )

    def _no_query(self, wanted: str) -> InvalidParameterError:
        return InvalidParameterError(
            f"The 'statement' parameter of SQLTransformer must be {wanted}. Got "
            f"{self.statement!r} instead."
        )

    def _saved_params(self) -> dict[str, object]:
        return {"statement": self.statement}

    def _distrust(self) -> None:
        """Take back what only who writes a query may allow it, whatever a file says."""
        self.tables = ()
        if isinstance(self.statement, str):
            self.statement = _Foreign(self.statement)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
