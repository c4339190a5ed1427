"""A run made by hand: the seed study's protocol, six donors, every status, fixed random numbers."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from exvivo.engine import Work
from exvivo.estimate import estimate_effects
from exvivo.study.decisions import Decision, DecisionKind, Decisions
from exvivo.study.evidence import CALLS
from exvivo.study.protocol import Protocol, load_protocol
from exvivo.study.run import Calibration, Effects, Gating, Inputs, Run, SharedError
from exvivo.study.tables import (
    CLINICAL,
    CONCENTRATIONS,
    CURVES,
    EFFECTS,
    EVENTS,
    EXCLUSIONS,
    EXPRESSIONS,
    FILES,
    FINDINGS,
    GATES,
    GATING_VARIANCE,
    LAYOUT,
    OUTCOMES,
    POPULATIONS,
    QUANTIFIED,
    READINGS,
    SHARED_ERROR,
    SKETCHES,
    SPECIMENS,
    SUPPLEMENTARY,
    TUBE_SHEET,
    TUBES,
    VENDOR,
    VERDICTS,
    WELLS,
    Table,
    TableKind,
)

SSC = [f"SSc{i:03d}" for i in range(1, 7)]
HD = ["HD01", "HD02", "HD03"]
ELISA = ["CCL18", "PDGFBB", "IL6", "CXCL10", "CXCL4"]
FLOW = ["CD204", "CD206", "CD163", "CD86", "MHCII", "TLR4"]
CLINIC: dict[str, list[str | None]] = {
    "autoab": ["ACA", "ATA", "RNAP3", "none", "ATA", None],
    "mrss": ["4", "22", "31", "8", "17", "12"],
    "du": ["never", "current", "past", "never", "past", "never"],
    "ild_ct": ["no", "yes", "yes", "no", "yes", None],
    "pah_echo": ["no", "no", "yes", "no", "no", "no"],
    "subset": ["lcSSc", "dcSSc", "dcSSc", "lcSSc", "dcSSc", "sine"],
}
NASTY = "=HYPERLINK(\"http://x\")<script>alert('x')</script>"


def rows_of(kind: TableKind, rows: Sequence[Mapping[str, object]]) -> Table:
    """Table with the further columns that its rows hold."""
    plain = [{name: row.get(name) for name in kind.names} for row in rows]
    frame = kind.from_rows(plain).frame
    further = [name for name in (list(rows[0]) if rows else []) if name not in kind.names]
    return kind.build(frame.with_columns([pl.Series(name, [row[name] for row in rows]) for name in further]))


def make_outcomes(rng: np.random.Generator) -> Table:
    rows: list[dict[str, object]] = []
    for readout in ELISA + FLOW:
        size = float(rng.uniform(3, 9))
        drop = float(rng.normal(-0.5, 0.4))
        for i, donor in enumerate(SSC):
            level = size + float(rng.normal(0, 0.5))
            for drug in ("vehicle", "ruxolitinib"):
                value = level + (drop + float(rng.normal(0, 0.2)) if drug == "ruxolitinib" else 0.0)
                rows.append(outcome_row(("A", donor, None, drug, "none"), readout, value) | {k: v[i] for k, v in CLINIC.items()})
        for donor in HD:
            level = size + float(rng.normal(0, 0.4))
            for serum_donor in SSC[:3]:
                for drug in ("vehicle", "ruxolitinib"):
                    value = level + (drop + float(rng.normal(0, 0.2)) if drug == "ruxolitinib" else 0.0)
                    rows.append(outcome_row(("B", donor, serum_donor, drug, "SSc_serum"), readout, value) | dict.fromkeys(CLINIC))
    mark(
        rows, "IL6", "SSc001", {"status": "below_lloq", "log_value": None, "se": None, "upper_bound": math.log(9.4), "reason": "below-lloq"}
    )
    mark(rows, "CD86", "SSc002", {"status": "below_background", "log_value": None, "upper_bound": 3.2, "reason": "below-detection"})
    mark(rows, "CXCL10", "SSc003", {"status": "above_uloq", "log_value": None, "lower_bound": 10.0, "reason": "above-uloq"})
    mark(rows, "CXCL4", "SSc004", {"status": "missing", "log_value": None, "reason": "specimen-lost"})
    mark(rows, "CD163", "SSc005", {"status": "too_few_events", "log_value": None, "reason": "too-few-events"})
    interval: dict[str, object] = {"log_value": None, "lower_bound": 2.0, "upper_bound": 3.0, "reason": "blank-below-lloq"}
    mark([row for row in rows if row["serum_donor"] == "SSc001"], "IL6", "HD01", interval)
    mark(rows, "PDGFBB", "SSc006", {"status": "refused", "log_value": None, "reason": "plate-refused"})
    return rows_of(OUTCOMES, rows)


def outcome_row(key: tuple[str, str, str | None, str, str], readout: str, value: float) -> dict[str, object]:
    experiment, donor, serum_donor, drug, serum = key
    return {
        "experiment": experiment,
        "donor": donor,
        "serum_donor": serum_donor,
        "drug": drug,
        "serum": serum,
        "stimulus": "none",
        "readout": readout,
        "log_value": value,
        "se": 0.05,
        "unit": "pg/mL" if readout in ELISA else "",
        "status": "quantified" if readout in ELISA else "measured",
        "sets": "FAS" if experiment == "A" else "HDS",
        "run": "R1",
        "specimens": f"{donor}-{drug}",
        "measurements": 2,
        "viability_pct": 91.0,
    }


def mark(rows: list[dict[str, object]], readout: str, donor: str, changed: dict[str, object]) -> None:
    for row in rows:
        if row["readout"] == readout and row["donor"] == donor and row["drug"] == "ruxolitinib":
            row.update(changed)


def make_calibration(rng: np.random.Generator) -> Calibration:
    wells: list[dict[str, object]] = []
    curves: list[dict[str, object]] = []
    verdicts: list[dict[str, object]] = []
    for k, (plate, analyte) in enumerate([("ccl18_1:1", "CCL18"), ("ccl18_1:2", "CCL18"), ("pdgf:1", "PDGFBB"), ("il6:1", "IL6")]):
        top, refused = 500.0 * (k + 1), plate == "pdgf:1"
        a, b, c, d = 0.06, 1.2, top / 6, 2.9
        nominal = [top / 2**i for i in range(7)] + [0.0]
        fitted = [d + (a - d) / (1 + (x / c) ** b) for x in nominal]
        for i, (x, y) in enumerate(zip(nominal, fitted, strict=True)):
            for column in (1, 2):
                signal = y * (1 + 0.02 * float(rng.normal())) + 0.005 * float(rng.normal())
                wells.append(well_row(plate, f"{'ABCDEFGH'[i]}{column}", analyte, ("standard", x, signal)))
        wells[-3] |= {"status": "masked", "reason": "excluded", "detail": '{"decision": 3}'}
        wells += [
            well_row(plate, f"{'ABCDEFGH'[j % 8]}{3 + j // 8}", analyte, ("specimen", None, float(rng.uniform(0.1, 2.8))))
            for j in range(20)
        ]
        covariance = np.diag([1e-4, 4e-4, 6e-4, 2e-3])
        curves.append(
            {
                "plate": plate,
                "analyte": analyte,
                "model": "4PL",
                "parameters": json.dumps({"a": a, "b": b, "c": c, "d": d, "g": 1.0}),
                "weighting": "fitted",
                "lloq": None if refused else top / 60,
                "uloq": None if refused else top * 0.9,
                "unit": "pg/mL",
                "sigma0": 0.005,
                "kappa": 0.02,
                "standards": 15,
                "df": 11,
                "covariance": json.dumps(covariance.tolist()),
            }
        )
        verdicts += [
            {
                "plate": plate,
                "analyte": analyte,
                "rule": rule,
                "subject": subject,
                "observed": 88.0 + 40 * (not held),
                "low": 80.0,
                "high": 120.0,
                "outcome": "held" if held else "failed",
                "passed": held,
                "accepted": not refused,
            }
            for rule, subject, held in [
                ("standards-recovery", "500", not refused),
                ("standards-recovery", "250", True),
                ("qc-recovery", "QC1", True),
                ("standards-fraction", "", not refused),
                ("replicate-cv", "S-3", k != 1),
                ("accepted", "", not refused),
            ]
        ]
    concentration = {
        "plate": "ccl18_1:1",
        "specimen": "SSc001-vehicle",
        "analyte": "CCL18",
        "concentration": 1234.567,
        "ci_low": 1100.0,
        "ci_high": 1380.0,
        "unit": "pg/mL",
        "log_concentration": math.log(1234.567),
        "se_log": 0.05,
        "status": "quantified",
        "wells": "A3,B3",
    }
    return Calibration(
        rows_of(WELLS, wells),
        rows_of(CURVES, curves),
        rows_of(VERDICTS, verdicts),
        rows_of(CONCENTRATIONS, [concentration]),
        SharedError(SHARED_ERROR.empty()),
    )


def well_row(plate: str, well: str, analyte: str, held: tuple[str, float | None, float]) -> dict[str, object]:
    role, nominal, signal = held
    return {
        "plate": plate,
        "well": well,
        "role": role,
        "specimen": "S-3" if role == "specimen" else None,
        "analyte": analyte,
        "nominal": nominal,
        "dilution": 20.0 if role == "specimen" else 1.0,
        "raw_signal": signal + 0.04,
        "background": 0.04,
        "signal": signal,
        "unit": "pg/mL",
        "status": "ok",
        "origin": "line 14",
    }


def make_gating(rng: np.random.Generator) -> Gating:
    sketches: list[dict[str, object]] = []
    for donor in [*SSC[:2], HD[0]]:
        for gate, x, y in [
            ("Time", "Time", "FSC-A"),
            ("Cells", "FSC-A", "SSC-A"),
            ("Singlets", "FSC-A", "FSC-H"),
            ("Live", "Viability-A", "FSC-A"),
        ]:
            events = np.clip(rng.normal([0.5, 0.55], [0.12, 0.1], (4000, 2)), 0, 0.999)
            counts = np.histogram2d(events[:, 1], events[:, 0], bins=64, range=[[0, 1], [0, 1]])[0].astype(int)
            outline = [[0.25, 0.3], [0.75, 0.3], [0.75, 0.8], [0.25, 0.8]]
            sketches.append(
                {
                    "donor": donor,
                    "gate": gate,
                    "x": x,
                    "y": y,
                    "x_low": 0.0,
                    "x_high": 1.0,
                    "y_low": 0.0,
                    "y_high": 1.0,
                    "bins": 64,
                    "counts": json.dumps(counts.tolist()),
                    "outline": json.dumps(outline),
                }
            )
    expression = {
        "specimen": "SSc001-cells",
        "marker": "CD204",
        "count": 3000,
        "median": 900.0,
        "background": 100.0,
        "delta": 800.0,
        "status": "measured",
    }
    tube = {
        "file": "cytometry/a.fcs",
        "specimen": "SSc001-cells",
        "kind": "full",
        "donor": "SSc001",
        "events": 5000,
        "final_count": 3000,
        "status": "measured",
    }
    population = {
        "file": "cytometry/a.fcs",
        "path": "Time/Cells",
        "parent": "Time",
        "count": 4100,
        "percent_of_parent": 82.0,
        "median_PE-A": 900.5,
    }
    return Gating(
        GATES.empty(),
        rows_of(POPULATIONS, [population]),
        rows_of(TUBES, [{k: v for k, v in tube.items() if k in TUBES.names}]),
        rows_of(EXPRESSIONS, [expression]),
        GATING_VARIANCE.empty(),
        rows_of(SKETCHES, sketches),
    )


def make_effects(protocol: Protocol, rng: np.random.Generator) -> Effects:
    rows: list[dict[str, object]] = []
    beside: list[dict[str, object]] = []
    for outcome in protocol.analysis.outcomes:
        within = "|SSc_serum" if outcome.contrast.within else ""
        for readout in outcome.readouts:
            for modifier in outcome.modifiers or (None,):
                row = effect_row(outcome.id, readout, modifier, f"ruxolitinib/vehicle{within}", rng)
                rows.append(row)
                if modifier is None:
                    beside.append(
                        row | {"role": "sensitivity", "method": "signed-rank-hl", "p_adjusted": None, "detail": '{"smallest_p": 0.03125}'}
                    )
                else:
                    beside += level_rows(row, modifier, protocol)
    change(
        rows,
        "S1",
        "IL6",
        {"status": "bound_only", "estimate": None, "ci_low": None, "ci_high": 0.82, "reason": "too-much-censored", "method": "sign-test"},
    )
    change(rows, "S3", "CXCL4", empty("not_estimable", "serum-carry-over"))
    change(
        rows,
        "S2",
        "TLR4",
        empty("not_estimable", "blocked-by-finding") | {"detail": json.dumps({"code": "voltage-differs", "place": NASTY})},
    )
    for row in rows:
        if row["modifier"] == "autoab":
            row.update(estimate=None, ci_low=None, ci_high=None, reason="joint-test-only", df=3.0)
        if row["modifier"] == "pah_echo":
            row.update(empty("not_estimable", "too-few-per-level"))
    beside.append(effect_row("S3", "CCL18", None, "serum", rng) | {"role": "supplementary"})
    beside.append(
        effect_row("S3", "CCL18", None, "interaction", rng) | {"role": "supplementary"} | empty("not_estimable", "condition-missing")
    )
    return Effects(rows_of(EFFECTS, rows), rows_of(SUPPLEMENTARY, beside))


def effect_row(outcome: str, readout: str, modifier: str | None, contrast: str, rng: np.random.Generator) -> dict[str, object]:
    estimate = float(np.exp(rng.normal(-0.4 if modifier is None else 0.0, 0.3)))
    p = float(rng.uniform(0.0001, 0.4))
    return {
        "outcome": outcome,
        "readout": readout,
        "modifier": modifier,
        "contrast": contrast,
        "role": "registered",
        "scale": "ratio" if modifier is None else "ratio of ratios",
        "estimate": estimate,
        "ci_low": estimate * 0.7,
        "ci_high": estimate * 1.5,
        "df": 5.0,
        "p": p,
        "p_adjusted": min(1.0, 4 * p),
        "donors": 6 if "SSc" not in contrast else 3,
        "serum_donors": 3 if "SSc" in contrast else None,
        "measurements": 24,
        "wells": 24 if readout in ELISA else None,
        "below_lloq_drug_pct": 16.7 if readout == "IL6" else 0.0,
        "below_lloq_comparator_pct": 0.0,
        "method": "paired-t-log" if modifier is None else "linear-log-ratio",
        "status": "estimated",
    }


def empty(status: str, reason: str) -> dict[str, object]:
    blank = dict.fromkeys(("estimate", "ci_low", "ci_high", "df", "p", "p_adjusted", "p_graph", "method"))
    return {**blank, "status": status, "reason": reason}


def level_rows(row: dict[str, object], modifier: str, protocol: Protocol) -> list[dict[str, object]]:
    block = protocol.analysis.modifiers[modifier]
    levels = block.levels or ((block.yes_label, block.no_label) if block.kind == "binary" else ())
    rows = [
        row | {"role": "level", "level": level, "p": None, "p_adjusted": None, "donors": 5 + i, "method": "linear-log-ratio"}
        for i, level in enumerate(levels)
    ]
    if rows:
        rows[-1].update(empty("not_estimable", "too-few-per-level") | {"donors": 2})
    return rows


def change(rows: list[dict[str, object]], outcome: str, readout: str, values: dict[str, object]) -> None:
    for row in rows:
        if row["outcome"] == outcome and row["readout"] == readout:
            row.update(values)


def make_inputs() -> Inputs:
    clinical: list[dict[str, object]] = [
        {"donor": d, "population": "SSc", "origin": "clinical.csv:2", "age": "51", **{k: v[i] for k, v in CLINIC.items()}}
        for i, d in enumerate(SSC)
    ]
    clinical += [{"donor": d, "population": "HD", "origin": "clinical.csv:9", "age": "40", **dict.fromkeys(CLINIC)} for d in HD]
    reading = {
        "plate": "ccl18_1:1",
        "file": "plates/ccl18_1.txt",
        "well": "A3",
        "wavelength_nm": 450,
        "kind": "raw",
        "signal": 0.412,
        "status": "ok",
        "text": "0.412",
        "origin": "line 14",
    }
    specimen = {
        "specimen": "SSc001-vehicle",
        "experiment": "A",
        "donor": "SSc001",
        "matrix": "medium",
        "state": "ok",
        "origin": "specimens.csv:2",
        "comment": NASTY,
        "drug": "vehicle",
    }
    file: dict[str, object] = {"path": "plates/ccl18_1.txt", "sha256": "ab" * 32, "bytes": 1234, "role": "plate export"}
    return Inputs(
        Path("study"),
        rows_of(FILES, [file]),
        rows_of(SPECIMENS, [specimen]),
        rows_of(READINGS, [reading]),
        LAYOUT.empty(),
        VENDOR.empty(),
        EVENTS.empty(),
        TUBE_SHEET.empty(),
        rows_of(CLINICAL, clinical),
        QUANTIFIED.empty(),
        (),
        blinded=False,
    )


def make_decisions() -> Decisions:
    told = [
        (DecisionKind.LOCK, "study", "", "data complete"),
        (DecisionKind.UNBLIND, "study", "", "lock is in place"),
        (DecisionKind.EXCLUDE, "well:ccl18_1:1/G2", "", NASTY),
    ]
    records = tuple(
        Decision(i, f"2026-01-0{i}T09:00:00+00:00", "A. Analyst", kind, target, value, reason, "0" * 64)
        for i, (kind, target, value, reason) in enumerate(told, start=1)
    )
    return Decisions(records, "cd" * 32)


@pytest.fixture(scope="session")
def protocol() -> Protocol:
    return load_protocol(Path(str(files("exvivo") / "templates" / "ssc-ruxolitinib" / "study.yaml")))


def make_background(outcomes: Table, protocol: Protocol) -> dict[str, Table]:
    """Pairs and diagnostics of the outcomes as the stage gives them, and the R code of two rows."""
    shared = SharedError(SHARED_ERROR.empty())
    made = estimate_effects(outcomes, shared, FINDINGS.empty(), protocol.analysis, Decisions(), Work())
    code = {"packages": "lme4,pbkrtest", "tolerance": 1e-6, "code": 'result <- c(ratio = 1) # <b> & "it"'}
    calls = [code | {"table": "effects", "row": 1}, code | {"table": "supplementary", "row": 1, "packages": None}]
    return {"ratios": made.ratios, "diagnostics": made.diagnostics, "calls": rows_of(CALLS, calls)}


@pytest.fixture(scope="session")
def run(protocol: Protocol) -> Run:
    rng = np.random.default_rng(4206644)
    findings = [
        {
            "code": "voltage-differs",
            "severity": "error",
            "place": NASTY,
            "evidence": "PE-A 400 V, else 420 V",
            "suggestion": "ask the operator",
            "outcomes": "S2",
        },
        {
            "code": "plate-refused",
            "severity": "warning",
            "place": "pdgf:1",
            "evidence": "2 of 7 standards",
            "suggestion": "repeat it",
            "outcomes": "S1",
        },
    ]
    exclusions: list[dict[str, object]] = [
        {"what": "well", "target": "ccl18_1:1/G2", "readout": "CCL18", "by": "decision", "reason": NASTY, "decision": 3},
        {
            "what": "value",
            "target": "SSc001-ruxolitinib",
            "readout": "IL6",
            "by": "rule",
            "reason": "below-lloq",
            "detail": '{"lloq": 9.4}',
        },
    ]
    taken = {"what": "value", "target": "A/SSc002", "by": "rule", "reason": "excluded", "detail": '{"decision": 3}'}
    exclusions += [{**taken, "readout": readout} for readout in ("CCL18", "IL6")]
    calibration, gating, outcomes = make_calibration(rng), make_gating(rng), make_outcomes(rng)
    effects = make_effects(protocol, rng)
    effects = dataclasses.replace(effects, **make_background(outcomes, protocol))
    return Run(
        protocol,
        make_decisions(),
        make_inputs(),
        calibration,
        gating,
        outcomes,
        rows_of(FINDINGS, findings),
        effects,
        rows_of(EXCLUSIONS, exclusions),
        effects.effects,
    )


@pytest.fixture(scope="session")
def blinded_run(run: Run) -> Run:
    """The same run before a decision unblinded it."""
    coded = pl.col("drug").replace({"vehicle": "K7", "ruxolitinib": "Q2"})
    rows = [row | empty("blinded", "conditions-coded") for row in run.effects.effects.rows()]
    return dataclasses.replace(
        run,
        inputs=dataclasses.replace(run.inputs, blinded=True),
        decisions=Decisions(run.decisions.records[:1], run.decisions.head),
        outcomes=OUTCOMES.build(run.outcomes.frame.with_columns(coded)),
        effects=Effects(rows_of(EFFECTS, rows), SUPPLEMENTARY.empty()),
        without_post_hoc=EFFECTS.empty(),
    )
