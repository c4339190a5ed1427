import importlib.resources

import numpy as np
import polars as pl
import pytest

from exvivo.assemble import Value, subtract_blank
from exvivo.simulate.tabulate import _Measured, _net_of, _read_concentrations, tables_of
from exvivo.simulate.truth import Truth, draw_truth
from exvivo.study.protocol import Protocol, load_protocol


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    with importlib.resources.as_file(importlib.resources.files("exvivo") / "templates/ssc-ruxolitinib/study.yaml") as path:
        return load_protocol(path)


@pytest.fixture(scope="module")
def truth(protocol: Protocol) -> Truth:
    return draw_truth(protocol, {"SSc": 40, "HD": 12}, 4)


@pytest.fixture(scope="module")
def outcomes(truth: Truth) -> pl.DataFrame:
    return tables_of(truth, np.random.default_rng(1)).frame


def test_there_is_one_row_per_culture_and_readout_and_none_for_blanks(truth: Truth, outcomes: pl.DataFrame) -> None:
    assert outcomes.height == 11 * truth.cultures.filter(pl.col("donor").is_not_null()).height
    assert set(outcomes.filter(pl.col("experiment") == "A")["sets"]) == {"FAS"}
    assert set(outcomes.filter(pl.col("experiment") == "B")["sets"]) == {"HDS"}


def test_the_same_draws_give_the_same_table(truth: Truth, outcomes: pl.DataFrame) -> None:
    assert tables_of(truth, np.random.default_rng(1)).frame.equals(outcomes)


def test_one_readout_can_be_had_alone(truth: Truth) -> None:
    assert set(tables_of(truth, np.random.default_rng(1), ["CCL18"]).frame["readout"]) == {"CCL18"}


def test_exact_values_scatter_around_the_truth_by_their_error(truth: Truth, outcomes: pl.DataFrame) -> None:
    true = pl.DataFrame(
        {"specimens": truth.cultures["culture"], "truth": np.log(np.maximum(truth.net[:, truth.readouts.index("CXCL4")], 1e-9))}
    )
    rows = outcomes.filter(pl.col("readout") == "CXCL4", pl.col("log_value").is_not_null()).join(true, on="specimens")
    score = ((rows["log_value"] - rows["truth"]) / rows["se"]).to_numpy()
    assert score.std() == pytest.approx(1, abs=0.25)
    assert abs(np.median(score)) < 0.25


def test_censored_rows_have_bounds_that_hold_the_truth(truth: Truth, outcomes: pl.DataFrame) -> None:
    true = {name: dict(zip(truth.cultures["culture"], truth.net[:, at], strict=True)) for at, name in enumerate(truth.readouts)}
    bounded = outcomes.filter(pl.col("log_value").is_null(), pl.col("status") != "missing")
    assert bounded.height > 20
    inside = []
    for row in bounded.iter_rows(named=True):
        value = np.log(true[row["readout"]][row["specimens"]])
        inside.append((row["lower_bound"] or -np.inf) - 0.1 <= value <= (row["upper_bound"] or np.inf) + 0.1)
    assert np.mean(inside) > 0.9
    assert bounded.filter(pl.col("lower_bound").is_null(), pl.col("upper_bound").is_null()).is_empty()


def test_a_blank_below_its_limit_leaves_an_interval_and_a_net_below_detection_a_bound(outcomes: pl.DataFrame) -> None:
    in_serum = outcomes.filter(pl.col("serum") == "SSc_serum")
    wide = in_serum.filter(pl.col("reason") == "blank-below-lloq")
    assert wide.height > 0
    assert set(wide["status"]) <= {"quantified"}
    assert wide["upper_bound"].null_count() == 0
    small = in_serum.filter(pl.col("reason") == "net-below-detection")
    assert set(small["status"]) == {"below_lloq"}
    assert small["lower_bound"].null_count() == small.height


def test_a_lost_culture_keeps_its_rows(truth: Truth, outcomes: pl.DataFrame) -> None:
    lost = truth.cultures.filter(pl.col("state") == "lost")["culture"].to_list()
    assert lost
    rows = outcomes.filter(pl.col("specimens").is_in(lost))
    assert rows.height == 11 * len(lost)
    assert set(rows["status"]) == {"missing"}
    assert set(rows["reason"]) == {"specimen-lost"}
    assert rows["log_value"].null_count() == rows.height


def test_modifiers_are_text_of_the_recorded_values(truth: Truth, outcomes: pl.DataFrame) -> None:
    told = {row["donor"]: row for row in truth.recorded.iter_rows(named=True)}
    for row in outcomes.filter(pl.col("experiment") == "A").unique("donor").iter_rows(named=True):
        assert row["ild_ct"] == told[row["donor"]]["ild_ct"]
        assert row["mrss"] == (None if told[row["donor"]]["mrss"] is None else str(int(told[row["donor"]]["mrss"])))
        assert row["autoab"] in {"ACA", "ATA", "RNAP3", "none", None}


@pytest.mark.parametrize("seed", range(3))
def test_blanks_are_subtracted_as_the_study_itself_does(seed: int) -> None:
    """Totals and blanks of all kinds, from far below to far above their limits, one by one and all at once."""
    rng = np.random.default_rng(seed)
    total = _read_concentrations(rng.uniform(5, 500, 400), np.log([20.0, 300.0]), rng)
    blank = _read_concentrations(rng.uniform(2, 120, 400), np.log([30.0, 1e6]), rng)
    found = _net_of(total, blank, np.ones(400, dtype=np.bool_))
    kinds = set()
    for i in range(400):
        expected = subtract_blank(_value(total, i), _value(blank, i))
        kinds.add((expected.status, expected.reason))
        assert (found.status[i], found.reason[i] or None) == (expected.status, expected.reason)
        told = (found.log_value[i], found.lower[i], found.upper[i], found.plain[i], found.blank_share[i])
        known = (expected.log_value, expected.lower, expected.upper, expected.plain, expected.blank_share)
        np.testing.assert_allclose(told, [np.nan if number is None else number for number in known])
        assert not expected.exact or found.se[i] == pytest.approx(expected.se)
    assert len(kinds) == 5


def _value(measured: _Measured, i: int) -> Value:
    """One tube as the study's own stages hold it."""
    numbers = (measured.log_value[i], measured.se[i], measured.lower[i], measured.upper[i])
    log_value, se, lower, upper = (None if np.isnan(number) else float(number) for number in numbers)
    return Value(str(measured.status[i]), log_value, se, lower, upper, reason=str(measured.reason[i]) or None)
