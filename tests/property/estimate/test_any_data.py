"""Whatever was measured, the stage answers: every registered row, a status, and numbers that make sense."""

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import exvivo
from exvivo.engine import Work
from exvivo.estimate import estimate_effects
from exvivo.study.decisions import Decisions
from exvivo.study.protocol import load_protocol
from exvivo.study.run import SharedError
from exvivo.study.tables import FINDINGS, OUTCOMES, SHARED_ERROR

Row = dict[str, Any]
PLAN = load_protocol(Path(exvivo.__file__).parent / "templates" / "ssc-ruxolitinib" / "study.yaml").analysis
MODIFIERS: dict[str, list[str | None]] = {
    "autoab": ["ACA", "ATA", "none", "other", None],
    "mrss": ["4", "11", "30", "x", None],
    "du": ["never", "past", None],
    "ild_ct": ["yes", "no", None],
    "pah_echo": ["no", None],
    "subset": ["dcSSc", "lcSSc", "sine"],
}
GRID = st.integers(16, 24).map(lambda x: x / 4)  # coarse, so that ties and constant differences occur
VALUES = st.one_of(
    GRID.map(lambda x: {"status": "quantified", "log_value": x}),
    GRID.map(lambda x: {"status": "quantified", "log_value": x}),
    GRID.map(lambda x: {"status": "below_lloq", "upper_bound": x}),
    GRID.map(lambda x: {"status": "above_uloq", "lower_bound": x}),
    st.tuples(GRID, st.sampled_from([0.01, 0.5])).map(lambda x: {"status": "quantified", "lower_bound": x[0], "upper_bound": sum(x)}),
    st.sampled_from([{"status": "missing", "reason": "serum-blank-missing"}, {"status": "refused", "reason": "plate-refused"}]),
)
CLINIC = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in MODIFIERS.items()})


@st.composite
def patients(draw: st.DrawFn) -> list[Row]:
    rows: list[Row] = []
    for i in range(draw(st.integers(0, 14))):
        clinic = draw(CLINIC)
        rows += [
            {"experiment": "A", "sets": "FAS", "donor": f"D{i}", "drug": drug, "serum": "none"} | clinic | draw(VALUES)
            for drug in draw(st.sampled_from([("vehicle", "ruxolitinib"), ("vehicle", "ruxolitinib"), ("vehicle",), ("ruxolitinib",)]))
        ]
    return rows


@st.composite
def healthy(draw: st.DrawFn) -> list[Row]:
    rows: list[Row] = []
    for i in range(draw(st.integers(0, 6))):
        sera = [None, *draw(st.lists(st.sampled_from("ABCDE"), max_size=3, unique=True))]
        for serum in sera:
            place = {"experiment": "B", "sets": "HDS", "donor": f"H{i}", "serum_donor": serum, "serum": "SSc_serum" if serum else "none"}
            share = {"blank_share": draw(st.sampled_from([None, 0.1, 0.9])) if serum else None}
            rows += [place | share | {"drug": drug, "plain_log_value": 6.0} | draw(VALUES) for drug in ("vehicle", "ruxolitinib")]
    return rows


def run(rows: list[Row]) -> pl.DataFrame:
    schema = {c.name: c.dtype for c in OUTCOMES.columns} | dict.fromkeys(MODIFIERS, pl.String())
    full = [{"readout": "CCL18", "stimulus": "none", "measurements": 2} | row for row in rows]
    outcomes = OUTCOMES.build(pl.DataFrame(full, schema=schema, orient="row"))
    plan = replace(PLAN, outcomes=tuple(o.model_copy(update={"readouts": ("CCL18",)}) for o in PLAN.outcomes if o.id in {"P1", "S3", "S4"}))
    effects = estimate_effects(outcomes, SharedError(SHARED_ERROR.empty()), FINDINGS.empty(), plan, Decisions(), Work())
    assert effects.effects.height == 8
    return pl.concat([effects.effects.frame, effects.supplementary.frame])


@settings(max_examples=40, deadline=None)
@given(patients(), healthy())
def test_any_data_have_an_answer(some: list[Row], others: list[Row]) -> None:
    for row in run(some + others).iter_rows(named=True):
        facts = json.loads(row["detail"] or "{}", parse_constant=AssertionError)
        assert all(not isinstance(fact, AssertionError) for fact in facts.values())
        assert (row["reason"] is not None) or row["status"] in {"estimated", "bound_only"}
        if row["status"] == "not_estimable":
            assert row["estimate"] is None
            assert row["p"] is None
        if row["p"] is not None:
            assert 0 <= row["p"] <= 1
        limits = [row[name] for name in ("ci_low", "estimate", "ci_high") if row[name] is not None]
        assert all(math.isfinite(x) and x > 0 for x in limits)
        assert all(a <= b * (1 + 1e-9) for a, b in itertools.pairwise(limits))
