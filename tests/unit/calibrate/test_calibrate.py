"""Small plates by hand: what each kind of well and plate becomes."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from exvivo.calibrate import calibrate_plates
from exvivo.engine import Memo, Work
from exvivo.numerics.logistic import value
from exvivo.study.decisions import Decision, DecisionKind, Decisions
from exvivo.study.design import well_name
from exvivo.study.model import AssayRules, CurveRules, ElisaReadout, Standards
from exvivo.study.protocol import Assays
from exvivo.study.run import Calibration, Inputs
from exvivo.study.tables import CLINICAL, EVENTS, FILES, LAYOUT, QUANTIFIED, READINGS, SPECIMENS, TUBE_SHEET, VENDOR

Row = dict[str, object]

TRUTH = np.array([0.07, 1.15, math.log(350.0), 3.2])
BACKGROUND = 0.04
READOUT = ElisaReadout(
    kind="elisa", label="IL-6", unit="pg/mL", aliases=("interleukin 6",), standards=Standards(top=1000, points=7, factor=2), replicates=2
)


class Plate:
    """One plate under construction: standards in columns 1 and 2, the rest as asked; 450 nm with a reference at 570 nm."""

    def __init__(
        self, name: str = "p:1", *, seed: int = 1, analyte: str | None = "IL6", unit: str | None = "pg/mL", noise: float = 0.03
    ) -> None:
        self.name, self.analyte, self.unit, self.noise = name, analyte, unit, noise
        self.rng = np.random.default_rng(seed)
        self.readings: list[Row] = []
        self.layout: list[Row] = []
        for row in range(8):
            for column in range(2):
                concentration = 1000 * 0.5**row if row < 7 else 0.0
                self.add(well_name(row, column), "standard", f"S{row + 1}", concentration, nominal=concentration)

    def add(
        self, well: str, role: str, specimen: str, concentration: float, *, nominal: float | None = None, dilution: float | None = None
    ) -> None:
        """A well that holds ``concentration`` after dilution."""
        mean = float(value(math.log(concentration) if concentration else -math.inf, TRUTH))
        self.put(well, mean * (1 + self.noise * self.rng.standard_normal()) + 0.002 * self.rng.standard_normal())
        place = {"plate": self.name, "well": well, "origin": f"map:{well}", "analyte": self.analyte, "unit": self.unit}
        self.layout.append({**place, "role": role, "specimen": specimen, "concentration": nominal, "dilution": dilution})

    def put(self, well: str, signal: float | None, status: str = "ok", text: str = "") -> None:
        """Readings of a well, replacing what was there; ``signal`` is net of the reference wavelength."""
        self.readings = [row for row in self.readings if row["well"] != well]
        main = None if signal is None else signal + BACKGROUND
        for wavelength, number, said in ((450, main, status), (570, BACKGROUND, "ok")):
            row = {"plate": self.name, "file": "p.txt", "well": well, "wavelength_nm": wavelength, "kind": "raw", "origin": f"p.txt:{well}"}
            self.readings.append({**row, "signal": number, "status": said, "text": text})

    def pair(self, specimen: str, wells: tuple[str, str], concentration: float, dilution: float = 2.0) -> "Plate":
        """Two wells of a specimen whose own concentration is given."""
        for well in wells:
            self.add(well, "specimen", specimen, concentration / dilution, dilution=dilution)
        return self


def exclude(target: str) -> Decisions:
    return Decisions((Decision(4, "2026-01-01T00:00:00Z", "ab", DecisionKind.EXCLUDE, target, "", "bubble", "0" * 64),))


def calibrate(
    *plates: Plate,
    decisions: Decisions | None = None,
    rules: AssayRules | None = None,
    readouts: Mapping[str, ElisaReadout] | None = None,
    states: Mapping[str, str] | None = None,
    work: Work | None = None,
) -> Calibration:
    specimens = [
        {"specimen": name, "experiment": "A", "matrix": "medium", "state": state, "origin": "s:1"} for name, state in (states or {}).items()
    ]
    inputs = Inputs(
        folder=Path(),
        files=FILES.empty(),
        specimens=SPECIMENS.from_rows(specimens),
        readings=READINGS.from_rows([row for plate in plates for row in plate.readings]),
        layout=LAYOUT.from_rows([row for plate in plates for row in plate.layout]),
        vendor=VENDOR.empty(),
        events=EVENTS.empty(),
        tube_sheet=TUBE_SHEET.empty(),
        clinical=CLINICAL.empty(),
        quantified=QUANTIFIED.empty(),
        found=(),
        blinded=False,
    )
    readout = READOUT.model_copy(update={"reference_wavelength_nm": 570})
    assays = Assays(rules or AssayRules(min_levels=5), readouts or {"IL6": readout})
    return calibrate_plates(inputs, assays, decisions or Decisions(), work or Work())


def specimen(calibration: Calibration, name: str, plate: str = "p:1") -> Row:
    return next(row for row in calibration.concentrations.rows() if (row["specimen"], row["plate"]) == (name, plate))


def well(calibration: Calibration, name: str, plate: str = "p:1") -> Row:
    return next(row for row in calibration.wells.rows() if (row["well"], row["plate"]) == (name, plate))


def rule(calibration: Calibration, name: str) -> list[Row]:
    return [row for row in calibration.verdicts.rows() if row["rule"] == name]


def number(cell: object) -> float:
    assert isinstance(cell, float)
    return cell


def test_a_specimen_is_quantified_from_its_wells_with_interval_and_shared_error() -> None:
    found = calibrate(Plate().pair("S1", ("A3", "A4"), 300.0))
    row = specimen(found, "S1")
    assert row["status"] == "quantified"
    assert row["wells"] == "A3,A4"
    assert row["unit"] == "pg/mL"
    assert number(row["concentration"]) == pytest.approx(300, rel=0.15)
    assert number(row["ci_low"]) < number(row["concentration"]) < number(row["ci_high"])
    assert number(row["log_concentration"]) == pytest.approx(math.log(number(row["concentration"])))
    assert (row["lower_bound"], row["upper_bound"], row["reason"]) == (None, None, None)
    names, loading = found.shared_error.loadings("p:1", "IL6")
    assert names == ("S1",)
    assert 0 < float(np.linalg.norm(loading)) < number(row["se_log"]) * 2


def test_a_censored_specimen_hands_on_its_bound_and_the_error_of_the_bound() -> None:
    """Two specimens below the limit have one bound, and the loading of a specimen that reads exactly there."""
    found = calibrate(Plate().pair("S1", ("A3", "A4"), 300.0).pair("S2", ("B3", "B4"), 0.2).pair("S3", ("C3", "C4"), 0.5))
    shared = {row["specimen"]: row for row in found.shared_error.table.rows()}
    low, other = shared["S2"], shared["S3"]
    assert number(low["log_value"]) == number(specimen(found, "S2")["upper_bound"])
    assert {**low, "specimen": ""} == {**other, "specimen": ""}
    assert number(shared["S1"]["log_value"]) == pytest.approx(number(specimen(found, "S1")["log_concentration"]))
    drawn = found.shared_error.draw(np.random.default_rng(1), 4000)
    assert float(np.std(drawn["p:1", "IL6", "S2"])) > 2 * float(np.std(drawn["p:1", "IL6", "S1"]))
    np.testing.assert_array_equal(drawn["p:1", "IL6", "S2"], drawn["p:1", "IL6", "S3"])


def test_wells_carry_signal_background_fit_and_recovery() -> None:
    found = calibrate(Plate().pair("S1", ("A3", "A4"), 300.0))
    standard = well(found, "B1")
    assert standard["nominal"] == 500.0
    assert standard["background"] == BACKGROUND
    assert number(standard["signal"]) == pytest.approx(number(standard["raw_signal"]) - BACKGROUND)
    assert number(standard["fitted"]) == pytest.approx(number(standard["signal"]), rel=0.15)
    assert number(standard["recovery_pct"]) == pytest.approx(100, abs=20)
    assert well(found, "H1")["nominal"] == 0.0
    assert well(found, "H1")["recovery_pct"] is None
    single = well(found, "A3")
    assert number(single["ci_low"]) < number(single["concentration"]) < number(single["ci_high"])
    assert found.wells.frame["well"].to_list()[:4] == ["A1", "A2", "A3", "A4"]


def test_below_and_above_the_limits_are_bounds_in_units_of_the_specimen() -> None:
    plate = Plate().pair("low", ("A3", "A4"), 12.0).pair("high", ("B3", "B4"), 4200.0).pair("none", ("C3", "C4"), 0.0)
    found = calibrate(plate)
    curve = found.curves.rows()[0]
    low, high, none = (specimen(found, name) for name in ("low", "high", "none"))
    assert (low["status"], low["reason"], low["lower_bound"]) == ("below_lloq", "below-lloq", None)
    assert number(low["upper_bound"]) == pytest.approx(math.log(2 * number(curve["lloq"])))
    assert low["log_concentration"] is not None
    assert json.loads(str(low["detail"])) == {"lloq": pytest.approx(2 * number(curve["lloq"])), "unit": "pg/mL"}
    assert (high["status"], high["upper_bound"]) == ("above_uloq", None)
    assert number(high["lower_bound"]) == pytest.approx(math.log(2 * number(curve["uloq"])))
    assert none["status"] == "below_lloq"


@pytest.mark.parametrize("scale", [1e-200, 1e20, 1e160])
def test_readings_that_no_reader_gives_are_refused_or_missing_without_a_crash(scale: float) -> None:
    plate = Plate().pair("S1", ("A3", "A4"), 100.0)
    for row in plate.readings:
        row["signal"] = scale * number(row["signal"])
    with np.errstate(all="raise", under="ignore"):
        row = specimen(calibrate(plate), "S1")
    assert row["status"] in {"missing", "refused"}


def test_on_a_falling_curve_overflow_means_little_not_much() -> None:
    plate = Plate().pair("S1", ("A3", "A4"), 1.0)
    for row in [row for row in plate.readings if row["wavelength_nm"] == 450]:
        plate.put(str(row["well"]), 3.4 - number(row["signal"]))
    for name in ("A3", "A4"):
        plate.put(name, None, "overflow", ">3.4")
    found = calibrate(plate)
    row = specimen(found, "S1")
    assert (row["status"], row["reason"], row["concentration"], row["lower_bound"]) == ("below_lloq", "below-lloq", None, None)
    lloq = number(found.curves.frame["lloq"][0])
    assert number(row["upper_bound"]) == pytest.approx(math.log(2 * lloq))


@pytest.mark.parametrize("model", ["auto", "5PL", "log-log"])
@pytest.mark.parametrize("weighting", ["fitted", "1/y2"])
@pytest.mark.parametrize("signals", ["all zero", "all alike", "all negative", "two levels", "noise around zero"])
def test_a_plate_that_reads_nothing_is_refused_without_a_crash(model: str, weighting: str, signals: str) -> None:
    rng = np.random.default_rng(3)
    plate = Plate().pair("S1", ("A3", "A4"), 100.0)
    for row in [row for row in plate.readings if row["wavelength_nm"] == 450]:
        was = number(row["signal"])
        told = {"all zero": 0.0, "all alike": 0.5, "all negative": -2.0 * was, "two levels": 0.1 + (was > 1)}
        plate.put(str(row["well"]), told.get(signals, float(rng.normal())) - BACKGROUND)
    rules = AssayRules(min_levels=5, curve=CurveRules.model_validate({"model": model, "weighting": weighting}))
    with np.errstate(all="raise", under="ignore"):
        row = specimen(calibrate(plate, rules=rules), "S1")
    assert row["status"] in ({"refused"} if signals in {"all zero", "all alike"} else {"refused", "quantified"})


def test_overflow_is_a_lower_bound_alone_and_a_censored_well_beside_a_dilution() -> None:
    plate = Plate().pair("S1", ("A3", "A4"), 5000.0, 1.0).pair("S2", ("B3", "B4"), 4000.0, 1.0)
    for name in ("C3", "C4"):
        plate.add(name, "specimen", "S2", 400.0, dilution=10.0)
    for name in ("A3", "A4", "B3", "B4"):
        plate.put(name, None, "overflow", ">3.0")
    found = calibrate(plate)
    only, both = specimen(found, "S1"), specimen(found, "S2")
    assert (only["status"], only["reason"], only["concentration"]) == ("above_uloq", "overflow", None)
    assert number(only["lower_bound"]) == pytest.approx(math.log(number(found.curves.rows()[0]["uloq"])))
    assert only["ci_high"] is None
    assert only["wells"] == "A3,A4"
    assert both["status"] == "quantified"
    assert number(both["concentration"]) == pytest.approx(4000, rel=0.2)
    assert well(found, "A3")["status"] == "overflow"
    assert well(found, "A3")["signal"] is None


def test_an_excluded_well_keeps_its_row_and_loses_its_influence() -> None:
    plate = Plate().pair("S1", ("A3", "A4"), 300.0)
    plate.put("A4", 3.0)
    with_it, without = calibrate(plate), calibrate(plate, decisions=exclude("well:p:1/A4"))
    assert number(specimen(with_it, "S1")["concentration"]) > 600
    assert number(specimen(without, "S1")["concentration"]) == pytest.approx(300, rel=0.2)
    row = well(without, "A4")
    assert (row["status"], row["reason"], row["detail"]) == ("masked", "excluded", '{"decision": 4}')
    assert specimen(without, "S1")["wells"] == "A3"


@pytest.mark.parametrize("target", ["plate:p:1", "file:p.txt", "specimen:S1"])
def test_an_excluded_plate_file_or_specimen_refuses_the_value(target: str) -> None:
    row = specimen(calibrate(Plate().pair("S1", ("A3", "A4"), 300.0), decisions=exclude(target)), "S1")
    assert (row["status"], row["reason"], row["detail"]) == ("refused", "excluded", '{"decision": 4}')
    assert row["concentration"] is None


def test_a_refused_plate_empties_its_values_and_says_which_rules_failed() -> None:
    plate = Plate().pair("S1", ("A3", "A4"), 300.0)
    for name, other in (("B1", "E1"), ("B2", "E2"), ("C1", "F1"), ("C2", "F2")):
        first, second = (next(r for r in plate.readings if r["well"] == w and r["wavelength_nm"] == 450) for w in (name, other))
        first["signal"], second["signal"] = second["signal"], first["signal"]
    found = calibrate(plate)
    row = specimen(found, "S1")
    assert (row["status"], row["reason"], row["concentration"], row["log_concentration"]) == ("refused", "plate-refused", None, None)
    assert "standards-fraction" in json.loads(str(row["detail"]))["rules"]
    assert not rule(found, "accepted")[0]["passed"]
    assert not any(v["accepted"] for v in found.verdicts.rows())
    assert found.shared_error.table.height == 0


def test_an_odd_plate_does_not_touch_its_neighbours() -> None:
    def plates() -> list[Plate]:
        return [Plate(f"p{i}:1", seed=i).pair(f"S{i}", ("A3", "A4"), 300.0) for i in range(5)]

    clean, spoiled = plates(), plates()
    for a, b in (("B1", "E1"), ("B2", "E2")):
        first, second = (next(r for r in spoiled[2].readings if r["well"] == w and r["wavelength_nm"] == 450) for w in (a, b))
        first["signal"], second["signal"] = second["signal"], first["signal"]
    before, after = calibrate(*clean), calibrate(*spoiled)
    assert number(specimen(after, "S1", "p1:1")["se_log"]) == pytest.approx(number(specimen(before, "S1", "p1:1")["se_log"]), rel=0.3)
    notes = {row["plate"]: row["note"] for row in after.curves.rows()}
    assert "own-variance" in str(notes["p2:1"])
    assert notes["p1:1"] is None


@pytest.mark.parametrize(
    ("state", "reason"), [("lost", "specimen-lost"), ("failed", "specimen-failed"), ("contaminated", "specimen-contaminated")]
)
def test_a_specimen_that_should_not_have_been_measured_is_missing(state: str, reason: str) -> None:
    row = specimen(calibrate(Plate().pair("S1", ("A3", "A4"), 300.0), states={"S1": state}), "S1")
    assert (row["status"], row["reason"], row["concentration"]) == ("missing", reason, None)


def test_wells_without_reading_make_a_missing_specimen() -> None:
    plate = Plate().pair("S1", ("A3", "A4"), 300.0).pair("S2", ("B3", "B4"), 300.0)
    plate.readings = [row for row in plate.readings if row["well"] not in {"A3", "A4"}]
    plate.put("B3", None, "missed")
    plate.put("B4", None, "masked")
    found = calibrate(plate)
    assert [(specimen(found, s)["status"], specimen(found, s)["reason"]) for s in ("S1", "S2")] == [("missing", "no-reading")] * 2
    assert (well(found, "A3")["status"], well(found, "A3")["reason"]) == ("empty", "no-reading")


def test_a_plate_without_enough_standards_has_no_curve() -> None:
    plate = Plate().pair("S1", ("A3", "A4"), 300.0)
    kept = {"A1", "A2", "B1", "B2", "C1", "C2", "A3", "A4"}
    plate.layout = [row for row in plate.layout if row["well"] in kept]
    plate.readings = [row for row in plate.readings if row["well"] in kept]
    found = calibrate(plate)
    assert found.curves.height == 0
    assert (specimen(found, "S1")["status"], specimen(found, "S1")["reason"]) == ("refused", "no-curve")
    assert well(found, "A3")["reason"] == "no-curve"
    assert not rule(found, "standards-levels")[0]["passed"]


def test_nominal_concentrations_are_brought_to_the_readouts_unit() -> None:
    plain, nano = Plate().pair("S1", ("A3", "A4"), 300.0), Plate(unit="ng/mL").pair("S1", ("A3", "A4"), 300.0)
    for row in nano.layout:
        row["concentration"] = None if row["concentration"] is None else number(row["concentration"]) / 1000
    expected, got = specimen(calibrate(plain), "S1"), specimen(calibrate(nano), "S1")
    assert got["unit"] == "pg/mL"
    assert number(got["concentration"]) == pytest.approx(number(expected["concentration"]), rel=1e-6)


def test_units_that_clash_refuse_the_plate_and_no_unit_is_never_invented() -> None:
    clash = Plate().pair("S1", ("A3", "A4"), 300.0)
    clash.layout[0]["unit"] = "IU/mL"
    found = calibrate(clash)
    assert specimen(found, "S1")["reason"] == "no-curve"
    assert not rule(found, "unit-known")[0]["passed"]
    assert not rule(found, "accepted")[0]["passed"]
    unnamed = calibrate(Plate(unit=None).pair("S1", ("A3", "A4"), 300.0))
    assert specimen(unnamed, "S1")["unit"] == "pg/mL"  # the top standard is the protocol's
    other = Plate(unit=None).pair("S1", ("A3", "A4"), 300.0)
    for row in other.layout:
        row["concentration"] = None if row["concentration"] is None else number(row["concentration"]) * 3
    found = calibrate(other)
    assert specimen(found, "S1")["unit"] == "as given"
    assert not rule(found, "unit-known")[0]["passed"]
    assert rule(found, "accepted")[0]["passed"]


def test_aliases_and_blanks_without_analyte_find_their_readout() -> None:
    plate = Plate(analyte="Interleukin-6").pair("S1", ("A3", "A4"), 300.0)
    plate.add("A5", "blank", "blank", 0.0)
    plate.layout[-1]["analyte"] = None
    two = {
        name: READOUT.model_copy(update={"label": label, "aliases": aliases})
        for name, label, aliases in (("IL6", "IL-6", READOUT.aliases), ("CCL18", "CCL18", ()))
    }
    found = calibrate(plate, readouts=two)
    assert well(found, "A5")["analyte"] == "IL6"
    assert found.curves.rows()[0]["standards"] == 17
    stranger = calibrate(Plate(analyte="TNF").pair("S1", ("A3", "A4"), 300.0), readouts=two)
    assert stranger.concentrations.height == 0
    assert stranger.wells.height == 18
    assert well(stranger, "A3")["analyte"] == "TNF"


def test_subtracted_blanks_stay_out_of_the_fit() -> None:
    plate = Plate().pair("S1", ("A3", "A4"), 300.0)
    plate.add("A5", "blank", "blank", 0.0)
    plate.add("A6", "blank", "blank", 0.0)
    rules = AssayRules(min_levels=5, curve=CurveRules(weighting="none", subtract_blank=True))
    kept, subtracted = calibrate(plate), calibrate(plate, rules=rules)
    assert kept.curves.rows()[0]["standards"] == 18
    assert subtracted.curves.rows()[0]["standards"] == 16
    mean = np.mean([number(well(kept, name)["signal"]) for name in ("A5", "A6")])
    assert number(well(subtracted, "A3")["background"]) == pytest.approx(BACKGROUND + mean)
    assert number(well(subtracted, "A3")["signal"]) == pytest.approx(number(well(kept, "A3")["signal"]) - mean)


def test_quality_controls_and_replicates_are_judged() -> None:
    plate = Plate().pair("S1", ("A3", "A4"), 300.0)
    for name in ("A5", "A6", "B5"):
        plate.add(name, "qc", "QC mid", 100.0, nominal=100.0)
    plate.put("A4", 2.5)
    found = calibrate(plate)
    assert [row["passed"] for row in rule(found, "qc-recovery")] == [True, True, True]
    assert rule(found, "qc-fraction")[0]["passed"]
    replicate = rule(found, "replicate-cv")[0]
    assert (replicate["subject"], replicate["passed"]) == ("S1 1:2", False)
    assert rule(found, "accepted")[0]["passed"]  # replicates are informative
    for name in ("A5", "A6"):
        plate.put(name, 0.1)
    assert not rule(calibrate(plate), "accepted")[0]["passed"]


def test_only_reduced_readings_are_used_as_they_are_and_both_are_compared() -> None:
    both, only = Plate().pair("S1", ("A3", "A4"), 300.0), Plate().pair("S1", ("A3", "A4"), 300.0)
    main = [row for row in both.readings if row["wavelength_nm"] == 450]
    reduced = [{**row, "kind": "reduced", "wavelength_nm": None, "signal": number(row["signal"]) - BACKGROUND} for row in main]
    both.readings += reduced
    only.readings = reduced
    assert rule(calibrate(both), "reduced-agrees")[0]["passed"]
    direct, derived = specimen(calibrate(only), "S1"), specimen(calibrate(both), "S1")
    assert number(direct["concentration"]) == pytest.approx(number(derived["concentration"]), rel=1e-6)
    assert well(calibrate(only), "A3")["background"] is None
    reduced[0]["signal"] = number(reduced[0]["signal"]) + 0.5
    assert not rule(calibrate(both), "reduced-agrees")[0]["passed"]


def test_fluorescence_agrees_with_its_net_value_to_half_a_unit() -> None:
    plate = Plate().pair("S1", ("A3", "A4"), 300.0)
    rows = [
        {**row, "wavelength_nm": None, "signal": round(number(row["signal"]) * 20_000) / 2}
        for row in plate.readings
        if row["wavelength_nm"] == 450
    ]
    plate.readings = rows + [{**row, "kind": "reduced", "signal": number(row["signal"]) - 0.4} for row in rows]
    assert rule(calibrate(plate), "reduced-agrees")[0]["passed"]
    plate.readings[-1]["signal"] = number(plate.readings[-1]["signal"]) * 1.05 + 1.0
    assert not rule(calibrate(plate), "reduced-agrees")[0]["passed"]


def test_a_standard_without_concentration_is_named_and_left_out() -> None:
    plate = Plate().pair("S1", ("A3", "A4"), 300.0)
    plate.layout[0]["concentration"] = None
    found = calibrate(plate)
    assert well(found, "A1")["reason"] == "no-nominal"
    assert found.curves.rows()[0]["standards"] == 15


def test_results_are_remembered_and_depend_on_the_wells_only(tmp_path: Path) -> None:
    plates = [Plate().pair("S1", ("A3", "A4"), 300.0), Plate("q:1", seed=2).pair("S2", ("A3", "A4"), 300.0)]
    work = Work(memo=Memo(tmp_path))
    first = calibrate(*plates, work=work)
    again = calibrate(*reversed(plates), work=work)
    assert work.reused["calibrating"] == 1
    assert first.concentrations.frame.equals(again.concentrations.frame)
    assert first.wells.frame.equals(again.wells.frame)


def test_nothing_to_calibrate_gives_empty_tables() -> None:
    found = calibrate()
    assert (found.wells.height, found.curves.height, found.concentrations.height) == (0, 0, 0)
