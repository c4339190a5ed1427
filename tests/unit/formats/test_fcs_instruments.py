"""TEXT and offsets as instruments write them, each with its own faults, and events that are read right all the same.

What each instrument does was seen in public files and in the option lists and issue threads of other readers (fireflow_testing of
NIST, flowCore, FlowIO, fcsparser); the files here are written for these tests.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from exvivo.formats import fcs

FLOATS = np.array([[0.5, 1.5, 10.0], [-2.0, 3.0, 20.0]], dtype="<f4")
WORDS = np.array([[1, 1023, 5], [512, 0, 7]], dtype="<u2")


@dataclass(frozen=True)
class Made:
    """A file in an instrument's form, and what should be read from it."""

    version: str = "FCS3.0"
    sign: str = "/"
    data: NDArray[np.generic] = field(default_factory=lambda: FLOATS)
    text: tuple[tuple[str, str], ...] = ()
    begin: int = 58
    padding: str = ""
    ends: tuple[int, int] = (0, 0)  # added to the ends of TEXT and DATA in HEADER
    zeros: bool = False
    behind: bytes = b""
    in_text: Callable[[int, int], tuple[str, str]] | None = None
    rows: Sequence[Sequence[float]] | None = None
    told: tuple[str, ...] = ()

    def compose(self) -> bytes:
        """The bytes; offsets in TEXT keep their width while they are filled in."""
        size = self.data.nbytes
        start = self._start(len(self._body(0, size).encode("latin-1")))
        body = self._body(start, size).encode("latin-1")
        offsets = (self.begin, start - 1 + self.ends[0], start, start + size - 1 + self.ends[1], 0, 0)
        offsets = (*offsets[:2], 0, 0, 0, 0) if self.zeros else offsets
        header = f"{self.version}    " + "".join(f"{offset:8d}" for offset in offsets)
        return header.ljust(self.begin).encode("ascii") + body + self.data.tobytes() + self.behind

    def _start(self, text_bytes: int) -> int:
        return self.begin + text_bytes

    def _body(self, start: int, size: int) -> str:
        pairs = self.text
        if self.in_text is not None:
            first, last = self.in_text(start, start + size - 1)
            pairs = (("$BEGINDATA", f"{first:<12}"), ("$ENDDATA", f"{last:<12}"), *pairs)
        return self.sign + "".join(f"{key}{self.sign}{value}{self.sign}" for key, value in pairs) + self.padding


def pairs(
    names: Sequence[str],
    *,
    bits: int | Sequence[int] = 32,
    extent: str = "262144",
    datatype: str = "F",
    amplifier: str = "0,0",
    **more: str,
) -> tuple[tuple[str, str], ...]:
    """Required keywords of a file of two events."""
    order = more.pop("order", "1,2,3,4")
    found = [("$MODE", "L"), ("$DATATYPE", datatype), ("$BYTEORD", order), ("$PAR", str(len(names))), ("$TOT", "2")]
    widths = [bits] * len(names) if isinstance(bits, int) else bits
    for place, (name, width) in enumerate(zip(names, widths, strict=True), 1):
        found += [(f"$P{place}N", name), (f"$P{place}B", str(width)), (f"$P{place}R", extent), (f"$P{place}E", amplifier)]
    return (*found, *((key.replace("_", "$"), value) for key, value in more.items()))


def padded(found: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{key}      ", f"   {value}  ") for key, value in found)


def told_in_text(first: int, last: int) -> tuple[str, str]:
    return str(first), str(last)


def late_in_text(first: int, last: int) -> tuple[str, str]:
    return str(first), str(last + 1)


THREE = ("FSC-A", "SSC-A", "FL1-A")
BIG_WORDS = WORDS.astype(">u2")
TWENTY_FOUR = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 2], [0, 0, 3], [255, 255, 255]], dtype=np.uint8)
MIXED = np.array([(70_000, 5, 6), (70_001, 7, 1023)], dtype=[("t", "<u4"), ("a", "<u2"), ("b", "<u2")])

