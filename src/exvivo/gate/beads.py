"""Calibration beads of a session -> conversions of medians into molecules of fluorochrome, channel by channel.

Beads are not compensated: they carry many dyes. A compensated median keeps the unit of its own detector,
so the conversion holds for it as well. It holds at the voltages of the beads only: a file that was acquired
at another voltage or gain is not converted, and told.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from exvivo.errors import DesignError, fault, unknown
from exvivo.formats import fcs
from exvivo.gate.files import Described
from exvivo.gate.populations import positions_of
from exvivo.numerics.beads import Conversion, Fate, Peak, Populations, find_populations, fit_conversion, select_singlets, summarise_peaks
from exvivo.study.cytometry import BEAD_PEAKS, BEADS, BeadReason, BeadSet, BeadStatus
from exvivo.study.design import Channel
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.statuses import Severity
from exvivo.study.tables import POPULATIONS, Table

LEAST_EVENTS = 200
"""Events without which populations are not looked for."""
MOST_RESIDUAL_PCT = 20.0
"""A channel is refused when a population lies farther than this from the curve."""
SLOPE_TOLERANCE = 0.1
"""A slope farther than this from 1 is told: molecules are then not proportional to fluorescence."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CalibratedChannel:
    """One channel of a bead file, its populations, and its conversion unless it was refused for a reason."""

    file: str
    channel: Channel
    told_apart_by: str
    known: tuple[float | None, ...]
    peaks: tuple[Peak, ...]
    fit: Conversion | None
    reason: BeadReason | None

    @property
    def conversion(self) -> Conversion | None:
        """What medians may be converted with."""
        return None if self.reason else self.fit

    def holds_for(self, channel: Channel) -> bool:
        """Whether another file's channel has the settings of the beads, as far as both files tell."""
        volts = {channel.voltage, self.channel.voltage} - {None}
        return len(volts) < 2 and (channel.gain, channel.amplification) == (self.channel.gain, self.channel.amplification)


def calibrate_beads(sets: Sequence[BeadSet]) -> tuple[CalibratedChannel, ...]:
    """Every channel of every bead file.

    Raises
    ------
    InputError : a bead file cannot be read
    DesignError : a channel that a file does not have, or a file in which no channel shows the populations, all together
    """
    calibrated: list[CalibratedChannel] = []
    faults: list[str] = []
    for beads in sets:
        record = fcs.parse(beads.path)[0]
        names = [channel.name for channel in record.channels]
        if absent := [name for name in beads.values if name not in names]:
            faults += [fault(beads.file, unknown("channel", name, names)) for name in absent]
            continue
        events = fcs.read_events(beads.path, record).astype(np.float64)
        events = events[np.isfinite(events).all(axis=1)]
        try:
            calibrated += _calibrate_file(beads, record.channels, events)
        except DesignError as error:
            faults += error.messages
    if faults:
        raise DesignError(faults)
    return tuple(calibrated)


def attach_molecules(
    populations: Table, described: Sequence[Described], calibrated: Sequence[CalibratedChannel]
) -> tuple[Table, tuple[Finding, ...]]:
    """POPULATIONS with a column ``mesf_CHANNEL`` for every calibrated channel, and what was not converted."""
    found: list[Finding] = []
    frame = populations.frame
    for one in calibrated:
        name = one.channel.name
        converted = np.full(frame.height, math.nan)
        if one.conversion is not None and f"median_{name}" in frame.columns:
            holds, differing = _files(described, one)
            found += differing
            medians = frame[f"median_{name}"].fill_null(math.nan).to_numpy()
            converted = np.where(frame["file"].is_in(holds).to_numpy(), one.conversion.convert(medians), math.nan)
        frame = frame.with_columns(pl.Series(f"mesf_{name}", converted, dtype=pl.Float64).fill_nan(None))
    return POPULATIONS.build(frame), tuple(found)


def tabulate_beads(calibrated: Sequence[CalibratedChannel]) -> tuple[Table, Table]:
    """BEADS and BEAD_PEAKS."""
    return BEADS.from_rows([_row(one) for one in calibrated]), BEAD_PEAKS.from_rows([row for one in calibrated for row in _peak_rows(one)])


