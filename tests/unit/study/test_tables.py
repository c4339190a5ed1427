"""Tables refuse what their declaration does not allow."""

import numpy as np
import polars as pl
import pytest

from exvivo.study.run import LOADINGS, SharedError
from exvivo.study.tables import CONCENTRATIONS, EFFECTS, PUBLIC_TABLES, SHARED_ERROR, TUBE_SHEET, Column, TableKind

ROW = {"file": "a.fcs", "specimen": "S1", "tube": "full", "marker": None, "batch": None, "origin": "tubes.csv:2"}


def test_a_table_keeps_rows_and_puts_columns_in_declared_order() -> None:
    table = TUBE_SHEET.build(pl.DataFrame([{**ROW, "file": "b.fcs"}, ROW]).select(reversed(list(ROW))).cast(pl.String))
    assert table.frame.columns == TUBE_SHEET.names
    assert table.frame["file"].to_list() == ["b.fcs", "a.fcs"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW, ROW], "key"),
        ([{**ROW, "tube": "fulll"}], "allowed are"),
        ([{**ROW, "file": None}], "empty cells"),
    ],
)
def test_what_the_declaration_forbids_is_refused(rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TUBE_SHEET.from_rows(rows)


def test_missing_and_unknown_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="missing columns"):
        TUBE_SHEET.build(pl.DataFrame({"file": ["a"]}))
    with pytest.raises(ValueError, match="unknown columns"):
        TUBE_SHEET.build(pl.DataFrame([{**ROW, "colour": "red"}]))


def test_nan_is_not_a_missing_value() -> None:
    row = {"plate": "p:1", "specimen": "S", "analyte": "CCL18", "concentration": float("nan"), "status": "quantified"}
    with pytest.raises(ValueError, match="NaN"):
        CONCENTRATIONS.from_rows([row])


EFFECT_COLUMNS = """outcome readout modifier level contrast role scale estimate ci_low ci_high df p p_adjusted p_graph donors
serum_donors measurements wells below_lloq_drug_pct below_lloq_comparator_pct method status reason detail"""
CONCENTRATION_COLUMNS = """plate specimen analyte concentration ci_low ci_high unit log_concentration se_log lower_bound
upper_bound status reason detail wells"""
TABLES = """readings wells curves verdicts limits controls concentrations tubes gates populations expressions gating_variance clinical
outcomes findings effects supplementary ratios diagnostics exclusions miflowcyt"""


def test_outside_names_stay() -> None:
    assert EFFECT_COLUMNS.split() == EFFECTS.names
    assert CONCENTRATION_COLUMNS.split() == CONCENTRATIONS.names
    assert [kind.name for kind in PUBLIC_TABLES] == TABLES.split()


def test_shared_error_draws_have_the_covariance_of_the_loadings() -> None:
    loading = np.array([[0.2, 0.0], [0.1, 0.1]])
    rows = [
        {
            "plate": "p:1",
            "analyte": "X",
            "specimen": f"S{i}",
            "log_value": 3.0 + i,
            **dict.fromkeys(LOADINGS, 0.0),
            "l1": float(row[0]),
            "l2": float(row[1]),
        }
        for i, row in enumerate(loading)
    ]
    shared = SharedError(SHARED_ERROR.from_rows(rows))
    drawn = shared.draw(np.random.default_rng(1), 200_000)
    moves = np.stack([drawn["p:1", "X", "S0"], drawn["p:1", "X", "S1"]])
    np.testing.assert_allclose(np.cov(moves), loading @ loading.T, atol=4e-4)
    np.testing.assert_allclose(moves.mean(axis=1), [3.0, 4.0], atol=3e-3)


def test_further_columns_tell_rows_apart_where_the_declaration_says_so() -> None:
    frame = pl.DataFrame({"id": ["a", "a"], "dose": ["low", "high"]})
    kind = TableKind("doses", "one row per id and dose", (Column("id", pl.String(), "id"),), ("id",), "factors", extra_in_key=True)
    assert kind.build(frame).height == 2
    with pytest.raises(ValueError, match="key"):
        kind.build(pl.concat([frame, frame]))
    with pytest.raises(ValueError, match="key"):
        TableKind(kind.name, kind.meaning, kind.columns, kind.key, kind.extra).build(frame)
