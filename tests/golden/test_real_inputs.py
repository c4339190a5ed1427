"""The everyday commands on real files: vendors' numbers, published gates, a published table."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from exvivo.cli import main

RATIOS = {
    "TNFa": 0.11, "IFNg": 0.05, "RANTES": 0.16, "VEGF": 0.45, "MIP1a": 0.48, "IL10": 0.59, "IL1b": 0.70, "IL17": 1.19, "IL2": 2.78,
}  # fmt: skip
"""Ratios of ruxolitinib to control in drug_cytokines_paired.csv, as geometric means over its three experiments."""


def test_the_readers_own_curve_and_concentrations_come_back_under_its_settings(shared_data: Path, tmp_path: Path) -> None:
    export = shared_data / "plates" / "skanit" / "skanit_data.xlsx"
    assert main(["calibrate", str(export), "--vendor-settings", "--compare", "--out", str(tmp_path)]) == 0
    (curve,) = json.loads((tmp_path / "curves.json").read_text(encoding="utf-8"))
    printed = {"a": -0.0678141, "b": 0.78981, "c": 0.748878, "d": 2.89758}  # in the export's own sheet
    assert curve["parameters"]["c"] == pytest.approx(printed["c"], rel=1e-3)
    for name in ("b", "d"):
        assert curve["parameters"][name] == pytest.approx(printed[name], rel=1e-3)
    with (tmp_path / "comparison.csv").open(encoding="utf-8") as file:
        differences = [float(row["relative_difference"]) for row in csv.DictReader(file) if row["relative_difference"]]
    assert len(differences) == 59
    assert max(map(abs, differences)) < 0.01


def test_our_defaults_narrow_the_range_and_say_so(shared_data: Path, tmp_path: Path) -> None:
    export = shared_data / "plates" / "skanit" / "skanit_data.xlsx"
    assert main(["calibrate", str(export), "--out", str(tmp_path)]) == 0
    table = pl.read_csv(tmp_path / "concentrations.csv")
    assert set(table["status"]) == {"quantified", "below_lloq"}
    quantified = table.filter(pl.col("status") == "quantified")
    assert (quantified["ci_low"] < quantified["concentration"]).all()
    assert (quantified["concentration"] < quantified["ci_high"]).all()
    assert table["unit"].unique().to_list() == ["ug/mL"]


def annotation(shared_data: Path) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Wells and nominal concentrations of each plate in the annotation and standards files beside the SoftMax exports."""

    def blocks(name: str) -> list[list[list[str]]]:
        text = (shared_data / "plates" / "softmax" / name).read_text(encoding="latin-1")
        parts = [part.splitlines() for part in text.split("Plate:")[1:]]
        return [[line.rstrip().split("\t") for line in lines[1:] if line.strip() and not line.startswith("~End")] for lines in parts]

    for layout, standards in zip(blocks("AnExp_2plate.txt"), blocks("stdConc.txt"), strict=True):
        nominal = {row[0]: row[1] for row in standards[1:]}
        wells = {f"{row[0]}{column}": cell for row in layout[1:] for column, cell in enumerate(row[1:], start=1) if cell.strip()}
        yield wells, nominal


def write_map(shared_data: Path, path: Path, plates: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["plate", "well", "role", "specimen", "analyte", "concentration", "dilution", "unit"])
        for position, (wells, nominal) in enumerate(list(annotation(shared_data))[:plates], start=1):
            for well, name in wells.items():
                standard = name in nominal
                concentration, unit = (nominal[name], "pg/mL") if standard else ("", "")
                writer.writerow([position, well, "standard" if standard else "specimen", name, "CCL", concentration, 10, unit])


