"""Readings + layout -> wells with one signal each, and the standard curves of one analyte.

The signal of a well is its raw reading at the readout's wavelength minus the reading at the
reference wavelength where the export holds it, minus the plate's mean blank where the protocol
asks for that. A reading above the reader's range has no signal; it is known to lie above a cap:
the printed one (``>3.5``) or the largest signal read on the plate. Concentrations are brought to
the readout's unit; without any unit they are taken as the protocol's only if the top standard is
the protocol's, else they stay ``as given``.

Blank wells and zero standards are the same thing, a standard at log concentration -inf, except
after blank subtraction, where blanks stay out of the fit as they do in the readers' software.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import polars as pl

from exvivo.numerics.curves import Curve, Weighting
from exvivo.numerics.least_squares import Branch, Standards
from exvivo.numerics.pooling import BRANCHES, Model, PooledFit, fit_pooled
from exvivo.study.decisions import Decision, Decisions, TargetKind
from exvivo.study.design import SignalKind, WellRole, well_position
from exvivo.study.model import AssayRules, CurveRules, ElisaReadout
from exvivo.study.protocol import Assays, plain
from exvivo.study.run import Inputs
from exvivo.study.statuses import Reason, WellStatus
from exvivo.study.tables import Table
from exvivo.study.units import AS_GIVEN, conversion_factor

Row = Mapping[str, object]

FEWEST_LEVELS = {Model.FOUR: 4, Model.FIVE: 5, Model.POWER_LAW: 2, Model.AUTO: 4}  # as many as the curve has parameters
TOP_TOLERANCE = 0.05
REDUCED_ABSOLUTE, REDUCED_RELATIVE = 0.002, 0.01
LARGEST_SIGNAL = 1e15  # no reader counts further
REDUCED_FLUORESCENCE, OPTICAL_LIMIT = 0.5, 10.0  # fluorescence is printed in halves; no absorbance reaches 10


@dataclass(frozen=True, slots=True)
class Well:
    """One well on its way through calibration. ``cap`` is what an overflow exceeds; ``unit`` is None where units clash.

    ``state`` is the specimen's in specimens.csv; ``reduced_gap`` is the plate's largest difference between our
    and the reader's reduction, 1 = as large as tolerated.
    """

    plate: str
    well: str
    role: str | None
    specimen: str | None
    analyte: str | None
    nominal: float | None
    dilution: float
    raw_signal: float | None
    background: float | None
    signal: float | None
    cap: float | None
    unit: str | None
    status: str
    reason: str | None
    detail: str | None
    origin: str
    state: str | None
    reduced: float | None
    reduced_gap: float | None
    lot: str | None = None

    @property
    def readable(self) -> bool:
        """Whether it says anything about a concentration."""
        return self.status == WellStatus.OK or (self.status == WellStatus.OVERFLOW and self.cap is not None)

    @property
    def is_standard(self) -> bool:
        """Whether its concentration is known to be that of a standard or of the zero."""
        return self.role in {WellRole.STANDARD, WellRole.BLANK}

    @property
    def excluded(self) -> bool:
        """Whether a decision took it out."""
        return self.reason == Reason.EXCLUDED


WELL_SCHEMA: Mapping[str, pl.DataType] = {
    field.name: pl.Float64()
    if field.name in {"nominal", "dilution", "raw_signal", "background", "signal", "cap", "reduced", "reduced_gap"}
    else pl.String()
    for field in fields(Well)
}


@dataclass(frozen=True, slots=True)
class FittedPlate:
    """Wells of one plate and analyte in natural order, its standards as fitted, and its curve where there can be one."""

    plate: str
    wells: tuple[Well, ...]
    standards: Standards
    curve: Curve | None
    keeps_own_variance: bool = False

    @property
    def unit(self) -> str | None:
        """Unit of its concentrations; None where units clash."""
        return self.wells[0].unit


def derive_wells(inputs: Inputs, assays: Assays, decisions: Decisions) -> tuple[Well, ...]:
    """Every well that has a reading or a place in the layout, with its signal; sorted by plate, row and column."""
    layout = {(str(r["plate"]), str(r["well"])): r for r in inputs.layout.frame.iter_rows(named=True)}
    readings = _group_readings(inputs.readings)
    reader = _Reader.of(inputs.readings)
    names = _resolve_analytes(layout, assays)
    excluded = {kind: decisions.excluded(kind) for kind in TargetKind}
    states = dict(inputs.specimens.frame.select("specimen", "state").iter_rows())
    wells = []
    for place in sorted(layout.keys() | readings.keys(), key=_natural):
        row, analyte = layout.get(place), names.get(place)
        readout = assays.readouts.get(analyte or "")
        well = _read_well(place, row, readings.get(place, ()), reader.choose(place[0], readout))
        named = {"analyte": analyte or _text(row, "analyte"), "state": states.get(well.specimen or "")}
        wells.append(_exclude(replace(well, **named), reader.files.get(place[0]), excluded))  # type: ignore[arg-type]  # str | None, both
    return tuple(_finish_plates(wells, assays, layout))


def fit_plates(wells: Sequence[Well], rules: AssayRules) -> tuple[FittedPlate, ...]:
    """Curves of all plates of one analyte, variance pooled over them; plates in order of name.

    A plate gets no curve when its units clash, it has fewer usable standard wells or levels than the curve needs, or all of them
    read the same.
    """
    weighting, model = Weighting(rules.curve.weighting), Model(rules.curve.model)
    plates = []
    for name, own in _by_plate(wells).items():
        used = [well for well in own if is_fitted(well, rules)]
        standards = Standards(np.array([log_nominal(w) for w in used]), np.array([w.signal for w in used], dtype=np.float64))
        plates.append(FittedPlate(name, tuple(own), standards, None))
    fittable = [plate for plate in plates if _is_fittable(plate, FEWEST_LEVELS[model])]
    if not fittable:
        return tuple(plates)
    fit: PooledFit = fit_pooled([plate.standards for plate in fittable], weighting, model, _branches(rules.curve))
    fitted = {
        plate.plate: replace(plate, curve=curve, keeps_own_variance=not pooled)
        for plate, curve, pooled in zip(fittable, fit.curves, fit.pooled, strict=True)
    }
    return tuple(fitted.get(plate.plate, plate) for plate in plates)


def _branches(curve: CurveRules) -> tuple[Branch, ...]:
    return BRANCHES if curve.branch == "both" else (Branch(curve.branch),)


def is_fitted(well: Well, rules: AssayRules) -> bool:
    """Whether a well takes part in the fit of its plate's curve."""
    if well.status != WellStatus.OK or not well.is_standard or well.reason is not None or well.nominal is None:
        return False
    return not (well.role == WellRole.BLANK and rules.curve.subtract_blank)


