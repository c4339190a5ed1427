"""Real medians of a real 30-analyte plate (drLumi's example data), put into xPONENT's form and calibrated.

The data are measured: 16 twofold standards, a background and three controls. The standards' own recoveries are the judge; the
controls of this plate read at half of what they should under any curve and are left out.
"""

import csv
from pathlib import Path
from statistics import median

import pytest

from exvivo.calibrate import calibrate_plates
from exvivo.engine import Work
from exvivo.formats import xponent
from exvivo.read.batch import Asked, Batch
from exvivo.read.single import read_exports
from exvivo.study.decisions import Decisions
from exvivo.study.design import SignalKind
from exvivo.study.model import AssayRules
from exvivo.study.protocol import Assays

ANALYTES = ("IL6", "IL10", "TNFa", "MCP1", "IFNg", "IL8")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def export(shared_data: Path) -> tuple[str, dict[tuple[str, str], float]]:
    """Text of the export, and the medians by well and analyte."""
    medians = {(row["well"].split("_")[1], row["analyte"]): row for row in rows(shared_data / "curves/drLumi/mfidata.csv")}
    expected = {(row["sample"], row["analyte"]): row["ec"] for row in rows(shared_data / "curves/drLumi/ecdata.csv")}
    wells = list(dict.fromkeys(well for well, _ in medians))
    samples = {well: medians[well, ANALYTES[0]]["sample"] for well in wells}
    lines = [
        ["Program", "xPONENT"],
        ["Batch", "real"],
        [],
        ["Results"],
        [],
        ["DataType:", "Median"],
        ["Location", "Sample", *ANALYTES, "Total Events"],
    ]
    lines += [
        [f"{at}(1,{well})", samples[well], *(medians[well, one]["mfi"] for one in ANALYTES), "900"] for at, well in enumerate(wells, 1)
    ]
    for word, title in (("Standard", "Standard Expected Concentration"), ("Control", "Control Expected Concentration")):
        names = [name for name in dict.fromkeys(name for name, _ in expected) if name.startswith(word)]
        lines += [[], ["DataType:", title], ["Reagent", *ANALYTES], *([name, *(expected[name, one] for one in ANALYTES)] for name in names)]
    lines += [[], ["DataType:", "Units"], ["Analyte:", *ANALYTES], ["Units:", *["pg/ml"] * len(ANALYTES)], []]
    text = "\n".join(",".join(f'"{cell}"' for cell in line) for line in lines)
    return text, {key: float(row["mfi"]) for key, row in medians.items() if key[1] in ANALYTES}


def test_every_median_arrives(shared_data: Path) -> None:
    text, medians = export(shared_data)
    plates = xponent.parse(text.encode(), "real.csv").plates
    found = {(one.well, plate.layout[0].analyte): one.signal for plate in plates for one in plate.readings if one.kind is SignalKind.RAW}
    assert found == medians
    assert len(found) == 96 * len(ANALYTES)


def test_standards_are_recovered(shared_data: Path, tmp_path: Path) -> None:
    text, _ = export(shared_data)
    path = tmp_path / "real.csv"
    path.write_text(text, encoding="utf-8")
    single = read_exports(Batch((Asked(path, None),)), Work())
    wells = calibrate_plates(single.inputs, Assays(AssayRules(), single.readouts), Decisions(), Work()).wells.rows()
    for analyte in ANALYTES:
        own = [row for row in wells if row["analyte"] == analyte and row["specimen"] in {f"Standard{n}" for n in range(3, 10)}]
        found = [row["recovery_pct"] for row in own]
        assert len(found) == 7
        assert median([one for one in found if isinstance(one, float)]) == pytest.approx(100, abs=12)
