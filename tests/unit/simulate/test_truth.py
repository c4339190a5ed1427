import importlib.resources

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from exvivo.simulate.people import draw_patients
from exvivo.simulate.truth import Truth, centred_shift, draw_truth, marginal_ratios, true_effects
from exvivo.study.model import ElisaReadout
from exvivo.study.protocol import Protocol, load_protocol

DEMO = {"SSc": 24, "HD": 8}


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    with importlib.resources.as_file(importlib.resources.files("exvivo") / "templates/ssc-ruxolitinib/study.yaml") as path:
        return load_protocol(path)


@pytest.fixture(scope="module")
def large(protocol: Protocol) -> Truth:
    return draw_truth(protocol, {"SSc": 3000, "HD": 400}, 11)


def _log_net(truth: Truth, readout: str, *conditions: pl.Expr) -> npt.NDArray[np.float64]:
    rows = truth.cultures.with_row_index().filter(*conditions)["index"].to_numpy()
    values: npt.NDArray[np.float64] = np.log(truth.net[rows, truth.readouts.index(readout)])
    return values


def test_the_same_seed_gives_the_same_truth_and_another_seed_another(protocol: Protocol) -> None:
    one, two, other = draw_truth(protocol, DEMO, 5), draw_truth(protocol, DEMO, 5), draw_truth(protocol, DEMO, 6)
    assert one.people.equals(two.people)
    assert one.recorded.equals(two.recorded)
    assert one.cultures.equals(two.cultures)
    assert np.array_equal(one.net, two.net, equal_nan=True)
    assert not np.array_equal(one.net, other.net, equal_nan=True)


def test_people_and_cultures_are_as_many_as_the_protocol_asks_for(protocol: Protocol) -> None:
    truth = draw_truth(protocol, DEMO, 5)
    assert dict(truth.people["population"].value_counts().iter_rows()) == DEMO
    per_donor = truth.cultures.filter(pl.col("donor").is_not_null()).group_by("experiment", "donor").len()
    assert set(per_donor.filter(pl.col("experiment") == "A")["len"]) == {2}
    assert set(per_donor.filter(pl.col("experiment") == "B")["len"]) == {9}  # 2 without serum, 2 x 3 with SSc serum, 1 with healthy serum
    assert truth.cultures["culture"].n_unique() == truth.cultures.height


def test_every_serum_has_one_blank_in_every_run_that_uses_it(protocol: Protocol) -> None:
    cultures = draw_truth(protocol, DEMO, 5).cultures
    keys = ["serum_donor", "serum", "run"]
    used = cultures.filter(pl.col("donor").is_not_null(), pl.col("serum") != "none").select(keys).unique().sort(keys)
    blanks = cultures.filter(pl.col("donor").is_null())
    assert blanks.select(keys).sort(keys).equals(used)
    assert set(blanks["drug"]) == {"vehicle"}


def test_sera_are_reused_and_nobody_meets_their_own_serum(protocol: Protocol) -> None:
    cultures = draw_truth(protocol, DEMO, 5).cultures.filter(pl.col("serum") == "SSc_serum", pl.col("donor").is_not_null())
    per_serum = cultures.group_by("serum_donor").agg(pl.col("donor").n_unique())
    assert per_serum["donor"].min() == 2
    both = draw_truth(protocol, DEMO, 5).cultures.drop_nulls(["donor", "serum_donor"])
    assert both.filter(pl.col("donor") == pl.col("serum_donor")).is_empty()


def test_a_readout_is_generated_with_its_centre_spread_and_ratio(large: Truth) -> None:
    for name, part in large.generating.readouts.items():
        vehicle = _log_net(large, name, pl.col("experiment") == "A", pl.col("drug") == "vehicle")
        drug = _log_net(large, name, pl.col("experiment") == "A", pl.col("drug") == "ruxolitinib")
        assert vehicle.mean() == pytest.approx(np.log(part.centre), abs=4 * 1.4 / np.sqrt(3000))
        assert (drug - vehicle).mean() == pytest.approx(np.log(part.ratio), abs=4 * part.sd_ratio / np.sqrt(3000))
        assert (drug - vehicle).std(ddof=1) == pytest.approx(part.sd_ratio, rel=4 / np.sqrt(2 * 3000))
        assert vehicle.std(ddof=1) > part.sd_donor


def test_drug_effect_in_serum_is_net_of_what_serum_brings(large: Truth, protocol: Protocol) -> None:
    targets = true_effects(protocol).filter(pl.col("outcome") == "S3")
    for readout, ratio in targets.select("readout", "true_ratio").iter_rows():
        in_serum = pl.col("serum") == "SSc_serum", pl.col("donor").is_not_null()
        difference = _log_net(large, readout, *in_serum, pl.col("drug") == "ruxolitinib").mean()
        difference -= _log_net(large, readout, *in_serum, pl.col("drug") == "vehicle").mean()
        assert difference == pytest.approx(np.log(ratio), abs=4 * 0.35 / np.sqrt(400))