def log_nominal(well: Well) -> float:
    """Natural log of the nominal concentration, -inf for the zero standard."""
    return float(np.log(well.nominal)) if well.nominal else -np.inf


def _is_fittable(plate: FittedPlate, fewest: int) -> bool:
    levels, signals = np.unique(plate.standards.log_conc), np.unique(plate.standards.signal)
    return plate.unit is not None and plate.standards.signal.size > fewest and levels.size >= fewest and signals.size > 1


def _by_plate(wells: Iterable[Well]) -> dict[str, list[Well]]:
    plates: dict[str, list[Well]] = {}
    for well in sorted(wells, key=lambda w: _natural((w.plate, w.well))):
        plates.setdefault(well.plate, []).append(well)
    return plates


def _natural(place: tuple[str, str]) -> tuple[str, int, int]:
    return (place[0], *well_position(place[1]))


def _text(row: Row | None, column: str) -> str | None:
    cell = None if row is None else row[column]
    return None if cell is None else str(cell)


def _real(row: Row | None, column: str) -> float | None:
    cell = None if row is None else row[column]
    return float(cell) if isinstance(cell, int | float) else None


# ------------------------------------------------------------------------------------------------ what a well reads


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which readings of a plate are used: kind, measuring wavelength and reference; ``found`` when none can be."""

    kind: SignalKind | None
    wavelength: int | None = None
    reference: int | None = None
    found: tuple[int | None, ...] = ()


@dataclass(frozen=True, slots=True)
class _Reader:
    """What the export of each plate holds: wavelengths of raw and of reduced readings, and its file."""

    raw: Mapping[str, frozenset[int | None]]
    reduced: Mapping[str, frozenset[int | None]]
    files: Mapping[str, str]

    @classmethod
    def of(cls, readings: Table) -> "_Reader":
        held: dict[str, dict[str, set[int | None]]] = {kind: {} for kind in SignalKind}
        for plate, kind, wavelength in readings.frame.select("plate", "kind", "wavelength_nm").unique().iter_rows():
            held[kind].setdefault(plate, set()).add(wavelength)
        frozen = {kind: {plate: frozenset(found) for plate, found in plates.items()} for kind, plates in held.items()}
        files = dict(readings.frame.select("plate", "file").unique().sort("plate", "file").iter_rows())
        return cls(frozen[SignalKind.RAW], frozen[SignalKind.REDUCED], files)

    def choose(self, plate: str, readout: ElisaReadout | None) -> _Choice:
        """Raw readings at the readout's wavelength, or at the only one there is; else what the reader reduced."""
        raw, reduced = self.raw.get(plate, frozenset()), self.reduced.get(plate, frozenset())
        wanted = None if readout is None else readout.wavelength_nm
        reference = None if readout is None else readout.reference_wavelength_nm
        for kind, held in ((SignalKind.RAW, raw), (SignalKind.REDUCED, reduced)):
            if wanted is not None and wanted in held:
                measuring: int | None = wanted
            elif len(held) == 1 and (reference is None or reference not in held):
                measuring = next(iter(held))
            else:
                continue
            subtracts = kind is SignalKind.RAW and reference in held and reference != measuring
            return _Choice(kind, measuring, reference if subtracts else None)
        return _Choice(None, found=tuple(sorted(raw | reduced, key=lambda w: -1 if w is None else w)))


