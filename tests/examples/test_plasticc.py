"""The story of the light curves: its loss, its features beside pandas, its bad arguments."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from raydp_ml.datasets import make_light_curves, read_light_curves
from tests.examples.modules import (
    execute_notebook,
    import_example,
    pictures,
    printed,
    run_main,
    write_challenge,
)
from tests.fresh_folder import assert_one_line_and_exit_code_2, run_example


def losses(text):
    """Weighted log-loss by the name of the model, from what the program printed."""
    rows = re.findall(r"^(class_shares|xgboost|torch) +(\d+\.\d+)$", text, re.M)
    return {name: float(loss) for name, loss in rows}


def assert_halves_the_loss(found):
    assert set(found) == {"class_shares", "xgboost", "torch"}
    assert found["xgboost"] <= found["class_shares"] / 2
    assert found["torch"] <= 0.75 * found["class_shares"]


@pytest.mark.slow
def test_generated_light_curves(tmp_path):
    done = run_example("plasticc", "--objects", "800", "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_halves_the_loss(losses(done.stdout))
    assert "800 objects, " in done.stdout
    assert (tmp_path / "out" / "confusion.png").read_bytes()[:4] == b"\x89PNG"


@pytest.fixture(scope="module")
def tables(spark):
    return [table.cache() for table in make_light_curves(spark, 80, 7)]


@pytest.fixture(scope="module")
def features(spark, tables):
    return (
        import_example("plasticc").make_features(spark, *tables).toPandas().set_index("object_id")
    )


@pytest.mark.slow
def test_features_equal_those_of_pandas(tables, features):
    rows = tables[0].toPandas().sort_values(["object_id", "passband", "mjd"])

    def of(part):
        ratio = (part.flux / part.flux_err) ** 2
        steps = part.groupby("passband").flux.diff().dropna()
        seen = part.mjd[part.detected == 1]
        return pd.Series(
            {
                "skew": part.flux.skew() * (len(part) - 2) / np.sqrt(len(part) * (len(part) - 1)),
                "amplitude": np.ptp(part.flux),
                "error_weighted": np.average(part.flux, weights=part.flux_err**-2.0),
                "signal_weighted": np.average(part.flux, weights=ratio),
                "days_detected": seen.max() - seen.min(),
                "roughness": (steps**2).mean() / part.flux.var(ddof=0),
            }
        )

    whole = rows.groupby("object_id")[rows.columns].apply(of)
    bands = rows.groupby(["object_id", "passband"])[rows.columns].apply(of)
    for name in whole.columns:
        found, expected = features[name].sort_index(), whole[name]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=name)
        for band in range(6):
            found, expected = features[f"{band}_{name}"].sort_index(), bands[name].xs(band, level=1)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.slow
def test_sequences_are_fortnights_relative_to_the_highest_flux(tables, features):
    rows = tables[0].toPandas()
    for number, part in list(rows.groupby("object_id"))[:10]:
        expected = np.zeros((6, 79))
        cells = part.groupby(["passband", ((part.mjd - 59580) // 14).astype(int)]).flux.mean()
        for (band, fortnight), mean in cells.items():
            expected[band, fortnight] = mean / part.flux.abs().max()
        np.testing.assert_allclose(features.curve[number], expected.ravel(), rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_colours_compare_the_highest_fluxes_of_neighbouring_bands(tables, features):
    groups = tables[0].toPandas().groupby(["object_id", "passband"])
    tops = groups.flux.max().unstack().clip(lower=1)
    for band in range(5):
        expected = np.log(tops[band] / tops[band + 1])
        found = features[f"colour_{band}"].sort_index()
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_objects_are_held_out_by_class_and_weigh_as_in_the_challenge(features):
    counts = features.groupby("target").test.agg(["size", "sum"])
    np.testing.assert_array_equal(counts["sum"], (counts["size"] + 2) // 4)
    for _, part in features.groupby("test"):
        totals = part.groupby("target").weight.sum() * 16 / len(part)
        np.testing.assert_allclose(totals, [2.0 if c in (15, 64) else 1.0 for c in totals.index])
    assert not {"hostgal_specz", "ra", "decl"} & set(features.columns)


def test_the_weighted_log_loss_is_the_challenges():
    example, rng = import_example("plasticc"), np.random.default_rng(0)
    classes, twice = np.array([6, 15, 64, 90]), np.array([1, 2, 2, 1])
    places = rng.choice(4, 200, p=[0.1, 0.3, 0.1, 0.5])
    shares = rng.dirichlet(np.ones(4), 200)
    logs = -np.log(shares[np.arange(200), places])
    held_out = pd.DataFrame(
        {
            "target": classes[places],
            "weight": twice[places] / np.bincount(places)[places],
            "model": list(shares),
            "wrong": list(np.eye(4)[(places + 1) % 4]),
        }
    )
    expected = np.average([logs[places == place].mean() for place in range(4)], weights=twice)
    assert example.weighted_log_loss(held_out, "model", classes) == pytest.approx(expected)
    worst = example.weighted_log_loss(held_out, "wrong", classes)
    assert worst == pytest.approx(15 * np.log(10))


def test_bad_arguments(tables, tmp_path):
    (tmp_path / "half").mkdir()
    observations, metadata = (table.toPandas() for table in tables)
    write_challenge([observations, metadata.drop(columns="target")], tmp_path / "half")
    for arguments, text in {
        ("--data", "none"): "plasticc.py: error: there is no file or folder none/training_set.csv",
        ("--data", "half"): "lacks the columns ['target']; it has ['object_id', 'ra', ",
        ("--objects", "0"): "--objects and --workers must be at least 1",
        ("--objects", "x"): "error: argument --objects: invalid int value: 'x'",
    }.items():
        done = run_main("plasticc", *arguments, "--output", "out", cwd=tmp_path)
        assert_one_line_and_exit_code_2(done, text)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_challenges_own_files(spark, features, tables, tmp_path):
    write_challenge([table.toPandas() for table in tables], tmp_path)
    example = import_example("plasticc")
    read = example.make_features(spark, *read_light_curves(spark, tmp_path)).toPandas()
    read = read.set_index("object_id").loc[features.index]
    pd.testing.assert_frame_equal(read, features, rtol=1e-9)


def test_a_value_that_is_no_number(spark, tables, tmp_path):
    observations, metadata = (table.toPandas() for table in tables)
    write_challenge([observations.assign(flux="x"), metadata], tmp_path)
    arguments = ("--data", str(tmp_path), "--output", "out")
    done = run_main("plasticc", *arguments, cwd=tmp_path, spark=spark)
    text = "training_set.csv: column 'flux' has 'x', and must be of type double"
    assert_one_line_and_exit_code_2(done, text)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_too_few_objects_are_said_to_be_too_few(spark, tmp_path):
    done = run_main("plasticc", "--objects", "3", "--output", "out", cwd=tmp_path, spark=spark)
    assert done.returncode == 2
    assert "20 objects to learn from and 20 to test are needed; got [3, 0]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_notebook(tmp_path):
    notebook = execute_notebook("plasticc", tmp_path)
    assert_halves_the_loss(losses(printed(notebook)))
    assert pictures(notebook) == 2
    assert not list(tmp_path.iterdir())
