import io
import json
from pathlib import Path

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from exvivo.report.tables import compose_csv, guard_formulas, public_tables, write_tables
from exvivo.study.run import Run
from exvivo.study.tables import PUBLIC_TABLES


def read_csv(data: bytes, frame: pl.DataFrame) -> pl.DataFrame:
    return pl.read_csv(io.BytesIO(data), schema=frame.schema)


def test_every_public_table_is_written_and_csv_and_parquet_agree(run: Run, tmp_path: Path) -> None:
    write_tables(run, tmp_path)
    for kind in PUBLIC_TABLES:
        stored = pl.read_parquet(tmp_path / "tables" / f"{kind.name}.parquet")
        text = (tmp_path / "tables" / f"{kind.name}.csv").read_bytes()
        assert b"\r" not in text
        assert text.decode("utf-8").splitlines()[0].split(",")[: len(kind.names)] == kind.names
        expected = stored.with_columns([guard_formulas(stored[name]) for name in stored.columns])
        assert_frame_equal(read_csv(text, stored), expected)


def test_the_same_run_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_tables(run, tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert Path("tables.xlsx") in files
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes(), path


def test_a_workbook_has_one_sheet_per_table_and_keeps_formulas_as_text(run: Run, tmp_path: Path) -> None:
    from python_calamine import CalamineWorkbook

    write_tables(run, tmp_path)
    book = CalamineWorkbook.from_path(tmp_path / "tables.xlsx")
    assert book.sheet_names == [kind.name for kind in PUBLIC_TABLES]
    rows = book.get_sheet_by_name("effects").to_python()
    assert len(rows) == 29
    reasons = [row[4] for row in book.get_sheet_by_name("exclusions").to_python()]
    assert any(str(reason).startswith("=HYPERLINK") for reason in reasons)


def test_text_that_a_spreadsheet_would_run_is_guarded_and_numbers_are_not() -> None:
    cells = pl.Series("x", ["=1+1", "+SUM(A1)", "-2+3", "@x", "\tx", "\rx", "-2.5", "+1e-3", "plain", "a=b", None])
    assert guard_formulas(cells).to_list() == ["'=1+1", "'+SUM(A1)", "'-2+3", "'@x", "'\tx", "'\rx", "-2.5", "+1e-3", "plain", "a=b", None]


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=20))
def test_numbers_come_back_from_csv_bit_for_bit(values: list[float | None]) -> None:
    frame = pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64), "k": list(range(len(values)))})
    assert read_csv(compose_csv(frame), frame)["x"].to_list() == values


def test_wide_tables_mark_censored_values(run: Run, tmp_path: Path) -> None:
    write_tables(run, tmp_path)
    wide = pl.read_csv(tmp_path / "tables" / "prism" / "IL6_A.csv", infer_schema=False)
    assert wide.columns == ["donor", "vehicle", "ruxolitinib"]
    assert wide.filter(wide["donor"] == "SSc001")["ruxolitinib"].to_list() == ["<9.4"]
    refused = pl.read_csv(tmp_path / "tables" / "prism" / "PDGFBB_A.csv", infer_schema=False)
    assert refused.filter(refused["donor"] == "SSc006")["ruxolitinib"].to_list() == [None]
    with_serum = pl.read_csv(tmp_path / "tables" / "prism" / "CCL18_B.csv", infer_schema=False)
    assert with_serum.columns[:2] == ["donor", "serum_donor"]
    assert with_serum.height == 9


def test_curves_are_also_written_as_objects(run: Run, tmp_path: Path) -> None:
    write_tables(run, tmp_path)
    curves = json.loads((tmp_path / "tables" / "curves.json").read_text(encoding="utf-8"))
    assert len(curves) == run.calibration.curves.height
    assert set(curves[0]["parameters"]) == {"a", "b", "c", "d", "g"}
    assert len(curves[0]["covariance"]) == 4


def test_public_tables_are_those_declared(run: Run) -> None:
    assert tuple(table.kind for table in public_tables(run)) == PUBLIC_TABLES