@pytest.mark.parametrize(("name", "plates"), [("Assay_2", 1), ("Assay_3_and_4", 2)])
def test_softmax_exports_are_calibrated_with_a_map_by_position(shared_data: Path, tmp_path: Path, name: str, plates: int) -> None:
    write_map(shared_data, tmp_path / "map.csv", plates)
    export = shared_data / "plates" / "softmax" / f"{name}.txt"
    assert main(["calibrate", str(export), "--map", str(tmp_path / "map.csv"), "--compare", "--out", str(tmp_path / "out")]) == 0
    curves = pl.read_csv(tmp_path / "out" / "curves.csv")
    assert curves["plate"].to_list() == [f"{name}:{i + 1}" for i in range(plates)]
    comparison = pl.read_csv(tmp_path / "out" / "comparison.csv").filter(pl.col("relative_difference").is_not_null())
    unknowns = comparison.filter(~pl.col("specimen").str.starts_with("s"), pl.col("vendor") > 3000)
    assert unknowns.height > 0
    assert np.median(np.abs(unknowns["relative_difference"].to_numpy())) < 0.10  # the software's unweighted curve against our weighted one


def test_gates_of_the_compliance_set_select_its_events(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "cytometry" / "gatingml"
    gates = folder / "gml" / "gml_all_gates.xml"
    members = tmp_path / "members.parquet"
    call = ["gate", str(folder / "data1.fcs"), "--gates", str(gates), "--out", str(tmp_path), "--membership", str(members)]
    assert main(call) == 0
    counts = dict(pl.read_csv(tmp_path / "populations.csv").select("path", "count").iter_rows())
    assert {name: counts[name] for name in ("And1", "Ellipse1", "Polygon1", "Polygon4", "Rectangle3", "ScaleRange4c")} == {
        "And1": 561, "Ellipse1": 203, "Polygon1": 1582, "Polygon4": 716, "Rectangle3": 6446, "ScaleRange4c": 1873,
    }  # fmt: skip
    table = pl.read_parquet(members)
    for name in ("Rectangle1", "Polygon1", "And1", "ScaleRange5c"):
        truth = np.loadtxt(folder / "truth" / f"Results_{name}.txt", dtype=bool)
        np.testing.assert_array_equal(table[name].to_numpy(), truth)


TABLE_STUDY = """schema: exvivo/study/1
source: assumed
study: {{id: TABLE, acronym: TABLE, title: Cytokines of stimulated cells}}
populations: {{donors: {{label: Donors}}}}
factors: {{drug: {{label: Drug, levels: [Control, ruxolitinib], reference: Control}}}}
experiments: {{A: {{population: donors, conditions: [{{drug: Control}}, {{drug: ruxolitinib}}]}}}}
tables:
  cytokines:
    file: drug_cytokines_paired.csv
    layout: wide
    experiment: A
    delimiter: ";"
    decimal: ","
    readout_column: cytokines
    condition_columns: {{Control: {{drug: Control}}, ruxolitinib: {{drug: ruxolitinib}}}}
readouts:
{readouts}
analysis_sets: {{all: {{experiment: A}}}}
outcomes:
  - id: S1
    role: secondary
    label: Cytokines with ruxolitinib against control
    set: all
    readouts: [{names}]
    contrast: {{factor: drug, level: ruxolitinib, versus: Control}}
    adjust: holm
analysis: {{seed: 1}}
"""


def test_a_table_with_decimal_commas_gives_its_published_ratios(shared_data: Path, tmp_path: Path) -> None:
    data = (shared_data / "tables" / "drug_cytokines_paired.csv").read_bytes()
    (tmp_path / "drug_cytokines_paired.csv").write_bytes(data)
    readouts = "\n".join(f"  {name}: {{kind: table, label: {name}, table: cytokines}}" for name in RATIOS)
    (tmp_path / "study.yaml").write_text(TABLE_STUDY.format(readouts=readouts, names=", ".join(RATIOS)), encoding="utf-8")
    assert main(["run", str(tmp_path), "--workers", "1"]) == 0
    effects = pl.read_csv(tmp_path / "results" / "tables" / "effects.csv")
    assert {row["readout"]: round(row["estimate"], 2) for row in effects.iter_rows(named=True)} == RATIOS
    assert effects["donors"].to_list() == [3] * len(RATIOS)
    page = (tmp_path / "results" / "report.html").read_text(encoding="utf-8")
    assert "with 3 pairs none can reach p &lt; 0.25" in page
