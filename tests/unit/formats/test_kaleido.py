"""Kaleido text: measurements by name, plates by barcode, and what is refused."""

import pytest

from exvivo.errors import InputError
from exvivo.formats import kaleido
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellReading

COLUMNS = "," + ",".join(str(n) for n in range(1, 13))


def grid(text: str, letters: str = "ABCDEFGH") -> str:
    return "\n".join([COLUMNS, *(",".join([letter, *[text] * 12]) for letter in letters), "", ""])


def block(name: str, barcode: str = "V7", text: str = "0.1", repeat: int = 1) -> str:
    return f"Results for\u00a0{name}\n\nBarcode:\u00a0{barcode},PlateRepeat:\u00a0{repeat},WellRepeat:\u00a01\n{grid(text)}"


def tech(name: str, nm: int, *more: str) -> str:
    return "\n".join(["Meas,,,,", f"Tech,,,,{name}", f"Excitation wavelength [nm],,,,{nm}", *more, "", ""])


def read(text: str) -> ExportRecord:
    assert kaleido.recognises(text.encode())
    return kaleido.parse(text.encode(), "x.csv")


def message(text: str) -> str:
    with pytest.raises(InputError) as caught:
        kaleido.parse(text.encode(), "x.csv")
    return str(caught.value)


def test_wavelengths_follow_the_names_of_measurements() -> None:
    text = block("ABS b") + block("ABS a", text="0.2") + "Measurements:\n" + tech("ABS a", 450) + tech("ABS b", 620)
    (plate,) = read(text).plates
    assert [(one.wavelength_nm, one.signal, one.origin) for one in plate.readings if one.well == "A1"] == [
        (620, 0.1, "line 5"),
        (450, 0.2, "line 18"),
    ]


def test_plates_are_told_by_their_barcodes() -> None:
    record = read(block("ABS a", "V7") + block("ABS a", "V8", "0.2") + tech("ABS a", 450))
    assert [(plate.name, plate.position, plate.readings[0].signal) for plate in record.plates] == [("V7", 1, 0.1), ("V8", 2, 0.2)]


def test_other_measurements_and_maps_are_noted_and_not_read() -> None:
    text = block("ABS a") + block("FI a", text="9303") + "Platemap\nPlate\n" + grid("S1")
    record = read(text + tech("ABS a", 450) + tech("FI a", 485, "Emission wavelength [nm],,,,520"))
    assert [len(plate.readings) for plate in record.plates] == [96]
    assert record.notes == (
        "line 17: results of 'FI a' not read: they are no absorbance",
        "line 29: the platemap was not read: give the map of the plate as a file",
    )


def test_an_unstated_wavelength_is_noted() -> None:
    record = read(block("ABS mono 1"))
    assert record.plates[0].readings[0].wavelength_nm is None
    assert record.notes == ("line 4: the file does not say the wavelength of 'ABS mono 1'",)


@pytest.mark.parametrize(("text", "status"), [("OVERFLOW", ReadingStatus.OVERFLOW), ("-", ReadingStatus.EMPTY)])
def test_words_are_states(text: str, status: ReadingStatus) -> None:
    (plate,) = read(block("ABS a", text=text) + tech("ABS a", 450)).plates
    assert {(one.signal, one.status) for one in plate.readings} == {(None, status)}


def test_faults_are_told_together() -> None:
    text = (block("ABS a", repeat=2) + tech("ABS a", 450)).replace("A,0.1", "A,high").replace("C" + ",0.1" * 12, "C,0.1")
    assert message(text) == (
        "x.csv, line 4: 'ABS a' was read repeatedly. Expected one endpoint reading of each well. Export each repeat on its own.\n"
        "x.csv, line 5: well A1: 'high' is no reading. Expected a number or a reader's word such as OVERFLOW. Export again.\n"
        "x.csv, line 7: row C ends after 1 of 12 wells. Expected a full row. Export again."
    )
    assert "no block of readings; results: 'IMG 1'" in message(block("IMG 1"))


def test_a_block_that_is_cut_off_is_refused() -> None:
    assert "a block of 3 rows and 12 columns" in message("\n".join(block("ABS a").split("\n")[:7]))


def test_two_decimal_marks_are_refused() -> None:
    assert "two decimal marks" in message(block("ABS a").replace(",", ";").replace("A;0.1", "A;0,1"))


def test_composing_needs_wavelengths_and_barcodes() -> None:
    plate = PlateRecord("P", 1, 8, 12, (WellReading("A1", None, 0.5, ReadingStatus.OK, SignalKind.RAW, "0.5", ""),))
    with pytest.raises(ValueError, match="wavelength"):
        kaleido.compose(ExportRecord("kaleido", (plate,)))
    with pytest.raises(ValueError, match="barcodes"):
        kaleido.compose(ExportRecord("kaleido", (plate, plate)))


def table(name: str, barcode: str = "V7", text: str = "0.1", wavelengths: str = ",") -> str:
    names = "Barcode,Repeat,Loop no,Well scan x,Well scan y,Exc wl / filter,Ems wl,TRF Window,Analysis Parameter,Label-free Parameter,"
    return f"Result for {name}\n{names}\n{barcode},1,,,,{wavelengths},,,,\n\n" + grid(text).replace("\n", ",\n") + "\n"


def operation(name: str, *settings: str) -> str:
    return "\n".join([f"Operation,,,{name}", "Measurement Mode,,,Single", *settings, "", ""])


@pytest.mark.parametrize(
    ("name", "settings", "nm"),
    [
        ("Absorbance 1", ["Excitation Wavelength [nm],,,450"], 450),
        ("Fluorescence intensity 1", ["Excitation Wavelength [nm],,,485", "Emission Wavelength [nm],,,535"], 535),
        ("Luminescence 1", ["Measurement Time [s],,,0.2"], None),
    ],
)
@pytest.mark.parametrize("padding", ["", ",,,"])
def test_the_form_of_kaleido_3_is_read(name: str, settings: list[str], nm: int | None, padding: str) -> None:
    text = "EnSight Results from\nProtocol Name,foo\n\n" + table(name, text="18126") + operation(name, *settings)
    record = read("\n".join(line + padding for line in text.split("\n")))
    (plate,) = record.plates
    assert {(one.wavelength_nm, one.signal) for one in plate.readings} == {(nm, 18126.0)}
    assert (plate.name, record.notes) == ("V7", ())


def test_a_block_may_state_its_own_wavelength() -> None:
    text = table("Absorbance 1", wavelengths="450,") + table("Absorbance 1", text="0.2", wavelengths="620,")
    (plate,) = read(text).plates
    assert {(one.wavelength_nm, one.signal) for one in plate.readings} == {(450, 0.1), (620, 0.2)}
    assert "'Absorbance 1' was read repeatedly" in message(table("Absorbance 1") + table("Absorbance 1"))


def test_images_and_their_analysis_are_no_readings() -> None:
    head = "Barcode: V7, PlateRepeat: 1, WellRepeat: 1"
    images = f"Results for IMG 1\n\n{head}\n{grid('20220826-c1-0101.tiff')}"
    analysed = f"Results for Image Analysis ( IMG 1 )\n\n{head}, AnalysisParameter: GFP Intensity\n\n{grid('50.7')}"
    assert "no block of readings; results: 'IMG 1', 'Image Analysis ( IMG 1 )'" in message(images + analysed)
    record = read(images + analysed + block("ABS a") + tech("ABS a", 450))
    assert len(record.plates[0].readings) == 96
    assert len(record.notes) == 2