INSTRUMENTS: dict[str, Made] = {
    "Partec PAS, CyFlow: blank-padded keywords, 16-bit, DATA ends one late": Made(
        version="FCS2.0",
        data=WORDS,
        text=padded(pairs(("FSC", "SSC", "FL1"), bits=16, extent="1024", datatype="I", order="1,2", _CYT="partec PAS", _TR="")),
        ends=(0, 1),
        behind=b" ",
        told=("$TOT events fill",),
    ),
    "Sysmex CyFlow Cube 6: no final delimiter, a zip archive as supplemental TEXT": Made(
        text=(*pairs(THREE, _CYT="CyFlow Cube 6"), ("$BEGINSTEXT", "0600"), ("$ENDSTEXT", "0640"), ("LAST", "x")),
        behind=b"PK\3\4" * 200,
        told=("supplemental TEXT",),
    ),
    "Luminex Guava easyCyte (InCyte): log amplifiers on floats, an odd keyword at the end, delimiters behind TEXT": Made(
        text=(
            *pairs(("FSC-HLin", "GRN-HLog", "Time"), amplifier="4,1", _CYT="Guava easyCyte 6HT"),
            ("GTI$XML", "<a b='é'>"),
        ),
        padding="GTI$ODD//",
        told=("not applied", "Latin-1"),
    ),
    "Accuri C6: TEXT names a wrong place, supplemental TEXT lies in TEXT, ends one late": Made(
        data=np.array([[1, 2**24 - 1, 3], [4, 5, 6]], dtype=">u4"),
        text=(
            *pairs(THREE, extent="16777216", datatype="I", order="4,3,2,1", _CYT="Accuri C6"),
            ("$BEGINSTEXT", "58"),
            ("$ENDSTEXT", "200"),
        ),
        ends=(1, 1),
        behind=b"0",
        in_text=lambda first, last: (str(first - 40), str(last - 39)),
        told=("supplemental TEXT", "TEXT puts DATA"),
    ),
    "Intellicyt iQue: DATA end where they begin": Made(
        text=pairs(THREE, _CYT="iQue Screener PLUS"),
        zeros=True,
        in_text=lambda first, _last: (str(first), str(first)),
        told=("TEXT puts DATA",),
    ),
    "Applied Biosystems Attune: blank values, an odd keyword at the end": Made(
        text=pairs(THREE, _CYT="Attune", _OP=" ", _INST="", _SMNO=" "),
        padding="#LASTKEY",
        in_text=told_in_text,
        told=("without a value",),
    ),
    "Cytek xP5: 24-bit integers, three bytes in $BYTEORD": Made(
        data=TWENTY_FOUR,
        text=pairs(THREE, bits=24, extent="16777216", datatype="I", order="3,2,1", _CYT="Cytek xP5: nickname FACScan"),
        rows=[[1, 256, 65_536], [2, 3, 16_777_215]],
    ),
    "Cytek Aurora: TEXT begins at byte 256, padded numbers, blanks behind TEXT": Made(
        version="FCS3.1",
        sign="\x1e",
        text=pairs(("Time", "B1-A", "R1-A"), extent="   4194304", _CYT="Aurora", _VOL="        36.6", _TIMESTEP="1"),
        begin=256,
        padding=" " * 60,
        in_text=told_in_text,
    ),
    "Stratedigm S1400: 32-bit time beside 16-bit signals": Made(
        data=MIXED,
        text=pairs(("Event_Count", "FSC", "SSC"), bits=(32, 16, 16), extent="4294967296", datatype="I", _CYT="S1400", _P2R="1024"),
        rows=[[70_000, 5, 6], [70_001, 7, 1023]],
        told=("given twice",),
    ),
    "Amnis ImageStream (IDEAS): supplemental TEXT is TEXT, values of blanks": Made(
        text=pairs(
            ("Area_M01", "Intensity_MC_Ch02", "Object Number"), _CYT="ImageStreamX Mark II", _COM="  ", _BEGINSTEXT="58", _ENDSTEXT="0"
        ),
        in_text=told_in_text,
    ),
    "Apogee A60 Micro: ends of TEXT and DATA one late, spillover by number": Made(
        text=pairs(("SALS-A", "LALS-A", "405-Grn(Bkgnd)"), _CYT="A60-Micro", _SPILLOVER="2,2,3,1,0.1,0,1"),
        ends=(1, 1),
        behind=b"\0",
        in_text=late_in_text,
        told=("by number", "$TOT events fill"),
    ),
    "Sony ID7000: TEXT ends one late": Made(version="FCS3.1", text=pairs(THREE, _CYT="ID7000"), ends=(1, 0), in_text=told_in_text),
    "ACEA NovoCyte: $UNICODE, an empty value before a keyword": Made(
        text=pairs(THREE, _CYT="NovoCyte", _UNICODE="65001,$P1N", _P1S="", _P2S="CD3"), in_text=told_in_text, told=("empty values",)
    ),
    "Bio-Rad ZE5: a star as delimiter, DATA in TEXT end one late": Made(
        version="FCS3.1", sign="*", text=pairs(THREE, _CYT="YETI"), in_text=late_in_text, behind=b"00000000", told=("TEXT puts DATA",)
    ),
    "Fluidigm CyTOF 2: big-endian floats, values of one blank, offsets of other segments in a longer HEADER": Made(
        data=FLOATS.astype(">f4"),
        text=pairs(("Event_length", "Ir191Di", "Dead"), order="4,3,2,1", _CYT="DVSSCIENCES-CYTOF-5.1.562", _COM=" ", _P1S=" "),
        begin=98,
        ends=(0, 1),
        behind=b"\n",
        in_text=late_in_text,
        told=("HEADER puts DATA",),
    ),
    "BD FACSCalibur: big-endian words, log amplifiers without offset, text of a Macintosh": Made(
        version="FCS2.0",
        sign="\x0c",
        data=BIG_WORDS,
        text=pairs(
            ("FSC-H", "FL1-H", "FL2-H"), bits=16, extent="1024", datatype="I", order="4,3,2,1", amplifier="4,0", _SYS="Macintosh \xa8"
        ),
        rows=(10 ** (4 * WORDS.astype(float) / 1024)).tolist(),
        told=("offset of 0", "Latin-1"),
    ),
    "Beckman Coulter FC500 (CXP): 10 bits that are 16, ends one late": Made(
        version="FCS2.0",
        sign="\\",
        data=WORDS,
        text=pairs(
            ("FS Lin", "FL1 Log", "FL2 Log"), bits=10, extent="1024", datatype="I", order="1,2", _CYT="Cytomics FC 500", _DFC1TO2="5.0"
        ),
        ends=(1, 1),
        behind=b"\0",
        told=("Coulter's CXP", "$DFCiTOj are read"),
    ),
    "Beckman Coulter Gallios: a blank before amplifiers, percentages beyond the channels": Made(
        version="FCS2.0",
        sign="|",
        data=WORDS,
        text=pairs(("FS INT", "FL1 INT", "FL2 INT"), bits=16, extent="1024", datatype="I", order="1,2", amplifier=" 0,0", _DFC5TO1="0.0"),
        told=("$DFCiTOj are read",),
    ),
    "Beckman Coulter EPICS XL (System II): further information in bits 10 to 15": Made(
        version="FCS2.0",
        data=(WORDS | 0xA000).astype("<u2"),
        text=pairs(("FS", "SS", "FL1"), bits=16, extent="1024", datatype="I", order="1,2"),
        rows=WORDS.astype(float).tolist(),
    ),
    "Dako CyAn (Summit): TEXT names a place in TEXT, words in four-byte order": Made(
        data=WORDS,
        text=pairs(("FS Lin", "FITC Log", "PE Log"), bits=16, extent="65536", datatype="I", order="1,2,3,4", _CYT="CyAn"),
        in_text=lambda _first, _last: ("80", "91"),
        told=("TEXT puts DATA at bytes 80",),
    ),
    "Beckman Coulter MoFlo XDP: a HEADER with other segments of 14 digits": Made(
        data=np.array([[1, 2, 3], [4, 5, 2**20 - 1]], dtype="<u4"),
        text=pairs(("FSC-Area", "Time", "FL1-Log"), extent="1048576", datatype="I", _CYT="MoFlo XDP"),
        begin=58 + 6 * 14,
        in_text=told_in_text,
    ),
    "iCyt Eclipse: times under $ETIME, lmd": Made(
        data=np.array([[1, 2, 3], [4, 5, 2**16 - 1]], dtype="<u4"),
        text=pairs(("FSC Peak", "SSC Area", "Time"), extent="65536", datatype="I", _CYT="Eclipse", _ETIME="12:00:01"),
        in_text=told_in_text,
    ),
    "Miltenyi MACSQuant: log amplifiers on floats, spillover of names alone": Made(
        text=pairs(("HDR-T", "FL1-A", "FL2-A"), amplifier="5,0.1", _CYT="MACSQuant", _SPILLOVER="2,FL1-A,FL2-A"),
        ends=(0, 1),
        in_text=late_in_text,
        behind=b"\0",
        told=("not applied", "not a square matrix"),
    ),
    "Luminex LX200: words of four bytes of which ten bits count": Made(
        data=(np.array([[1, 2, 1023], [4, 5, 6]]) + 4096).astype("<u4"),
        text=pairs(("RP1", "CL1", "CL2"), extent="1024", datatype="I", _CYT="LX200"),
        rows=[[1, 2, 1023], [4, 5, 6]],
    ),
    "FlowJo: nines in HEADER beyond 100 MB, no offsets of 20 digits but blanks": Made(
        text=pairs(THREE, CREATOR="FlowJo"),
        zeros=True,
        in_text=told_in_text,
    ),
    "BD FACSDiscover: FCS 3.2 with features and types of channels": Made(
        version="FCS3.2",
        text=tuple(p for p in pairs(THREE, _CYT="FACSDiscover S8", _P1FEATURE="Area", _P1TYPE="Forward Scatter") if p[0] != "$MODE"),
        in_text=told_in_text,
    ),
}


