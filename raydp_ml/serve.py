"""Saved estimators behind HTTP, by Ray Serve: no Spark, and no JVM.

It needs the extra ``[serve]``.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

try:
    from ray import serve
    from starlette.responses import Response
except ImportError as error:
    raise ImportError(
        "raydp_ml.serve needs Ray Serve. Install it: pip install raydp_ml[serve]"
    ) from error

from raydp_ml.conversion.feature_kinds import feature_kinds
from raydp_ml.exceptions import SchemaError, name_hint
from raydp_ml.saving.folders import load
from raydp_ml.sql import SQLTransformer

if TYPE_CHECKING:
    import torch
    from starlette.requests import Request

__all__ = ["deployment"]


def deployment(
    path: str | os.PathLike[str],
    *,
    module: Callable[..., torch.nn.Module] | None = None,
    max_batch_size: int = 256,
    batch_wait_timeout_s: float = 0.005,
    **options: Any,
) -> serve.Application:
    """Return an application of Ray Serve that predicts with a saved estimator.

    A POST holds rows as JSON: ``{"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}``, or a list
    of records, ``[{"a": 1, "b": "x"}]``; ``{"data": [[1, 2]]}`` where the estimator was fitted on
    data without names. null is a missing value. The answer is ``{"prediction": [...]}``, of
    classifiers with ``"probability"`` (a list for each row) in the order of ``"classes"``. Rows of
    requests that come at the same time are predicted together. What does not fit the features of
    ``fit`` is answered with status 422, what is no such JSON with 400, and ``{"error": text}``. A
    GET returns the features and the classes.

    Parameters
    ----------
    path : str or path-like
        What `raydp_ml.save` wrote, and every node that has a replica can read.
    module : optional
        As in `raydp_ml.load`.
    max_batch_size : int, default=256
        Most requests whose rows are predicted together.
    batch_wait_timeout_s : float, default=0.005
        Seconds for which a request waits for others.
    **options
        As ``ray.serve.deployment`` takes them: ``num_replicas``, ``ray_actor_options``,
        ``autoscaling_config``, ...

    Returns
    -------
    ray.serve.Application
        For ``serve.run``, or to be bound into an application of your own, whose handle has the
        methods ``predict`` and ``predict_proba`` for frames and arrays.

    Raises
    ------
    FileNotFoundError, ValueError
        As `raydp_ml.load`.
    TypeError
        If the estimator does not predict.

    Examples
    --------
    >>> from ray import serve  # doctest: +SKIP
    >>> handle = serve.run(raydp_ml.serve.deployment("model"))  # doctest: +SKIP
    >>> handle.predict.remote(frame).result()  # doctest: +SKIP
    """
    folder = Path(path).resolve()
    estimator = load(folder, module=module)  # what is wrong with it is said here, not in a replica
    if not hasattr(estimator, "predict"):
        raise TypeError(
            f"The {type(estimator).__name__} in {str(folder)!r} does not predict. Serve a model, "
            "or a Pipeline that ends with one."
        )
    if any(isinstance(step, SQLTransformer) for _, step in getattr(estimator, "steps", ())):
        raise TypeError(
            f"The Pipeline in {str(folder)!r} holds an SQLTransformer, which Spark alone runs. "
            "Save the steps after it, and send what it makes."
        )
    _Schema(estimator)
    options = {"max_ongoing_requests": 2 * max_batch_size, "name": "raydp_ml", **options}
    made = serve.deployment(**options)(_Server)
    return made.bind(str(folder), module, max_batch_size, batch_wait_timeout_s)


class _Server:
    """One replica."""

    def __init__(
        self,
        folder: str,
        module: Callable[..., torch.nn.Module] | None,
        max_batch_size: int,
        batch_wait_timeout_s: float,
    ) -> None:
        self._estimator = load(folder, module=module)
        self._schema = _Schema(self._estimator)
        batches: Any = self._answered
        batches.set_max_batch_size(max_batch_size)
        batches.set_batch_wait_timeout_s(batch_wait_timeout_s)

    def predict(self, X: Any) -> np.ndarray:
        """Return what the estimator predicts."""
        made: np.ndarray = self._estimator.predict(X)
        return made

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the classes."""
        made: np.ndarray = self._estimator.predict_proba(X)
        return made

    async def __call__(self, request: Request) -> Response:
        """Answer a request over HTTP."""
        if request.method == "GET":
            return _response(self._schema.described())
        if request.method != "POST":
            return _response({"error": "POST rows, or GET what they must be."}, 405)
        try:
            given = json.loads(await request.body())
        except ValueError as error:
            return _response({"error": f"The body is no JSON: {error}."}, 400)
        try:
            rows = self._schema.rows(given)
        except SchemaError as error:
            return _response({"error": str(error)}, 422)
        made = await self._answered(rows)
        if isinstance(made, ValueError):
            return _response({"error": str(made)}, 422)
        return _response(made)

    @serve.batch
    async def _answered(self, requests: list[Any]) -> list[Any]:
        """Predict the rows of several requests."""
        join = pd.concat if isinstance(requests[0], pd.DataFrame) else np.concatenate
        try:
            made = self._predicted(join(requests) if len(requests) > 1 else requests[0])
        except ValueError as error:
            if len(requests) == 1:
                return [error]
            # The others have nothing to do with the rows that cannot be predicted.
            return [(await self._alone(rows)) for rows in requests]
        ends = np.cumsum([len(rows) for rows in requests]).tolist()
        return [
            {key: values[start:end] for key, values in made.items()} | self._schema.classes
            for start, end in zip([0, *ends[:-1]], ends, strict=True)
        ]

    async def _alone(self, rows: Any) -> Any:
        try:
            return self._predicted(rows) | self._schema.classes
        except ValueError as error:
            return error

    def _predicted(self, rows: Any) -> dict[str, list[Any]]:
        with warnings.catch_warnings():
            # A scaler gives the model an array; the names of its own input have been checked.
            warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
            made = {"prediction": self._estimator.predict(rows)}
            if hasattr(self._estimator, "predict_proba"):
                made["probability"] = self._estimator.predict_proba(rows)
        return {key: np.asarray(values).tolist() for key, values in made.items()}


class _Schema:
    """What rows must be."""

    def __init__(self, estimator: Any) -> None:
        self.names = list(getattr(estimator, "feature_names_in_", ()))
        self.kinds = feature_kinds(estimator)
        classes = getattr(estimator, "classes_", None)
        self.classes = {} if classes is None else {"classes": np.asarray(classes).tolist()}

    def described(self) -> dict[str, Any]:
        """Return it as JSON."""
        names = self.names or [None] * len(self.kinds)
        features = [
            {"name": name, "type": kind or "any"}
            for name, kind in zip(names, self.kinds, strict=True)
        ]
        return {"features": features, **self.classes}

    def rows(self, given: Any) -> pd.DataFrame | np.ndarray:
        """Return rows as the estimator takes them.

        Raises
        ------
        SchemaError
        """
        columns, data = _split(given)
        if columns is not None and not self.names:
            raise SchemaError(
                "The rows have names of columns, and the estimator was fitted on data without: "
                f'send {{"data": [[{len(self.kinds)} values], ...]}}.'
            )
        if not data:
            raise SchemaError("There are no rows. Send at least one.")
        width = len(self.kinds) if columns is None else len(columns)
        for place, row in enumerate(data):
            if not isinstance(row, list) or len(row) != width:
                raise SchemaError(f"Row {place} is no list of {width} values: {row!r:.200}.")
        if columns is None and self.names:
            raise SchemaError(
                f"The rows have no names of columns. Send them too: "
                f'{{"columns": {json.dumps(self.names)}, "data": ...}}.'
            )
        if not self.names:
            return self._matrix(data)
        assert columns is not None
        self._check_names(columns)
        values = dict(zip(columns, zip(*data, strict=True), strict=True))
        return pd.DataFrame(
            {
                name: _column(name, values[name], kind)
                for name, kind in zip(self.names, self.kinds, strict=True)
            }
        )

    def _check_names(self, columns: Sequence[str]) -> None:
        for name in columns:
            if name not in self.names:
                raise SchemaError(f"{name!r} is no feature. {name_hint(name, self.names)}")
        if len(set(columns)) < len(columns):
            raise SchemaError(f"A column is there twice: {list(columns)}.")
        if missing := [name for name in self.names if name not in columns]:
            raise SchemaError(f"The features {missing} are missing. Send null for missing values.")

    def _matrix(self, data: list[list[Any]]) -> np.ndarray:
        columns = [
            _column(f"x{place}", values, kind)
            for place, (values, kind) in enumerate(
                zip(zip(*data, strict=True), self.kinds, strict=True)
            )
        ]
        numbers = all(column.dtype.kind in "if" for column in columns)
        return np.column_stack([column if numbers else column.astype(object) for column in columns])


def _split(given: Any) -> tuple[list[str] | None, list[Any]]:
    """Return the names of columns, if there are any, and the rows."""
    if isinstance(given, dict) and isinstance(given.get("data"), list):
        columns = given.get("columns")
        named = isinstance(columns, list) and all(isinstance(name, str) for name in columns)
        if columns is None or named:
            return columns, given["data"]
    if isinstance(given, list) and all(isinstance(record, dict) for record in given):
        columns = list(given[0]) if given else []
        for place, record in enumerate(given):
            if record.keys() != set(columns):
                raise SchemaError(
                    f"Record {place} has the columns {list(record)}, and the first one {columns}."
                )
        return columns, [[record[name] for name in columns] for record in given]
    raise SchemaError(
        'Send {"columns": [names], "data": [rows]}, or a list of records. Got '
        f"{json.dumps(given):.200} instead."
    )


def _column(name: str, values: Sequence[Any], kind: str | None) -> np.ndarray:
    """Return the values of a column, of one kind.

    Raises
    ------
    SchemaError
    """
    wanted = {"number": (bool, int, float), "string": (str,), None: (bool, int, float, str)}[kind]
    for place, value in enumerate(values):
        if value is not None and not isinstance(value, wanted):
            raise SchemaError(
                f"The feature {name!r} holds {kind or 'number or string'}s, and row {place} has "
                f"{json.dumps(value):.200}."
            )
    if any(isinstance(value, str) for value in values) or kind == "string":
        return np.array(values, dtype=object)
    if all(type(value) is int and abs(value) < 1 << 63 for value in values):
        return np.array(values, dtype=np.int64)  # exact, where they are categories
    try:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    except OverflowError as error:
        raise SchemaError(f"The feature {name!r} holds a number that is too large.") from error


def _response(content: dict[str, Any], status: int = 200) -> Response:
    # Labels that JSON lacks, such as dates and decimals, as texts.
    return Response(json.dumps(content, default=str), status, media_type="application/json")
