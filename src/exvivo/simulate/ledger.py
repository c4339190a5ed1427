"""The sealed answers of a simulated study: ``truth/`` beside the files that a lab would have.

No stage reads this folder. effects.csv holds what the registered estimates should find, parameters.csv what
everything was generated from, specimens.csv and donors.csv the single true values, errors.csv the faults that
were planted (none here).
"""

from pathlib import Path

import numpy as np
import polars as pl

from exvivo.simulate import cytometer, plates
from exvivo.simulate.bench import Tubes
from exvivo.simulate.parameters import MODIFIED
from exvivo.simulate.truth import Truth, marginal_ratios, true_effects
from exvivo.study.model import ElisaReadout, FlowReadout


def write_truth(folder: Path, truth: Truth, tubes: Tubes) -> None:
    """Write all files of ``truth/``."""
    target = folder / "truth"
    target.mkdir(parents=True, exist_ok=True)
    errors = pl.DataFrame(schema={"code": pl.String, "place": pl.String})
    tables = {
        "effects": true_effects(truth.protocol),
        "parameters": true_parameters(truth),
        "specimens": true_specimens(truth, tubes),
        "donors": true_donors(truth),
        "errors": errors,
    }
    for name, frame in tables.items():
        (target / f"{name}.csv").write_bytes(frame.write_csv(line_terminator="\n").encode())


def true_parameters(truth: Truth) -> pl.DataFrame:
    """Generating numbers, and the marginal ratios of the modified readout by level: parameter, subject, value."""
    rows = [*truth.generating.rows(), *_instrument_rows()]
    if MODIFIED in truth.readouts:
        for name, modifier in truth.protocol.file.modifiers.items():
            rows += [(f"marginal {name}", label, value) for label, value in marginal_ratios(truth.protocol, modifier)]
    return pl.DataFrame(rows, schema={"parameter": pl.String(), "subject": pl.String(), "value": pl.Float64()}, orient="row")


def _instrument_rows() -> list[tuple[str, str, float]]:
    """Constants of the reader and the cytometer."""
    reader = [("reference_od", plates.REFERENCE_OD), ("reference_sd", plates.REFERENCE_SD), ("overflow_od", plates.OVERFLOW_OD)]
    light = [
        ("photoelectrons_per_unit", cytometer.PHOTOELECTRONS_PER_UNIT),
        ("electronic_sd", cytometer.ELECTRONIC_SD),
        ("drug_autofluorescence", cytometer.DRUG_AUTOFLUORESCENCE),
    ]
    rows = [(name, "reader", value) for name, value in reader] + [(name, "cytometer", value) for name, value in light]
    rows += [("background", channel, value) for channel, value in cytometer.BACKGROUND.items()]
    return rows + [("spill", f"{source} in {detector}", value) for (source, detector), value in cytometer.SPILL.items()]


def true_specimens(truth: Truth, tubes: Tubes) -> pl.DataFrame:
    """What is in each tube: true_value as it would be measured, net_value without what serum brought; lost tubes included."""
    parts = []
    frame = tubes.frame.sort("specimen")
    for at, name in enumerate(truth.readouts):
        block = truth.protocol.file.readouts[name]
        if not isinstance(block, ElisaReadout | FlowReadout):
            continue
        chosen = frame.filter((pl.col("matrix") == "cells") == isinstance(block, FlowReadout))
        rows = chosen["row"].to_numpy()
        net = truth.net[rows, at]
        parts.append(
            pl.DataFrame(
                {
                    "specimen": chosen["specimen"],
                    "readout": [name] * len(rows),
                    "true_value": net + truth.carried[rows, at],
                    "net_value": net,
                }
            )
        )
    empty = pl.DataFrame(schema={"specimen": pl.String, "readout": pl.String, "true_value": pl.Float64, "net_value": pl.Float64})
    return pl.concat([empty, *parts]).sort("specimen", "readout")


def true_donors(truth: Truth) -> pl.DataFrame:
    """True clinical values before any went missing, and each person's own true ratio without serum, by readout."""
    ratios = np.exp(truth.log_ratio)
    return truth.people.with_columns(pl.Series(f"true_ratio_{name}", ratios[:, at]) for at, name in enumerate(truth.readouts))
