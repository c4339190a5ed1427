"""One export outside a study: the wavelengths that are read off it."""

from pathlib import Path

import pytest

from exvivo.engine import Work
from exvivo.formats import envision
from exvivo.read.batch import Asked
from exvivo.read.single import read_exports
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellReading, well_name

MAP = "plate,well,role,specimen,analyte,concentration,dilution\n1,A1,standard,S1,CCL18,500,1\n1,A2,specimen,M1,CCL18,,20\n"


def write(folder: Path, signal: float, wavelengths: tuple[int, int]) -> Path:
    wells = [well_name(row, column) for row in range(8) for column in range(12)]
    readings = [WellReading(well, nm, signal, ReadingStatus.OK, SignalKind.RAW, repr(signal), "") for nm in wavelengths for well in wells]
    path = folder / "x.csv"
    path.write_bytes(envision.compose(ExportRecord("envision", (PlateRecord("P", 1, 8, 12, tuple(readings)),))))
    return path


@pytest.mark.parametrize(
    ("signal", "wavelengths", "chosen"),
    [(0.5, (450, 570), (450, 570)), (0.5, (450, 700), (450, None)), (31_441.0, (535, 595), (535, None))],
)
def test_a_reference_is_subtracted_from_absorbance_only(
    tmp_path: Path, signal: float, wavelengths: tuple[int, int], chosen: tuple[int, int | None]
) -> None:
    (tmp_path / "map.csv").write_text(MAP, encoding="utf-8")
    (readout,) = read_exports([Asked(write(tmp_path, signal, wavelengths), tmp_path / "map.csv")], Work()).readouts.values()
    assert (readout.wavelength_nm, readout.reference_wavelength_nm) == chosen