def _group_readings(readings: Table) -> dict[tuple[str, str], list[Row]]:
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row in readings.frame.iter_rows(named=True):
        grouped.setdefault((row["plate"], row["well"]), []).append(row)
    return grouped


def _pick(rows: Iterable[Row], kind: SignalKind | None, wavelength: int | None) -> Row | None:
    return next((row for row in rows if row["kind"] == kind and row["wavelength_nm"] == wavelength), None)


def _read_well(place: tuple[str, str], row: Row | None, readings: Sequence[Row], choice: _Choice) -> Well:
    main = _pick(readings, choice.kind, choice.wavelength)
    reference = None if choice.reference is None else _pick(readings, choice.kind, choice.reference)
    lacking = choice.reference is not None and (reference is None or reference["status"] != WellStatus.OK)
    status = WellStatus.EMPTY if main is None else WellStatus(str(main["status"]))
    reason = None if main is not None else Reason.NO_READING
    absurd = status == WellStatus.OK and abs(_real(main, "signal") or 0.0) > LARGEST_SIGNAL
    if absurd or (status in {WellStatus.OK, WellStatus.OVERFLOW} and lacking):
        status, reason = WellStatus.MISSED, Reason.NO_READING
    raw = _real(main, "signal") if status == WellStatus.OK else None
    background = None if lacking else _real(reference, "signal")
    reduced = [r for r in readings if r["kind"] == SignalKind.REDUCED and r["wavelength_nm"] in {choice.wavelength, None}]
    role = _text(row, "role")
    return Well(
        plate=place[0],
        well=place[1],
        role=role,
        specimen=_text(row, "specimen"),
        analyte=None,
        nominal=0.0 if role == WellRole.BLANK else _real(row, "concentration"),
        dilution=_real(row, "dilution") or 1.0,
        raw_signal=raw,
        background=background,
        signal=None if raw is None else raw - (background or 0.0),
        cap=_printed_cap(main) if status == WellStatus.OVERFLOW else None,
        unit=_text(row, "unit"),
        status=status,
        reason=reason,
        detail=None if main is not None or choice.kind else json.dumps({"wavelengths_nm": list(choice.found)}),
        origin=_text(main, "origin") or _text(row, "origin") or "",
        state=None,
        reduced=_real(reduced[0], "signal") if choice.kind is SignalKind.RAW and len(reduced) == 1 else None,
        reduced_gap=None,
        lot=_text(row, "lot"),
    )


def _printed_cap(main: Row | None) -> float | None:
    """The number in ``>3.5``, raw signal; None when the reader only says that it overflowed."""
    match = re.fullmatch(r"\s*>\s*(\d+(?:[.,]\d+)?)\s*", _text(main, "text") or "")
    return float(match[1].replace(",", ".")) if match else None


# --------------------------------------------------------------------------------------- analytes, decisions, plates


def _resolve_analytes(layout: Mapping[tuple[str, str], Row], assays: Assays) -> dict[tuple[str, str], str]:
    """Readout of each well. No name means the protocol's only immunoassay; a blank without name serves its plate's only analyte."""
    spellings = {plain(text): key for key, r in assays.readouts.items() for text in (key, r.label, *r.aliases)}
    only = next(iter(assays.readouts)) if len(assays.readouts) == 1 else None
    named: dict[tuple[str, str], str] = {}
    unnamed = []
    for place, row in layout.items():
        text = _text(row, "analyte")
        found = spellings.get(plain(text)) if text else only
        if row["role"] == WellRole.EMPTY or row["role"] is None:
            continue
        if found is not None:
            named[place] = found
        elif not text and row["role"] == WellRole.BLANK:
            unnamed.append(place)
    on_plate: dict[str, set[str]] = {}
    for (plate, _), analyte in named.items():
        on_plate.setdefault(plate, set()).add(analyte)
    for place in unnamed:
        if len(on_plate.get(place[0], ())) == 1:
            named[place] = next(iter(on_plate[place[0]]))
    return named


