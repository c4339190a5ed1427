"""Small studies for the stage: rows of the outcomes table made in place."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import exvivo
from exvivo.engine import Work
from exvivo.estimate import estimate_effects
from exvivo.study.decisions import Decisions
from exvivo.study.protocol import AnalysisPlan, load_protocol
from exvivo.study.run import Effects, SharedError
from exvivo.study.tables import FINDINGS, OUTCOMES, SHARED_ERROR, Table

Row = dict[str, Any]
TEMPLATE = Path(exvivo.__file__).parent / "templates" / "ssc-ruxolitinib" / "study.yaml"
MODIFIERS = ("autoab", "mrss", "du", "ild_ct", "pah_echo", "subset")


@pytest.fixture(scope="session")
def plan() -> AnalysisPlan:
    """The analysis of the seed study."""
    return load_protocol(TEMPLATE).analysis


def only(plan: AnalysisPlan, *names: str) -> AnalysisPlan:
    return replace(plan, outcomes=tuple(outcome for outcome in plan.outcomes if outcome.id in names))


def value(donor: str, drug: str, log_value: float | None, readout: str = "CCL18", **more: Any) -> Row:  # noqa: ANN401  any cell
    """Row of one value; without a log value it is missing unless bounds are given."""
    cells: Row = {
        "experiment": "A",
        "donor": donor,
        "serum_donor": None,
        "drug": drug,
        "serum": "none",
        "stimulus": "none",
        "readout": readout,
        "log_value": log_value,
        "status": "missing" if log_value is None else "quantified",
        "sets": "FAS",
        "measurements": 2,
    }
    return cells | more


def below(donor: str, drug: str, limit: float, **more: Any) -> Row:  # noqa: ANN401  any cell
    return value(donor, drug, None, upper_bound=limit, status="below_lloq", **more)


def paired(logs: Mapping[str, tuple[float, float]], **more: Any) -> list[Row]:  # noqa: ANN401  any cell
    """Rows of complete pairs: donor -> (vehicle, ruxolitinib)."""
    return [value(d, drug, v, **more) for d, pair in logs.items() for drug, v in zip(("vehicle", "ruxolitinib"), pair, strict=True)]


def table(rows: Sequence[Row]) -> Table:
    schema = {c.name: c.dtype for c in OUTCOMES.columns} | dict.fromkeys(MODIFIERS, pl.String())
    return OUTCOMES.build(pl.DataFrame(list(rows), schema=schema, orient="row"))


def patients(n: int, seed: int = 1, effect: float = -0.5) -> list[Row]:
    """Experiment A of the seed study: n patients, all 11 readouts, all modifiers."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for i in range(n):
        clinic = {
            "autoab": ("ACA", "ATA", "RNAP3", "none")[i % 4],
            "mrss": str(int(rng.integers(0, 30))),
            "du": ("never", "past", "current")[i % 3],
            "ild_ct": ("yes", "no")[i % 2],
            "pah_echo": ("no", "no", "yes")[i % 3],
            "subset": ("lcSSc", "dcSSc", "lcSSc", "sine")[(i // 2) % 4],
        }
        for readout in ("CCL18", "PDGFBB", "IL6", "CXCL10", "CXCL4", "CD204", "CD206", "CD163", "CD86", "MHCII", "TLR4"):
            base = rng.normal(6, 0.6)
            status = "measured" if readout.startswith(("CD", "MHC", "TLR")) else "quantified"
            for drug, shift in (("vehicle", 0.0), ("ruxolitinib", effect)):
                rows.append(value(f"SSc{i:03}", drug, base + shift + rng.normal(0, 0.25), readout, status=status, **clinic))
    return rows


def healthy(donors: int, sera: int, per_donor: int = 3, seed: int = 2, readouts: Sequence[str] = ("CCL18",)) -> list[Row]:
    """Experiment B: every donor under no serum and under some of the sera, each with and without drug."""
    rng = np.random.default_rng(seed)
    serum_shift = rng.normal(0.6, 0.2, sera)
    rows: list[Row] = []
    for readout in readouts:
        for i in range(donors):
            base, sensitivity = rng.normal(6, 0.5), rng.normal(-0.4, 0.1)
            places = [("none", None, 0.0)] + [
                ("SSc_serum", f"P{(i + j) % sera:02}", float(serum_shift[(i + j) % sera])) for j in range(per_donor)
            ]
            for serum, serum_donor, shift in places:
                for drug, move in (("vehicle", 0.0), ("ruxolitinib", sensitivity)):
                    rows.append(
                        value(
                            f"HD{i:02}",
                            drug,
                            base + shift + move + rng.normal(0, 0.15),
                            readout,
                            experiment="B",
                            sets="HDS",
                            serum=serum,
                            serum_donor=serum_donor,
                            plain_log_value=base + shift + move + 0.2,
                            blank_share=0.1 if serum_donor else None,
                        )
                    )
    return rows


def shared(rows: Sequence[Mapping[str, object]] = ()) -> SharedError:
    return SharedError(SHARED_ERROR.from_rows(list(rows)))


def estimate(rows: Sequence[Row], plan: AnalysisPlan, **more: Any) -> Effects:  # noqa: ANN401  any argument of the stage
    """The whole stage, in this process."""
    return estimate_effects(
        table(rows),
        more.get("shared_error", shared()),
        more.get("findings", FINDINGS.empty()),
        plan,
        more.get("decisions", Decisions()),
        more.get("work", Work(seed=plan.rules.seed)),
        blinded=more.get("blinded", False),
    )


@pytest.fixture(scope="session")
def kit() -> Any:  # noqa: ANN401  the functions of this module, since test folders are no packages
    """The functions above, for tests of the same folder."""
    import types

    names = (only, value, below, paired, table, patients, healthy, shared, estimate)
    return types.SimpleNamespace(**{function.__name__: function for function in names})


@pytest.fixture
def primary(kit: Any, plan: AnalysisPlan) -> Callable[..., tuple[dict[str, Any], pl.DataFrame]]:  # noqa: ANN401  as `kit`
    """Estimate P1 alone: its row, and the rows beside it."""

    def run(rows: list[dict[str, Any]], **more: Any) -> tuple[dict[str, Any], pl.DataFrame]:  # noqa: ANN401  passed on
        effects = kit.estimate(rows, kit.only(plan, "P1"), **more)
        (row,) = effects.effects.rows()
        return row, effects.supplementary.frame

    return run
