"""What the spine's stages hand on: frozen bundles of checked tables, all of them together a ``Run``.

Every member is a table, so that a run can be written to disk, read back and compared without knowing
any stage.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from exvivo.study.decisions import Decisions
from exvivo.study.evidence import CALLS, DIAGNOSTICS, RATIOS
from exvivo.study.findings import Finding
from exvivo.study.protocol import Protocol
from exvivo.study.tables import CONTROLS, LIMITS, Table

Array = npt.NDArray[np.float64]

LOADINGS = ("l1", "l2", "l3", "l4", "l5", "l6")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the instruments, the lab and the clinic wrote, as tables; nothing interpreted.

    ``found`` is what reading could not link; while the study is ``blinded``, levels of the blinded factor are codes
    in ``specimens`` and ``quantified``.
    """

    folder: Path
    files: Table
    specimens: Table
    readings: Table
    layout: Table
    vendor: Table
    events: Table
    tube_sheet: Table
    clinical: Table
    quantified: Table
    found: tuple[Finding, ...]
    blinded: bool


@dataclass(frozen=True, slots=True)
class SharedError:
    """Errors that all concentrations of one curve share, as loadings: covariance = L Lᵀ, ln units.

    Columns 1 to 5 are the curve's parameters, column 6 is the error of the plate's standard series. Reading error stays in ``se_log``.
    """

    table: Table

    def loadings(self, plate: str, analyte: str) -> tuple[tuple[str, ...], Array]:
        """Specimens on a curve and their loading matrix L, shape (n, 6)."""
        rows = self._on(plate, analyte)
        return tuple(rows["specimen"].to_list()), rows.select(LOADINGS).to_numpy()

    def _on(self, plate: str, analyte: str) -> pl.DataFrame:
        """Rows of one curve."""
        frame = self.table.frame
        return frame.filter((frame["plate"] == plate) & (frame["analyte"] == analyte))

    def draw(self, rng: np.random.Generator, m: int) -> Mapping[tuple[str, str, str], Array]:
        """``m`` joint draws of every ln concentration, or of its ln bound where it is censored, by (plate, analyte, specimen).

        All specimens of a curve move together: one standard normal vector per plate, analyte and draw. Where there are more draws than
        errors, they have the mean and covariance of the errors exactly. Reading error is not drawn.
        """
        drawn: dict[tuple[str, str, str], Array] = {}
        curves = list(self.table.frame.select("plate", "analyte").unique(maintain_order=True).iter_rows())
        errors = _match_moments(rng.standard_normal((len(LOADINGS) * len(curves), m))).reshape(len(curves), len(LOADINGS), m)
        for (plate, analyte), own in zip(curves, errors, strict=True):
            specimens, loading = self.loadings(plate, analyte)
            moves = self._on(plate, analyte)["log_value"].to_numpy()[:, None] + loading @ own
            drawn.update({(plate, analyte, specimen): moves[i] for i, specimen in enumerate(specimens)})
        return drawn


def _match_moments(drawn: Array) -> Array:
    """Standard normal draws (k, m) moved so that their mean is zero and their covariance one; as they are where m is too small."""
    k, m = drawn.shape
    if m <= k + 1 or not k:
        return drawn
    centred = drawn - drawn.mean(axis=1, keepdims=True)
    return np.asarray(np.linalg.solve(np.linalg.cholesky(centred @ centred.T / (m - 1)), centred), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Immunoassay: wells with concentrations, curves, verdicts, one row per specimen and analyte, limits, control charts."""

    wells: Table
    curves: Table
    verdicts: Table
    concentrations: Table
    shared_error: SharedError
    limits: Table = field(default_factory=LIMITS.empty)
    controls: Table = field(default_factory=CONTROLS.empty)


@dataclass(frozen=True, slots=True)
class Gating:
    """Cytometry: gates per donor, populations, tubes, expressions, gate uncertainty, densities for the contact sheet."""

    gates: Table
    populations: Table
    tubes: Table
    expressions: Table
    gating_variance: Table
    sketches: Table


@dataclass(frozen=True, slots=True)
class Effects:
    """The registered estimates, everything beside them, the pairs and diagnostics behind them, and the R code of each."""

    effects: Table
    supplementary: Table
    ratios: Table = field(default_factory=RATIOS.empty)
    diagnostics: Table = field(default_factory=DIAGNOSTICS.empty)
    calls: Table = field(default_factory=CALLS.empty)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a study. Report, page, verification and export take nothing else.

    ``without_post_hoc`` holds the registered estimates as they are without decisions made after unblinding; it is
    empty when there are no such decisions.
    """

    protocol: Protocol
    decisions: Decisions
    inputs: Inputs
    calibration: Calibration
    gating: Gating
    outcomes: Table
    findings: Table
    effects: Effects
    exclusions: Table
    without_post_hoc: Table