def _exclude(well: Well, file: str | None, excluded: Mapping[TargetKind, Mapping[str, Decision]]) -> Well:
    """The well masked, with the decision that took out itself, its plate, its file or its specimen."""
    targets = {TargetKind.WELL: f"{well.plate}/{well.well}", TargetKind.PLATE: well.plate, TargetKind.FILE: file or ""}
    if well.role == WellRole.SPECIMEN and well.specimen:
        targets[TargetKind.SPECIMEN] = well.specimen
    decision = next((excluded[kind][name] for kind, name in targets.items() if name in excluded[kind]), None)
    if decision is None:
        return well
    return replace(well, status=WellStatus.MASKED, reason=Reason.EXCLUDED, detail=json.dumps({"decision": decision.seq}))


def _finish_plates(wells: Sequence[Well], assays: Assays, layout: Mapping[tuple[str, str], Row]) -> Iterable[Well]:
    """Wells in order, with what needs the whole plate: cap, unit, blank, comparison with the reader's reduction."""
    finished: dict[tuple[str, str], Well] = {}
    groups: dict[tuple[str, str], list[Well]] = {}
    for well in wells:
        if well.analyte in assays.readouts and (well.plate, well.well) in layout:
            groups.setdefault((well.plate, well.analyte or ""), []).append(well)
        else:
            finished[well.plate, well.well] = well
    for (_, analyte), own in groups.items():
        settled = _settle_units(own, assays.readouts[analyte])
        for well in _subtract_blank(_set_caps(settled), subtract=assays.rules.curve.subtract_blank):
            finished[well.plate, well.well] = _name_missing_nominal(well)
    return (finished[well.plate, well.well] for well in wells)


def _name_missing_nominal(well: Well) -> Well:
    if well.role == WellRole.STANDARD and well.nominal is None and well.reason is None:
        return replace(well, reason=Reason.NO_NOMINAL)
    return well


def _set_caps(wells: Sequence[Well]) -> list[Well]:
    """Overflows exceed the printed cap or, failing that, the largest reading of the plate."""
    largest = max((w.raw_signal for w in wells if w.raw_signal is not None and w.status == WellStatus.OK), default=None)
    capped = []
    for well in wells:
        cap = max((c for c in (well.cap, largest) if c is not None), default=None)
        above = well.status == WellStatus.OVERFLOW and cap is not None
        capped.append(replace(well, cap=(cap or 0.0) - (well.background or 0.0) if above else None))
    return capped


def _settle_units(wells: Sequence[Well], readout: ElisaReadout) -> list[Well]:
    """Nominal concentrations in the readout's unit, or as given; unit None where they cannot be brought together."""
    known = [w for w in wells if w.nominal and w.role in {WellRole.STANDARD, WellRole.QC}]
    units = {w.unit or AS_GIVEN for w in known}
    if units <= {AS_GIVEN}:
        top = max((w.nominal or 0.0 for w in known if w.role == WellRole.STANDARD), default=0.0)
        is_protocols = abs(top - readout.standards.top) <= TOP_TOLERANCE * readout.standards.top
        return [replace(w, unit=readout.unit if is_protocols else AS_GIVEN) for w in wells]
    try:
        factors = {unit: conversion_factor(unit, readout.unit) for unit in units}
    except ValueError:
        return [replace(w, unit=None) for w in wells]
    return [
        replace(w, unit=readout.unit, nominal=None if w.nominal is None else w.nominal * factors.get(w.unit or AS_GIVEN, 1.0))
        for w in wells
    ]


def _subtract_blank(wells: Sequence[Well], *, subtract: bool) -> list[Well]:
    blanks = [w.signal for w in wells if w.role == WellRole.BLANK and w.status == WellStatus.OK and w.signal is not None]
    mean = float(np.mean(blanks)) if blanks else None
    gap = _compare_reduction(wells, mean)
    shift = mean if subtract and mean is not None else 0.0
    finished = []
    for well in wells:
        background = well.background if shift == 0.0 else (well.background or 0.0) + shift
        signal = None if well.signal is None else well.signal - shift
        cap = None if well.cap is None else well.cap - shift
        finished.append(replace(well, background=background, signal=signal, cap=cap, reduced_gap=gap))
    return finished


def _compare_reduction(wells: Sequence[Well], blank: float | None) -> float | None:
    """Largest difference from the reader's own reduction, in tolerances, whether or not the reader also subtracted the blank."""
    both = [(w.signal, w.reduced) for w in wells if w.status == WellStatus.OK and w.signal is not None and w.reduced is not None]
    if not both:
        return None
    ours, theirs = np.array(both).T
    is_optical = np.max(np.abs(ours)) < OPTICAL_LIMIT
    tolerance = (REDUCED_ABSOLUTE if is_optical else REDUCED_FLUORESCENCE) + REDUCED_RELATIVE * np.abs(theirs)
    return float(min(np.max(np.abs(ours - shift - theirs) / tolerance) for shift in (0.0, blank or 0.0)))
