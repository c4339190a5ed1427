"""A small study folder, written by the formats it is read with, and changed by each test as it likes."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from exvivo.engine import Work
from exvivo.errors import InputError
from exvivo.formats import grid
from exvivo.read import read_inputs
from exvivo.study.decisions import Decisions
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellReading, well_name
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import Clinical, ElisaReadout, Experiment, Factor, Files, FlowReadout, Population, Standards, Variable, VariableKind
from exvivo.study.protocol import Design
from exvivo.study.run import Inputs

SPECIMENS = """\
specimen,culture,run,experiment,donor,serum_donor,drug,serum,matrix,collected_on,volume_ml,viable_cells,viability_pct,state,comment
M1,K1,1,A,D-1,,vehicle,none,medium,2026-03-09,0.5,100000,92.5,ok,
M2,K2,1,A,D-1,,ruxolitinib,none,medium,2026-03-09,0.5,98000,91,ok,
C1,K1,1,A,D-1,,vehicle,none,cells,2026-03-09,,,,ok,
"""
MAP = """plate,well,role,specimen,analyte,concentration,dilution,unit
1,A1,standard,S1,CCL18,500,1,pg/mL
1,A2,blank,,CCL18,,,
1,B1,specimen,M1,CCL-18,,20,
1,B2,specimen,M2,PARC,,20,
"""
TUBES = "file,specimen,tube,marker,batch\nc1.fcs,C1,full,,b1\n"
CLINIC = "donor,population,age,autoab\nD-1,1,61,1;2\nD-2,2,33,\n"


def design() -> Design:
    standards = Standards(top=500, points=7, factor=2)
    elisa = ElisaReadout(kind="elisa", label="CCL18", aliases=("PARC",), unit="pg/mL", standards=standards)
    flow = FlowReadout(kind="flow", label="CD206", fluorochrome="APC", channel="APC-A")
    variables = {
        "age": Variable(type=VariableKind.INTEGER, range=(18, 100)),
        "autoab": Variable(
            type=VariableKind.MULTISELECT,
            levels={"0": "none", "1": "ACA", "2": "ATA"},
            precedence=("ATA", "ACA", "none"),
            none_level="none",
        ),
    }
    return Design(
        populations={"SSc": Population(label="SSc"), "HD": Population(label="HD")},
        factors={
            "drug": Factor(levels=("vehicle", "ruxolitinib"), reference="vehicle"),
            "serum": Factor(levels=("none", "SSc_serum"), reference="none"),
        },
        experiments={"A": Experiment(population="SSc", conditions=({"drug": "vehicle"}, {"drug": "ruxolitinib"}))},
        readouts={"CCL18": elisa, "CD206": flow},
        tables={},
        clinical=Clinical(
            format="plain", key="donor", populations={"1": "SSc", "2": "HD"}, missing_codes={"-999": "not done"}, variables=variables
        ),
        sets={},
        modifiers={},
        blinding=None,
        study_id="T1",
    )


def plate(name: str | None = None, position: int = 1, value: float = 0.5) -> PlateRecord:
    wells = [well_name(row, column) for row in range(8) for column in range(12)]
    return PlateRecord(
        name, position, 8, 12, tuple(WellReading(well, 450, value, ReadingStatus.OK, SignalKind.RAW, "", "") for well in wells)
    )


@dataclass
class Folder:
    """A study folder and how it is read."""

    path: Path
    design: Design = field(default_factory=design)
    decisions: Decisions = field(default_factory=Decisions)
    specimens: str = SPECIMENS
    map: str = MAP
    tubes: str = TUBES
    clinic: str = CLINIC

    def write(self, name: str, content: str | bytes) -> None:
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    def export(self, name: str, *plates: PlateRecord) -> None:
        record = ExportRecord("grid", plates or (plate(),))
        self.write(name, grid.compose(record) if name.endswith("xlsx") else grid.compose_text(record))

    def plate(self, name: str | None = None, position: int = 1) -> PlateRecord:
        return plate(name, position)

    def refusal(self) -> str:
        with pytest.raises(InputError) as caught:
            self.read()
        return str(caught.value)

    def read(self) -> Inputs:
        return read_inputs(self.path, Files(), self.design, self.decisions, Work())

    def findings(self, code: FindingCode) -> list[Finding]:
        return [found for found in self.read().found if found.code is code]


@pytest.fixture
def study(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.write("specimens.csv", SPECIMENS)
    folder.write("plates/ccl18.csv", grid.compose_text(ExportRecord("grid", (plate(),))))
    folder.write("plates/maps/ccl18.csv", MAP)
    folder.write("cytometry/tubes.csv", TUBES)
    folder.write("clinical.csv", CLINIC)
    return folder