def judge_beads(calibrated: Sequence[CalibratedChannel]) -> tuple[Finding, ...]:
    """Channels that were refused, and slopes far from 1."""
    found = []
    for one in calibrated:
        place = f"{one.file}, {one.channel.name}"
        used = sum(peak.fate is Fate.USED for peak in one.peaks)
        if one.reason is BeadReason.FEW_POPULATIONS:
            evidence = f"{used} of {len(one.peaks)} populations can be used ({_fates(one.peaks)}), three are needed"
            suggestion = "Acquire beads at voltages at which more of them are on scale"
            found.append(Finding(FindingCode.BEADS_REFUSED, Severity.WARNING, place, evidence, suggestion))
        elif one.reason is BeadReason.RESIDUAL_LARGE and one.fit is not None:
            worst = float(np.max(np.abs(one.fit.residual_pct)))
            evidence = f"a population lies {worst:.0f} % from the curve, at most {MOST_RESIDUAL_PCT:.0f} % is accepted"
            suggestion = "Check the lot of the beads, the channel of the values and their order"
            found.append(Finding(FindingCode.BEADS_REFUSED, Severity.WARNING, place, evidence, suggestion))
        elif one.fit is not None and abs(one.fit.slope - 1.0) > SLOPE_TOLERANCE:
            evidence = f"slope {one.fit.slope:.2f}: molecules are not proportional to fluorescence"
            suggestion = "Do not subtract or divide converted values; check the detector and the values of the beads"
            found.append(Finding(FindingCode.BEADS_SLOPE, Severity.WARNING, place, evidence, suggestion))
    return tuple(found)


def convert_delta(
    one: CalibratedChannel, median: tuple[float, float], background: tuple[float, float]
) -> tuple[float, float | None] | None:
    """Molecules of a median less those of its control's, with the standard error; each median comes with its own.

    Both medians are converted, then subtracted: molecules add up, fluorescence does so only where the slope is 1. None where
    the channel could not be calibrated, and where its slope is so far from 1 that compensation, a sum of fluorescences, is itself in doubt.
    """
    conversion = one.conversion
    if conversion is None or abs(conversion.slope - 1.0) > SLOPE_TOLERANCE:
        return None
    return conversion.difference(median, background)


def _calibrate_file(beads: BeadSet, channels: Sequence[Channel], events: Array) -> list[CalibratedChannel]:
    if len(events) < LEAST_EVENTS:
        expected = f"{LEAST_EVENTS} or more"
        raise DesignError(fault(beads.file, f"{len(events)} events", expected, "Acquire more beads"))
    scatter = [_scatter(channels, prefixes) for prefixes in (("FSC", "FS"), ("SSC", "SS"))]
    if None not in scatter:
        events = events[select_singlets(events[:, [at for at in scatter if at is not None]])]
    lights = [at for at, channel in enumerate(channels) if _is_light(channel.name)]
    lights += [at for at, channel in enumerate(channels) if channel.name in beads.values and at not in lights]
    floors = np.array([_ends(channels[at], events[:, at])[0] for at in lights])
    populations, shown = find_populations(events[:, lights], floors, beads.n_populations)
    if populations is None:
        listed = ", ".join(f"{channels[at].name} {count}" for at, count in zip(lights, shown, strict=True))
        found = f"no channel shows {beads.n_populations} populations of beads; peaks by channel: {listed}"
        expected = "as many populations as the table has values, in about equal parts"
        raise DesignError(fault(beads.file, found, expected, "Check the file, or correct the number of values"))
    by_name = positions_of(channels)
    told_apart_by = ", ".join(channels[lights[at]].name for at in populations.channels)
    return [
        _calibrate_channel(
            CalibratedChannel(beads.file, channels[by_name[name]], told_apart_by, known, (), None, None), column, populations
        )
        for name, known in beads.values.items()
        for column in [events[:, by_name[name]]]
    ]


def _calibrate_channel(one: CalibratedChannel, values: Array, populations: Populations) -> CalibratedChannel:
    peaks = summarise_peaks(values, populations.labels, one.known, *_ends(one.channel, values))
    used = [(peak.median, value) for peak, value in zip(peaks, one.known, strict=True) if peak.fate is Fate.USED]
    fit, reason = None, None
    if len(used) < 3:
        reason = BeadReason.FEW_POPULATIONS
    else:
        medians, known = np.array(used, dtype=np.float64).T
        fit = fit_conversion(medians, known)
        reason = BeadReason.RESIDUAL_LARGE if np.max(np.abs(fit.residual_pct)) > MOST_RESIDUAL_PCT else None
    return CalibratedChannel(one.file, one.channel, one.told_apart_by, one.known, peaks, fit, reason)


