"""The MIFlowCyt list: what is known is told with its source, what is not is asked for, names of people never leave."""

import dataclasses
import json
from pathlib import Path

import polars as pl
import pytest

from exvivo.formats import fcs
from exvivo.report.miflowcyt import ITEMS, ListedFile, list_for_files
from exvivo.report.miflowstudy import list_for_study
from exvivo.report.tables import public_tables
from exvivo.study.cytometry import Acquisition, Boundary, Setting, Spillover, acquisition_from, acquisition_of
from exvivo.study.run import Run
from exvivo.study.tables import EVENTS, GATES, POPULATIONS, Table

NOBODY = POPULATIONS.empty().frame


def acquired(**changes: object) -> Acquisition:
    settings = (
        Setting("FSC-A", "", 300.0, 1.0, "488/10", "488", "", ""),
        Setting("PE-A", "CD204", 450.0, 1.0, "575/26", "561", "50", "PMT"),
    )
    plain = Acquisition("FCS3.1", 1000, "LSRII", "H47100", "Diva 8", "31-OCT-2012", settings, Spillover.GIVEN, ())
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def items(table: Table) -> dict[str, dict[str, object]]:
    return {str(row["item"]): row for row in table.rows()}


def listed(*made: Acquisition) -> dict[str, dict[str, object]]:
    files = [ListedFile(f"{at}.fcs", "ab" * 32, one) for at, one in enumerate(made)]
    return items(list_for_files(files, (), NOBODY, "g.xml"))


def test_every_item_of_the_standard_has_a_row() -> None:
    counts = {section: sum(item.number.startswith(f"{section}.") for item in ITEMS) for section in "1234"}
    assert counts == {"1": 8, "2": 4, "3": 3, "4": 4}
    rows = listed()
    assert list(rows) == [item.number for item in ITEMS]
    assert all((row["status"], row["value"]) == ("missing", None) and row["to_add"] for row in rows.values())


def test_files_answer_what_they_hold() -> None:
    rows = listed(acquired(), acquired(date="02-Nov-2012"))
    assert (rows["1.6"]["value"], rows["1.6"]["status"]) == ("2012-10-31 to 2012-11-02", "filled")
    assert (rows["3.1"]["value"], rows["3.1"]["status"]) == ("BD Biosciences", "partly")
    assert rows["3.2"]["value"] == "LSRII, serial number H47100, acquired with Diva 8"
    assert rows["3.3"]["value"] == (
        "FSC-A: 300 V, filter 488/10, laser 488; PE-A: CD204, 450 V, filter 575/26, laser 561, power 50, detector PMT"
    )
    assert rows["3.3"]["status"] == "filled"
    assert str(rows["4.1"]["value"]).startswith(f"2 files, FCS3.1, 2000 events: 0.fcs (sha256 {'ab' * 32})")


def test_what_differs_or_lacks_is_told() -> None:
    other = (Setting("PE-A", "CD204", 400.0, 2.0, "", "561", "", ""),)
    rows = listed(acquired(date=""), acquired(settings=other, spillover=Spillover.NONE))
    assert "PE-A: CD204, 400 or 450 V, gain 1 or 2" in str(rows["3.3"]["value"])
    assert (rows["3.3"]["status"], rows["3.3"]["to_add"]) == ("partly", "filters that the files do not hold")
    assert rows["1.6"]["to_add"] == "date of 1 files"
    assert rows["4.2"]["value"] == "1 files with a spillover matrix, 1 files with no spillover matrix"


def test_files_without_spillover_or_a_known_model_answer_nothing() -> None:
    rows = listed(acquired(spillover=Spillover.NONE, cytometer="Homemade", date="some day"))
    assert [rows[item]["status"] for item in ("3.1", "4.2")] == ["missing", "missing"]
    assert rows["1.6"]["value"] == "some day"


def test_of_many_files_the_first_are_named() -> None:
    value = str(listed(*[acquired()] * 25)["4.1"]["value"])
    assert "19.fcs" in value
    assert "20.fcs" not in value
    assert value.endswith("and 5 more")


def box(low: float | None, high: float | None) -> str:
    transform = {"kind": "logicle", "parameters": {"T": 262144.0, "W": 0.5, "M": 4.5, "A": 0.0}}
    return json.dumps({"kind": "rectangle", "channels": ["PE-A"], "transforms": [transform], "bounds": [[low, high]]})


def test_gates_are_told_with_the_events_inside() -> None:
    populations = pl.DataFrame({"path": ["Cells", "Cells"], "percent_of_parent": [80.0, 90.0]})
    polygon = json.dumps({"kind": "polygon", "channels": ["A", "B"], "transforms": [None, None], "vertices": [[0, 0], [1, 0], [1, 1]]})
    boolean = json.dumps({"kind": "boolean", "operator": "not", "operands": [["Cells", False]]})
    gates = [Boundary("Cells", "drawn", box(0.2, None)), Boundary("Odd", "drawn", polygon), Boundary("Not", "drawn", boolean)]
    rows = items(list_for_files([], gates, populations, "g.xml (sha256 00)"))
    assert rows["4.4"]["value"] == (
        "Cells (drawn): rectangle on PE-A, from 0.2, 85.0 % of the parent inside (mean of 2 files, 80.0 to 90.0); "
        "Odd (drawn): polygon on A and B, 3 corners; Not (drawn): boolean on other gates"
    )
    assert rows["4.3"]["value"] == "PE-A: logicle A=0 M=4.5 T=262144 W=0.5"
    assert rows["4.4"]["source"] == "g.xml (sha256 00)"