def test_serum_brings_less_than_half_in_most_pairs_and_its_blank_is_what_it_brings(large: Truth) -> None:
    rows = large.cultures.with_row_index().filter(pl.col("serum") == "SSc_serum", pl.col("donor").is_not_null())["index"].to_numpy()
    for name in ("CXCL4", "PDGFBB"):
        at = large.readouts.index(name)
        share = large.carried[rows, at] / large.total[rows, at]
        assert np.median(share) > 0.15
        assert (share > 0.5).mean() < 0.35
    blanks = large.cultures.with_row_index().filter(pl.col("donor").is_null())["index"].to_numpy()
    at = large.readouts.index("CXCL4")
    assert np.all(large.net[blanks, at] == 0)
    assert np.all(large.carried[blanks, at] > 0)


@pytest.mark.parametrize(
    ("readout", "low", "high"), [("CCL18", 0, 2), ("IL6", 10, 30), ("CXCL4", 4, 10), ("PDGFBB", 25, 40), ("CXCL10", 5, 20)]
)
def test_shares_below_the_lowest_standard_are_those_of_a_working_assay(
    large: Truth, protocol: Protocol, readout: str, low: float, high: float
) -> None:
    block = protocol.file.readouts[readout]
    assert isinstance(block, ElisaReadout)
    lowest = block.standards.top / block.standards.factor ** (block.standards.points - 1) * min(block.dilutions)
    top = block.standards.top * max(block.dilutions)
    arms = [_log_net(large, readout, pl.col("experiment") == "A", pl.col("drug") == level) for level in ("vehicle", "ruxolitinib")]
    below = [100 * float((arm < np.log(lowest)).mean()) for arm in arms]
    assert low <= np.mean(below) <= high
    assert max(below) < 40  # far enough from one half that a study of 24 donors can use the censored model
    assert max(float((arm > np.log(top)).mean()) for arm in arms) < 0.05


def test_every_registered_estimate_has_its_truth_in_registry_order(protocol: Protocol) -> None:
    effects = true_effects(protocol)
    assert effects.height == 28
    assert effects["outcome"].to_list() == ["P1"] + ["S1"] * 4 + ["S2"] * 6 + ["S3"] * 11 + ["S4"] * 6
    assert effects.filter(pl.col("true_ratio").is_null())["modifier"].to_list() == ["autoab"]


def test_marginal_truth_is_what_a_regression_on_other_people_finds(protocol: Protocol) -> None:
    patients = draw_patients(100_000, np.random.default_rng(77))
    shift = centred_shift(patients)
    slope = np.linalg.lstsq(np.column_stack([np.ones(100_000), patients.mrss / 10]), shift, rcond=None)[0][1]
    expected = {
        "mrss": slope,
        "du": shift[patients.ulcers > 0].mean() - shift[patients.ulcers == 0].mean(),
        "ild_ct": shift[patients.ild].mean() - shift[~patients.ild].mean(),
        "pah_echo": shift[patients.pah].mean() - shift[~patients.pah].mean(),
        "subset": shift[patients.subset == 0].mean() - shift[patients.subset == 1].mean(),
    }
    for name, value in expected.items():
        assert np.log(marginal_ratios(protocol, protocol.file.modifiers[name])[0][1]) == pytest.approx(value, abs=0.006)


def test_patients_meet_the_criteria_and_hang_together() -> None:
    patients = draw_patients(50_000, np.random.default_rng(3))
    assert patients.score.min() >= 9
    assert patients.score.max() <= 24
    assert patients.mrss[patients.subset == 0].min() >= 4
    assert patients.mrss[patients.subset == 1].max() <= 14
    ata, aca, rnap3 = (patients.antibody == i for i in range(3))
    assert patients.ild[ata].mean() > 2 * patients.ild[aca].mean()
    assert (patients.subset[aca] == 1).mean() > 0.8
    assert patients.pah[aca].mean() > patients.pah[ata].mean()
    assert patients.mrss[rnap3].mean() > patients.mrss[ata].mean() + 2
    assert 0.33 < (patients.subset == 0).mean() < 0.41


def test_recorded_values_are_missing_in_1_to_12_percent_but_never_where_criteria_need_them(large: Truth) -> None:
    patients = large.recorded.filter(pl.col("population") == "SSc")
    shares = {name: patients[name].null_count() / patients.height for name in patients.columns}
    assert shares.pop("donor") == shares.pop("population") == shares.pop("age") == shares.pop("acr_eular_2013") == 0
    assert all(0.005 < share < 0.12 for share in shares.values())


def test_about_one_donor_in_twenty_loses_one_culture(large: Truth) -> None:
    lost = large.cultures.filter(pl.col("state") == "lost")
    assert lost["donor"].null_count() == 0
    assert lost["donor"].n_unique() == lost.height
    assert 0.03 < lost.height / 3400 < 0.07


def test_unknown_population_is_refused(protocol: Protocol) -> None:
    with pytest.raises(ValueError, match="populations of the protocol"):
        draw_truth(protocol, {"RA": 3}, 1)