@pytest.mark.parametrize("made", INSTRUMENTS.values(), ids=[name.split(":")[0] for name in INSTRUMENTS])
def test_files_of_an_instrument_are_read(made: Made) -> None:
    raw = made.compose()
    (record,) = fcs.parse(raw)
    expected = made.data.astype(float).tolist() if made.rows is None else made.rows
    np.testing.assert_allclose(fcs.read_events(raw, record), expected, rtol=1e-12)
    for word in made.told:
        assert any(word in issue for issue in record.issues), (word, record.issues)
    assert made.told or record.issues == ()


def test_guava_keeps_every_well_of_a_plate() -> None:
    """One data set for each well, $NEXTDATA counted from the data set or from the start of the file."""
    names = ("FSC-HLin", "GRN-HLog", "Time")
    wells = [replace(Made(text=pairs(names, NEXT="")), data=FLOATS + well) for well in range(3)]
    for from_start in (False, True):
        lengths = [len(Made(text=(*well.text, ("$NEXTDATA", "0000000")), data=well.data).compose()) for well in wells]
        at = 0
        raw = b""
        for place, well in enumerate(wells):
            following = 0 if place == 2 else lengths[place] + (at if from_start else 0)
            raw += replace(well, text=(*well.text, ("$NEXTDATA", f"{following:07d}"))).compose()
            at += lengths[place]
        records = fcs.parse(raw)
        assert [fcs.read_events(raw, record)[0, 0] for record in records] == [0.5, 1.5, 2.5]
