"""Plates by hand: what each limit, rule and chart says of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import polars as pl
import pytest

from exvivo.calibrate.analyte import AnalyteTask, calibrate_analyte
from exvivo.calibrate.standards import Well
from exvivo.numerics.logistic import value
from exvivo.study.design import well_name
from exvivo.study.model import AssayProfile, AssayRules, ChartRules, ChartTarget, CurveRules, ElisaReadout, Standards

Row = dict[str, object]

TRUTH = np.array([0.07, 1.15, math.log(350.0), 3.2])
READOUT = ElisaReadout(kind="elisa", label="IL-6", unit="pg/mL", standards=Standards(top=1000, points=7, factor=2), replicates=2)


@dataclass
class Plate:
    """Standards in columns 1 and 2 with their zero, then whatever is added from column 3 on, down the columns."""

    name: str = "p:1"
    seed: int = 1
    noise: float = 0.03
    lot: str | None = None
    wells: list[Well] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.next = 16
        for row in range(8):
            for column in range(2):
                level = 1000 * 0.5**row if row < 7 else 0.0
                self.put(well_name(row, column), "standard", level, name=f"S{row + 1}", nominal=level)

    def put(self, place: str, role: str, true: float, *, name: str, nominal: float | None = None, dilution: float = 1.0) -> Well:
        mean = float(value(math.log(true) if true else -math.inf, TRUTH))
        signal = mean * (1 + self.noise * self.rng.standard_normal()) + 0.002 * self.rng.standard_normal()
        well = Well(
            plate=self.name,
            well=place,
            role=role,
            specimen=name,
            analyte="IL6",
            nominal=nominal,
            dilution=dilution,
            raw_signal=signal,
            background=None,
            signal=signal,
            cap=None,
            unit="pg/mL",
            status="ok",
            reason=None,
            detail=None,
            origin="t",
            state=None,
            reduced=None,
            reduced_gap=None,
            lot=self.lot,
        )
        self.wells.append(well)
        return well

    def add(self, role: str, true: float, *, name: str, nominal: float | None = None, dilution: float = 1.0) -> "Plate":
        """Two wells, one below the other."""
        for _ in range(2):
            column, row = divmod(self.next, 8)
            self.put(well_name(row, column), role, true, name=name, nominal=nominal, dilution=dilution)
            self.next += 1
        return self

    def diluted(self, name: str, true: float, folds: Mapping[float, float]) -> "Plate":
        """A specimen at several dilutions; ``folds``: dilution written down -> dilution as it was made."""
        for written, made in folds.items():
            self.add("specimen", true / made, name=name, dilution=written)
        return self

    def scale(self, places: Sequence[str], factor: float) -> "Plate":
        """Signals of some wells multiplied."""
        self.wells = [replace(w, signal=(w.signal or 0.0) * factor) if w.well in places else w for w in self.wells]
        return self


def calibrate(*plates: Plate, rules: AssayRules | None = None, readout: ElisaReadout = READOUT) -> Mapping[str, pl.DataFrame]:
    wells = [well for plate in plates for well in plate.wells]
    return calibrate_analyte(AnalyteTask.of("IL6", readout, rules or AssayRules(), wells)).frames


def verdicts(found: Mapping[str, pl.DataFrame], rule: str, plate: str = "p:1") -> list[Row]:
    return [row for row in found["verdicts"].to_dicts() if (row["rule"], row["plate"]) == (rule, plate)]


def outcomes(found: Mapping[str, pl.DataFrame], rule: str, plate: str = "p:1") -> dict[object, object]:
    return {row["subject"]: row["outcome"] for row in verdicts(found, rule, plate)}


def limit(found: Mapping[str, pl.DataFrame], kind: str, definition: str) -> Row:
    (row,) = [row for row in found["limits"].to_dicts() if (row["limit"], row["definition"]) == (kind, definition)]
    return row


def number(cell: object) -> float:
    assert isinstance(cell, float)
    return cell


# -------------------------------------------------------------------------------------------------------------- limits


def test_limits_of_blank_and_detection_by_hand_from_own_and_pooled_scatter() -> None:
    plate = Plate().add("blank", 0.0, name="blank", nominal=0.0)
    found = calibrate(plate)
    curve = found["curves"].to_dicts()[0]
    blanks = [w.signal for w in plate.wells if w.nominal == 0.0]
    assert len(blanks) == 4
    mean, sd = float(np.mean(np.array(blanks))), float(np.std(np.array(blanks), ddof=1))
    assert limit(found, "lob", "blank-own-1.645sd")["signal"] == pytest.approx(mean + 1.6448536 * sd, rel=1e-7)
    assert limit(found, "lod", "blank-own-3sd")["signal"] == pytest.approx(mean + 3 * sd, rel=1e-9)
    a = float(limit(found, "lob", "blank-pooled-1.645sd")["signal"]) - 1.6448536 * math.hypot(curve["sigma0"], curve["kappa"] * 0.07)  # type: ignore[arg-type]
    assert a == pytest.approx(0.07, abs=0.01)
    kaiser, ep17 = limit(found, "lod", "blank-pooled-3sd"), limit(found, "lod", "ep17-pooled")
    assert number(kaiser["signal"]) < number(ep17["signal"])  # the lowest standard scatters more than the blank
    assert not [row for row in found["limits"].to_dicts() if row["definition"] == "ep17-own"]  # two wells tell no SD


def test_a_limit_that_the_curve_does_not_reach_has_no_concentration() -> None:
    plate = Plate().add("blank", 0.0, name="blank", nominal=0.0)
    plate.wells = [replace(w, signal=0.02 + 0.001 * i) if w.role == "blank" else w for i, w in enumerate(plate.wells)]
    plate.add("blank", 0.0, name="blank", nominal=0.0)
    plate.wells = [w for w in plate.wells if w.role != "standard" or w.nominal != 0.0]
    rows = calibrate(plate, rules=AssayRules())["limits"].to_dicts()
    assert all(row["value"] is None or row["value"] > 0 for row in rows)


def test_a_line_on_two_log_axes_tells_nothing_about_zero() -> None:
    plate = Plate()
    plate.wells = [well for well in plate.wells if well.nominal]
    found = calibrate(plate, rules=AssayRules(curve=CurveRules(model="log-log")))
    assert {row["limit"] for row in found["limits"].to_dicts()} == {"lloq", "uloq"}
    assert set(found["controls"].filter(pl.col("kind") == "parameter")["control"]) == {"b", "c"}


@pytest.mark.parametrize("model", ["4PL", "5PL"])
def test_every_curve_with_a_plateau_has_every_limit(model: Literal["4PL", "5PL"]) -> None:
    found = calibrate(*(Plate(f"p:{k}", seed=k) for k in range(1, 4)), rules=AssayRules(curve=CurveRules(model=model)))
    assert {row["limit"] for row in found["limits"].to_dicts()} == {"lob", "lod", "mdc", "rdl", "lloq", "uloq"}
    assert found["limits"].filter(pl.col("limit") == "rdl")["value"].null_count() == 0


def test_the_stricter_range_is_the_one_that_was_used() -> None:
    found = calibrate(Plate())
    curve = found["curves"].to_dicts()[0]
    used = {(row["limit"], row["value"]) for row in found["limits"].to_dicts() if row["used"]}
    assert used == {("lloq", curve["lloq"]), ("uloq", curve["uloq"])}
    spoiled = calibrate(Plate().scale(["A1", "A2"], 0.72))
    assert {row["definition"] for row in spoiled["limits"].to_dicts() if row["used"] and row["limit"] == "uloq"} == {"standards-recovery"}
    assert outcomes(spoiled, "ends")["high"] == "failed"


def test_minimum_detectable_lies_below_reliably_detectable_below_the_lowest_standard() -> None:
    found = calibrate(Plate())
    mdc, rdl = (number(limit(found, *key)["value"]) for key in (("mdc", "interval-excludes-zero"), ("rdl", "reliably-above-mdc")))
    assert 0 < mdc < rdl < 15.625


# ------------------------------------------------------------------------------------------------------------ profiles


def test_a_profile_sets_defaults_and_a_given_key_wins() -> None:
    assert (AssayRules().min_levels, AssayRules().max_cv_pct, AssayRules().qc_level_pass_fraction) == (5, 20.0, 0.0)
    ich = AssayRules(profile=AssayProfile.ICH_M10, min_levels=5)
    assert (ich.min_levels, ich.max_cv_pct, ich.qc_level_pass_fraction) == (5, 25.0, 0.5)
    assert ich.qc_pass_fraction == pytest.approx(2 / 3)
    assert AssayRules.model_validate({"profile": "ich_m10"}).min_levels == 6


def test_ich_m10_asks_for_half_of_each_qc_level_and_research_only_shows_it() -> None:
    def plate() -> Plate:
        made = Plate()
        for name, nominal in (("high", 600.0), ("low", 50.0), ("mid", 200.0)):
            made.add("qc", nominal * (2.0 if name == "low" else 1.0), name=name, nominal=nominal)
        return made

    research, ich = calibrate(plate()), calibrate(plate(), rules=AssayRules(profile=AssayProfile.ICH_M10))
    assert outcomes(research, "qc-level") == {"high": "held", "low": "held", "mid": "held"}
    assert outcomes(ich, "qc-level") == {"high": "held", "low": "failed", "mid": "held"}
    assert outcomes(ich, "qc-fraction") == {None: "held"}  # four of six
    assert outcomes(research, "accepted") == {None: "held"}
    assert outcomes(ich, "accepted") == {None: "failed"}


def test_anchor_points_help_the_fit_and_count_for_nothing() -> None:
    anchored = READOUT.model_copy(update={"standards": READOUT.standards.model_copy(update={"anchors": (1000.0, 15.625)})})
    plain, found = calibrate(Plate()), calibrate(Plate(), readout=anchored)
    assert found["curves"]["parameters"].to_list() == plain["curves"]["parameters"].to_list()
    assert set(outcomes(found, "anchor-recovery")) == {"1000", "15.625"}
    assert len(verdicts(found, "standards-recovery")) == 5
    assert verdicts(found, "standards-levels")[0]["observed"] == 5
    assert {row["subject"]: row["high"] for row in verdicts(found, "standards-recovery")}["500"] == 125.0  # the end of the range now
    assert found["curves"]["uloq"].to_list() == [500.0]
    spoiled = calibrate(Plate().scale(["A1", "A2"], 0.5), readout=anchored)
    assert outcomes(spoiled, "anchor-recovery")["1000"] == "failed"
    assert verdicts(spoiled, "standards-fraction")[0]["observed"] == verdicts(spoiled, "standards-levels")[0]["observed"] / 5  # type: ignore[operator]


# ----------------------------------------------------------------------------------------------------------- dilutions


def test_dilutions_agree_differ_or_leave_it_open() -> None:
    plate = Plate(noise=0.02).diluted("good", 2000.0, {4.0: 4.0, 16.0: 16.0}).diluted("bad", 2000.0, {4.0: 4.0, 16.0: 4.0})
    found = calibrate(plate, Plate("p:2", seed=2, noise=0.02))
    rows = {row["subject"]: row for row in verdicts(found, "dilution-linearity")}
    good, bad = rows["good 1:16 / 1:4"], rows["bad 1:16 / 1:4"]
    assert (good["outcome"], good["passed"], bad["outcome"], bad["passed"]) == ("shown", True, "differs", False)
    assert number(bad["observed"]) == pytest.approx(4.0, rel=0.15)
    assert number(bad["ci_low"]) < 4.0 < number(bad["ci_high"])
    assert (good["low"], good["high"]) == (0.8, 1.25)
    vague = calibrate(*(Plate(f"p:{k}", seed=k, noise=0.13).diluted("vague", 2000.0, {4.0: 4.0, 16.0: 16.0}) for k in range(1, 4)))
    assert set(outcomes(vague, "dilution-linearity").values()) == {"not-shown"}  # the same truth, poor data
    assert outcomes(found, "accepted") == {None: "held"}


def test_parallelism_needs_three_dilutions_and_sees_a_trend() -> None:
    parallel = {2.0: 2.0, 4.0: 4.0, 8.0: 8.0, 16.0: 16.0}
    trending = {written: made * made**-0.25 for written, made in parallel.items()}
    found = calibrate(
        Plate(noise=0.02).diluted("flat", 1200.0, parallel).diluted("trend", 1200.0, trending).diluted("two", 900.0, {2: 2, 4: 4})
    )
    assert outcomes(found, "parallelism") == {"flat": "shown", "trend": "differs"}
    (flat, trend) = verdicts(found, "parallelism")
    assert number(trend["observed"]) == pytest.approx(8**0.25, rel=0.12)
    assert abs(math.log(number(flat["observed"]))) < 0.15
    cvs = {row["subject"]: number(row["observed"]) for row in verdicts(found, "parallelism-cv")}
    assert cvs["trend"] > 15 > cvs["flat"]


def test_a_lower_dilution_that_reads_lower_is_a_hook() -> None:
    plate = Plate().diluted("hooked", 4000.0, {1.0: 20.0, 10.0: 10.0}).diluted("sound", 4000.0, {1.0: 1.0, 10.0: 10.0})
    assert outcomes(calibrate(plate), "hook-specimen") == {"hooked": "failed", "sound": "held"}


def test_standards_that_fall_at_the_top_are_a_hook() -> None:
    assert outcomes(calibrate(Plate()), "hook-standards") == {None: "held"}
    hooked = calibrate(Plate().scale(["A1", "A2"], 0.6))
    assert outcomes(hooked, "hook-standards") == {None: "failed"}
    assert number(verdicts(hooked, "hook-standards")[0]["observed"]) > 3


def test_a_falling_assay_has_no_hook_where_it_falls() -> None:
    plate = Plate()
    plate.wells = [replace(well, signal=3.4 - (well.signal or 0.0)) for well in plate.wells]
    found = calibrate(plate)
    assert outcomes(found, "hook-standards") == {None: "held"}
    assert number(limit(found, "lob", "blank-pooled-1.645sd")["signal"]) < 3.33


# ----------------------------------------------------------------------------------------------------------- positions


def full(name: str, seed: int) -> Plate:
    plate = Plate(name, seed=seed)
    rng = np.random.default_rng(seed)
    for k in range(40):
        plate.add("specimen", float(rng.uniform(60, 600)), name=f"S{k}")
    return plate


def test_an_edge_that_reads_higher_is_found_and_its_size_told() -> None:
    edge = [well_name(r, c) for r in range(8) for c in range(12) if r in {0, 7} or c in {0, 11}]
    found = calibrate(full("p:1", 1).scale(edge, 1.2), *(full(f"p:{k}", k) for k in range(2, 6)))
    (row,) = [row for row in verdicts(found, "position-effect") if row["subject"] == "edge"]
    assert row["outcome"] == "failed"
    assert number(row["observed"]) == pytest.approx(20, abs=6)
    assert number(row["p"]) < 1e-4
    assert all(set(outcomes(found, "position-effect", f"p:{k}").values()) == {"held"} for k in range(2, 6))


def test_few_wells_have_no_test_of_position() -> None:
    assert verdicts(calibrate(Plate().add("specimen", 100.0, name="S")), "position-effect") == []


# -------------------------------------------------------------------------------------------------------------- charts


def charted(
    levels: Sequence[float], *, lots: Sequence[str | None] | None = None, rules: AssayRules | None = None
) -> Mapping[str, pl.DataFrame]:
    plates = []
    for k, level in enumerate(levels):
        plate = Plate(f"run:{k + 1}", seed=k, lot=lots[k] if lots else None)
        for _ in range(3):
            plate.add("qc", 100.0 * level, name="mid", nominal=100.0)
        plates.append(plate)
    return calibrate(*reversed(plates), rules=rules)


def chart(found: Mapping[str, pl.DataFrame], control: str = "mid") -> list[Row]:
    return [row for row in found["controls"].to_dicts() if row["control"] == control]


def test_a_chart_follows_the_natural_order_of_the_plates() -> None:
    rows = chart(charted([1.0] * 11))
    assert [row["plate"] for row in rows] == [f"run:{k}" for k in range(1, 12)]
    assert [row["order"] for row in rows] == list(range(1, 12))
    assert {row["base"] for row in rows} == {"leave-one-out"}
    assert np.allclose([number(row["value"]) for row in rows], math.log(100), atol=0.12)


def test_one_plate_out_of_control_is_called_and_the_others_are_not() -> None:
    found = charted([1.0] * 9 + [1.5])
    broken = {str(row["plate"]): str(row["rules"]) for row in chart(found) if row["rules"]}
    assert broken["run:10"] == "1-2s,1-3s"
    assert outcomes(found, "control-chart", "run:10") == {"mid": "failed"}
    assert set(broken) == {"run:10"}
    assert outcomes(found, "accepted", "run:10") == {None: "failed"}  # its recovery is 150 %
    assert outcomes(found, "control-chart", "run:3") == {"mid": "held"}


def test_given_targets_go_before_the_study_s_own() -> None:
    charts = ChartRules(targets={"IL6": {"mid": ChartTarget(concentration=80.0, cv_pct=5.0)}})
    row = chart(charted([1.0, 1.0], rules=AssayRules(charts=charts)))[0]
    assert row["base"] == "given"
    assert row["target"] == pytest.approx(math.log(80))
    assert number(row["z"]) == pytest.approx((number(row["value"]) - math.log(80)) / math.sqrt(math.log1p(0.0025)))
    assert "1-3s" in str(row["rules"])


def test_the_first_plates_can_be_the_base() -> None:
    rules = AssayRules(charts=ChartRules(base="first", first=8))
    rows = chart(charted([1.0] * 8 + [1.15] * 4, rules=rules))
    assert {row["base"] for row in rows} == {"first"}
    assert len({row["target"] for row in rows[8:]}) == 1
    assert all(number(row["z"]) > 1 for row in rows[8:])


def test_standards_and_parameters_are_charted_too_and_a_constant_is_not() -> None:
    found = charted([1.0] * 7)
    kinds = found["controls"].group_by("kind").agg(pl.col("control").n_unique()).sort("kind").rows()
    assert kinds == [("parameter", 4), ("qc", 1), ("standard", 7)]


def test_a_control_beyond_the_curve_keeps_its_row_without_a_value() -> None:
    plates = [Plate(f"run:{k}", seed=k).add("qc", 100.0, name="mid", nominal=100.0) for k in range(1, 4)]
    plates[2].wells = [replace(well, signal=5.0) if well.role == "qc" else well for well in plates[2].wells]
    rows = chart(calibrate(*plates))
    assert [row["value"] is None for row in rows] == [False, False, True]
    assert rows[2]["z"] is None


def test_blanks_that_are_subtracted_still_tell_the_limit_of_blank() -> None:
    plate = Plate().add("blank", 0.0, name="b", nominal=0.0).add("blank", 0.0, name="b", nominal=0.0)
    plate.wells = [well for well in plate.wells if well.role == "blank" or well.nominal]
    blanks = np.array([well.signal for well in plate.wells if well.role == "blank"], dtype=np.float64)
    found = calibrate(plate, rules=AssayRules(curve=CurveRules(subtract_blank=True)))
    told = limit(found, "lob", "blank-own-1.645sd")
    assert told["signal"] == pytest.approx(blanks.mean() + 1.6448536 * blanks.std(ddof=1), rel=1e-7)


def test_lots_are_compared_by_equivalence() -> None:
    lots = ["A"] * 4 + ["B"] * 4 + ["C"] * 4
    found = charted([1.0] * 4 + [1.02] * 4 + [1.6] * 4, lots=lots, rules=AssayRules(qc_tolerance_pct=90))
    assert outcomes(found, "lot-shift", "run:5") == {"mid B / A": "shown"}
    (row,) = verdicts(found, "lot-shift", "run:9")
    assert (row["subject"], row["outcome"]) == ("mid C / B", "differs")
    assert number(row["observed"]) == pytest.approx(1.57, rel=0.08)
    assert {row["lot"] for row in chart(found)} == {"A", "B", "C"}


def test_without_lots_nothing_is_compared() -> None:
    assert "lot-shift" not in charted([1.0] * 6)["verdicts"]["rule"].to_list()