def _scatter(channels: Sequence[Channel], prefixes: tuple[str, ...]) -> int | None:
    """Index of forward or side scatter, its area where there is one."""
    named = [at for at, channel in enumerate(channels) if channel.name.upper().startswith(prefixes)]
    areas = [at for at in named if channels[at].name.upper().endswith("-A")]
    return next(iter([*areas, *named]), None)


def _is_light(name: str) -> bool:
    """Whether a channel measures fluorescence: neither scatter nor time nor the width of a pulse."""
    upper = name.upper()
    return not upper.startswith(("FSC", "SSC", "FS ", "SS ", "TIME")) and not upper.endswith("-W")


def _ends(channel: Channel, values: Array) -> tuple[float, float]:
    """Lowest and highest value of a channel's scale; a linear one has no lowest, and 0 says where its values tell nothing."""
    decades, offset = channel.amplification
    if decades > 0:
        return offset, offset * 10.0 ** (decades * (channel.range - 1.0) / channel.range)
    return 0.0, max((channel.range - 1.0) / channel.gain, float(np.max(values)))


def _files(described: Sequence[Described], one: CalibratedChannel) -> tuple[list[str], list[Finding]]:
    """Files that the conversion holds for, and a finding for those that were acquired otherwise."""
    holds: list[str] = []
    found: list[Finding] = []
    for file in described:
        channel = next((channel for channel in file.records[0].channels if channel.name == one.channel.name), None)
        if channel is None:
            continue
        if one.holds_for(channel):
            holds.append(file.name)
            continue
        evidence = f"{channel.name} at {_settings(channel)}, the beads in {one.file} at {_settings(one.channel)}: not converted"
        suggestion = "Use beads that were acquired at the same settings"
        found.append(Finding(FindingCode.VOLTAGE_DIFFERS, Severity.WARNING, file.name, evidence, suggestion))
    return holds, found


def _settings(channel: Channel) -> str:
    volts = "unknown voltage" if channel.voltage is None else f"{channel.voltage:g} V"
    return f"{volts} and gain {channel.gain:g}"


def _fates(peaks: Sequence[Peak]) -> str:
    return ", ".join(f"{place} {peak.fate}" for place, peak in enumerate(peaks, 1) if peak.fate is not Fate.USED)


def _row(one: CalibratedChannel) -> Mapping[str, object]:
    row: dict[str, object] = {
        "channel": one.channel.name,
        "file": one.file,
        "status": BeadStatus.REFUSED if one.reason else BeadStatus.CALIBRATED,
        "reason": one.reason,
        "told_apart_by": one.told_apart_by,
        "used": sum(peak.fate is Fate.USED for peak in one.peaks),
        "voltage": one.channel.voltage,
    }
    fit = one.fit
    if fit is None:
        return row
    slope_se, intercept_se, autofluorescence_se = fit.standard_errors()
    return row | {
        "slope": fit.slope,
        "slope_se": slope_se,
        "intercept": fit.intercept,
        "intercept_se": intercept_se,
        "autofluorescence": fit.autofluorescence,
        "autofluorescence_se": autofluorescence_se,
        "df": fit.df,
        "worst_residual_pct": float(np.max(np.abs(fit.residual_pct))),
        "low": fit.low,
        "high": fit.high,
    }


def _peak_rows(one: CalibratedChannel) -> list[Mapping[str, object]]:
    residuals = iter([] if one.fit is None else one.fit.residual_pct.tolist())
    return [
        {
            "channel": one.channel.name,
            "population": place,
            "events": peak.count,
            "median": peak.median,
            "median_se": peak.se,
            "known": known,
            "fate": peak.fate.value,
            "residual_pct": next(residuals, None) if peak.fate is Fate.USED else None,
        }
        for place, (peak, known) in enumerate(zip(one.peaks, one.known, strict=True), 1)
    ]