@pytest.mark.parametrize(("low", "high", "words"), [(None, None, "open"), (None, 3.0, "below 3"), (1.0, 3.0, "1 to 3")])
def test_sides_of_a_box(low: float | None, high: float | None, words: str) -> None:
    rows = items(list_for_files([], [Boundary("Box", "drawn", box(low, high))], NOBODY, "g.xml"))
    assert str(rows["4.4"]["value"]).endswith(words)


def test_boundaries_that_differ_are_counted() -> None:
    gates = [Boundary("Live", "viability", box(None, high)) for high in (0.4, 0.5, 0.5)]
    assert items(list_for_files([], gates, NOBODY, "g.xml"))["4.4"]["value"] == "Live (viability): rectangle on PE-A, 2 boundaries"


@pytest.mark.parametrize("name", ["mesf_tasbe/beads.fcs", "fcs_odd/G11.fcs", "spectral_aurora", "flowcal/Data001.fcs"])
def test_names_in_real_files_are_not_printed(shared_data: Path, name: str) -> None:
    path = shared_data / "cytometry" / name
    path = path if path.is_file() else min(path.glob("*.fcs"))
    record = fcs.parse(path)[0]
    made = acquisition_of(record)
    printed = " ".join(str(row["value"]) for row in listed(made).values()) + made.to_json()
    people = {record.keywords.get(key, "").strip() for key in ("$OP", "$EXP", "EXPORT USER NAME", "$LAST_MODIFIER")} - {"", "NA"}
    assert people
    assert not [person for person in people if person in printed]
    assert "$OP" in made.withheld
    assert acquisition_from(made.to_json()) == made


def test_real_files_answer_their_instrument(shared_data: Path) -> None:
    record = fcs.parse(shared_data / "cytometry" / "fcs_odd" / "G11.fcs")[0]
    rows = listed(acquisition_of(record))
    assert rows["1.6"]["value"] == "2020-03-02"
    assert (rows["3.1"]["value"], rows["3.1"]["status"]) == ("Thermo Fisher Scientific", "partly")
    assert "serial number 2AFC210070815" in str(rows["3.2"]["value"])
    assert "YL2-A: mCherry-A, 400 V, filter 620/15, laser 561" in str(rows["3.3"]["value"])
    identity = fcs.parse(shared_data / "cytometry" / "mesf_tasbe" / "beads.fcs")[0]
    assert acquisition_of(identity).spillover is Spillover.IDENTITY


def test_a_study_adds_what_its_protocol_says(run: Run) -> None:
    text = acquired(withheld=("$OP",)).to_json()
    events = EVENTS.from_rows([{"file": "a.fcs", "sha256": "cd" * 32, "index": 0, "events": 1000, "acquisition": text}])
    gates = GATES.from_rows(
        [
            {"donor": donor, "gate": gate, "parent": parent, "geometry": box(None, high), "method": method}
            for donor, high in (("SSc001", 0.5), ("SSc002", 0.6))
            for gate, parent, method in (("Live", "Time", "viability"), ("Time", None, "time"))
        ]
    )
    changed = dataclasses.replace(
        run, inputs=dataclasses.replace(run.inputs, events=events), gating=dataclasses.replace(run.gating, gates=gates)
    )
    rows = items(list_for_study(changed))
    assert [number for number, row in rows.items() if row["status"] == "missing"] == ["1.5"]
    assert rows["1.1"]["value"] == f"{run.protocol.file.study.title} (NCT04206644)"
    assert rows["2.2"]["value"] == "Systemic sclerosis: 6 donors; Healthy donors: 3 donors; measured in population Live"
    assert "CD204 PE in PE-A" in str(rows["2.4"]["value"])
    assert rows["2.4"]["status"] == "partly"
    assert str(rows["4.1"]["value"]).endswith("Not printed, since people may be named there: $OP")
    told = str(rows["4.4"]["value"])
    assert told.index("Time (time)") < told.index("Time/Live (viability): rectangle on PE-A, 2 boundaries")
    assert [table.kind.name for table in public_tables(changed)][-1] == "miflowcyt"


def test_reagents_and_contact_of_the_protocol_fill_their_items(run: Run) -> None:
    file = run.protocol.file
    flow = {name: block for name, block in file.readouts.items() if block.kind == "flow"}
    reagents = {name: block.model_copy(update={"clone": "19.2", "reagent": "BD 550889, lot 1"}) for name, block in flow.items()}
    study = file.study.model_copy(update={"contact": "A. Person, a@b.org", "organization": "Lab, Street 1", "keywords": ("MDM", "SSc")})
    protocol = dataclasses.replace(run.protocol, file=file.model_copy(update={"readouts": {**file.readouts, **reagents}, "study": study}))
    rows = items(list_for_study(dataclasses.replace(run, protocol=protocol)))
    assert [rows[number]["status"] for number in ("1.2", "1.4", "1.5", "2.4")] == ["filled"] * 4
    assert "clone 19.2, BD 550889, lot 1" in str(rows["2.4"]["value"])
    assert rows["1.5"]["value"] == "A. Person, a@b.org"


def test_conditions_are_not_told_while_they_are_coded(blinded_run: Run) -> None:
    rows = items(list_for_study(blinded_run))
    assert rows["1.3"]["value"] == "factors drug, serum; conditions are coded"
    assert rows["2.3"]["status"] == "partly"
    printed = " ".join(str(row["value"]) for row in rows.values())
    assert not [level for level in ("vehicle", "ruxolitinib", "DMSO") if level in printed]


def test_a_study_without_cytometry_has_no_list(run: Run) -> None:
    readouts = {name: block for name, block in run.protocol.file.readouts.items() if block.kind != "flow"}
    protocol = dataclasses.replace(run.protocol, file=run.protocol.file.model_copy(update={"readouts": readouts}))
    assert list_for_study(dataclasses.replace(run, protocol=protocol)).height == 0
