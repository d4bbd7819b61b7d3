"""What a query refuses, with ``raise_error``, or lacks room for, as the error that it has here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from raydp_ml.exceptions import SchemaError
from raydp_ml.session.full import shortage_in

__all__ = ["refused_values"]


@contextmanager
def refused_values() -> Iterator[None]:
    """Raise `SchemaError` for an error that a query raises by itself.

    A lazy ``transform`` refuses values so, and the next step's ``fit`` is the first to run it. A
    query for which there is no room is a `ResourceError`, in a session of the user's own too.
    """
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        yield
    except PySparkException as error:
        if error.getCondition() != "USER_RAISED_EXCEPTION":
            raise
        raise SchemaError(str((error.getMessageParameters() or {})["errorMessage"])) from error
    except Py4JJavaError as error:
        found = re.search(r"ml\.raydp\.columns\.RefusedValue: (.+)", str(error))
        better = SchemaError(found[1]) if found else shortage_in(str(error))
        if better is None:
            raise
        raise better from error
