"""Tables under the contact sheets: numbers that can be checked by eye."""

from dataclasses import replace

import polars as pl
import pytest

from exvivo.report.expressions import list_expressions, list_retained, tell_stability
from exvivo.report.wording import load_wording
from exvivo.study.run import Run
from exvivo.study.tables import EXPRESSIONS, GATING_VARIANCE, SPECIMENS, TUBES


@pytest.fixture
def measured(run: Run) -> Run:
    """Three specimens of two conditions; CD204 is below its background in one and of two kinds in another."""
    facts = {"experiment": "A", "donor": "SSc001", "matrix": "cells", "state": "ok", "origin": "t", "stimulus": "none", "serum": "none"}
    rows = [facts | {"specimen": name, "drug": drug} for name, drug in (("a", "vehicle"), ("b", "vehicle"), ("c", "ruxolitinib"))]
    schema = {column.name: column.dtype for column in SPECIMENS.columns} | dict.fromkeys(["drug", "stimulus", "serum"], pl.String())
    specimens = SPECIMENS.build(pl.DataFrame(rows, schema=schema))
    tubes = [
        {"file": f"{name}.fcs", "specimen": name, "tube": "full", "final_count": count, "retained_pct": share, "status": "measured"}
        for name, count, share in (("a", 3000, 75.0), ("b", 2000, 50.0), ("c", 1000, 8.25))
    ]
    numbers = {"background": 100.0, "ratio": 9.0, "percent_positive": 97.0, "staining_index": 12.5}
    expressions = [
        numbers | {"specimen": "a", "marker": "CD204", "median": 900.0, "delta": 800.0, "bimodal": True, "status": "measured"},
        numbers | {"specimen": "b", "marker": "CD204", "median": 101.0, "delta": 1.0, "bimodal": False, "status": "below_background"},
        numbers | {"specimen": "c", "marker": "CD204", "median": 500.0, "delta": 400.0, "bimodal": False, "status": "measured"},
    ]
    variance = [{"donor": f"D{i}", "marker": "CD204", "variance": value, "refits": 4} for i, value in enumerate((0.0001, 0.0003))]
    gating = replace(
        run.gating,
        tubes=TUBES.from_rows(tubes),
        expressions=EXPRESSIONS.from_rows(expressions),
        gating_variance=GATING_VARIANCE.from_rows(variance),
    )
    return replace(run, gating=gating, inputs=replace(run.inputs, specimens=specimens))


def test_retained_events_stand_by_condition(measured: Run) -> None:
    rows = [row.cells for row in list_retained(measured, load_wording()).rows]
    assert rows == [("A, ruxolitinib, no serum", "1", "1000", "8.2", "8.2–8.2"), ("A, vehicle, no serum", "2", "2500", "62", "50–75")]


def test_medians_are_those_of_measured_specimens(measured: Run) -> None:
    rows = [row.cells for row in list_expressions(measured, load_wording()).rows]
    assert rows == [
        ("CD204", "A, ruxolitinib, no serum", "1", "0", "500", "100", "400", "9.00", "97", "12.5", "0"),
        ("CD204", "A, vehicle, no serum", "1", "1", "900", "100", "800", "9.00", "97", "12.5", "1"),
    ]


def test_stability_is_the_root_of_the_mean_variance(measured: Run, run: Run) -> None:
    assert "CD204 1.4 %" in tell_stability(measured, load_wording())
    assert tell_stability(run, load_wording()) == ""
