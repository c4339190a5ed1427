"""A drug that changes which cells are measured is called out; one that does not is not."""

from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from exvivo.inspect.tubes import inspect_tubes
from exvivo.study.findings import FindingCode
from exvivo.study.protocol import Protocol, load_protocol
from exvivo.study.run import Gating, Inputs
from exvivo.study.tables import (
    CLINICAL,
    EVENTS,
    EXPRESSIONS,
    FILES,
    GATES,
    GATING_VARIANCE,
    LAYOUT,
    POPULATIONS,
    QUANTIFIED,
    READINGS,
    SKETCHES,
    SPECIMENS,
    TUBE_SHEET,
    TUBES,
    VENDOR,
)


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    with as_file(files("exvivo.templates").joinpath("ssc-ruxolitinib", "study.yaml")) as path:
        return load_protocol(path)


def tables(effect: float) -> tuple[Inputs, Gating]:
    """Twelve donors of experiment A with one full-stain tube per condition; the drug multiplies what the gates retain."""
    rng = np.random.default_rng(5)
    specimens, tubes = [], []
    for donor in range(12):
        base = 70 + rng.normal() * 5
        for drug, factor in (("vehicle", 1.0), ("ruxolitinib", effect)):
            name = f"C{donor:02}{drug[0]}"
            row = {"specimen": name, "experiment": "A", "donor": f"SSC-{donor:03}", "matrix": "cells", "state": "ok", "origin": "t"}
            specimens.append(row | {"drug": drug, "serum": "none", "stimulus": "none"})
            retained = base * factor * float(np.exp(rng.normal() * 0.03))
            tube = {"file": f"{name}.fcs", "specimen": name, "tube": "full", "donor": row["donor"], "status": "measured"}
            tubes.append(tube | {"retained_pct": retained})
    schema = {c.name: c.dtype for c in SPECIMENS.columns} | dict.fromkeys(["drug", "serum", "stimulus"], pl.String())
    inputs = Inputs(
        Path(), FILES.empty(), SPECIMENS.build(pl.DataFrame(specimens, schema=schema)), READINGS.empty(), LAYOUT.empty(), VENDOR.empty(),
        EVENTS.empty(), TUBE_SHEET.empty(), CLINICAL.empty(), QUANTIFIED.empty(), (), blinded=False,
    )  # fmt: skip
    gating = Gating(
        GATES.empty(), POPULATIONS.empty(), TUBES.from_rows(tubes), EXPRESSIONS.empty(), GATING_VARIANCE.empty(), SKETCHES.empty()
    )
    return inputs, gating


@pytest.mark.parametrize(("effect", "expected"), [(0.8, ["experiment A"]), (1.0, []), (0.98, [])])
def test_a_drug_that_selects_cells_is_called_out(protocol: Protocol, effect: float, expected: list[str]) -> None:
    inputs, gating = tables(effect)
    everything = list(inspect_tubes(inputs, gating, protocol.panels, protocol.analysis))
    found = [finding for finding in everything if finding.code != FindingCode.CONTROL_SHARED]  # there are no controls here
    assert [finding.place for finding in found] == expected
    assert all(finding.code == FindingCode.GATE_YIELD_DIFFERS and "CD206" in finding.readouts for finding in found)
