"""skops writes and reads fitted estimators, and names each type that it is asked to trust."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conversion.cases import CASES, answers, fitted_in_memory

io = pytest.importorskip("skops.io", reason="needs skops")


@pytest.mark.parametrize("name", CASES)
def test_a_dumped_estimator_comes_back(rows, name):
    fitted = fitted_in_memory(CASES[name], rows)
    data = io.dumps(fitted)
    types = io.get_untrusted_types(data=data)
    assert all(
        kind.partition(".")[0] in {"numpy", "raydp_ml", "scipy", "sklearn", "xgboost"}
        for kind in types
    )
    again = io.loads(data, trusted=types)
    assert type(again) is type(fitted)
    X = rows[CASES[name].columns]
    found, wanted = answers(again, X), answers(fitted, X)
    assert found.keys() == wanted.keys()
    for method, values in wanted.items():
        np.testing.assert_array_equal(found[method], values)


def test_nothing_of_ours_is_trusted_unasked(rows):
    data = io.dumps(fitted_in_memory(CASES["StandardScaler"], rows))
    with pytest.raises(
        Exception, match=r"raydp_ml\.preprocessing\._standard_scaler\.StandardScaler"
    ):
        io.loads(data)
