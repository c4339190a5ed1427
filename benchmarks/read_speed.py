"""Milliseconds of processor time to read each real export of a folder, beside openreadout and allotropy.

    python benchmarks/read_speed.py FOLDER                                        or $EXVIVO_SHARED/data/plates
    python benchmarks/read_speed.py FOLDER --allotropy-python /path/to/python     allotropy from an environment of its own

Medians of repeated reads, interleaved file by file; processor time, all threads, so that a busy machine does not punish the
longer read; imports are not counted, and what ours remembers of a file is forgotten before each read. exvivo and openreadout find
out the format themselves, allotropy is told the vendor where the name of the file's folder tells it. Targets: no slower than
3 times openreadout, at least 10 times as fast as allotropy. A reader that refuses a file is told with the first words of its message.
``readings`` counts the numbers that each gives, which need not be the same ones: vendors' results count for some and not for others.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import assay_peers as peers
import numpy as np

from exvivo.errors import ExvivoError
from exvivo.formats.exports import parse_export

SLOWEST, FASTEST = 3.0, 10.0
SUFFIXES = {".txt", ".csv", ".tsv", ".xls", ".xlsx"}

WORKER = r"""
import contextlib, io, json, sys, time, warnings
warnings.simplefilter("ignore")
from allotropy.parser_factory import Vendor
from allotropy.to_allotrope import allotrope_from_file
vendors = {"gen5": Vendor.AGILENT_GEN5, "softmax": Vendor.MOLDEV_SOFTMAX_PRO, "skanit": Vendor.THERMO_SKANIT,
           "magellan": Vendor.TECAN_MAGELLAN, "envision": Vendor.PERKIN_ELMER_ENVISION, "mars": Vendor.BMG_MARS,
           "kaleido": Vendor.REVVITY_KALEIDO}
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    path, kind = json.loads(line)
    began = time.process_time()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found = json.dumps(allotrope_from_file(path, vendors.get(kind)), default=str)
        answer = [time.process_time() - began, found.count('"absorbance"'), ""]
    except Exception as error:
        answer = [0.0, 0, str(error)]
    print(json.dumps(answer), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Read:
    """One read: seconds, numbers found, and what was said where the file was refused."""

    seconds: float
    readings: int
    refused: str = ""


Reader = Callable[[Path], Read]


def read_exvivo(path: Path) -> Read:
    """Our reader, from the file to its plates."""
    forget()
    began = time.process_time()
    try:
        record = parse_export(path.name, path.read_bytes())
    except ExvivoError as error:
        return Read(time.process_time() - began, 0, str(error))
    seconds = time.process_time() - began
    return Read(seconds, sum(len(plate.readings) for plate in record.plates))


def forget() -> None:
    """Empty all that our formats remember, so that a repeated read is a first read."""
    for name, module in list(sys.modules.items()):
        if name.startswith("exvivo."):
            for member in vars(module).values():
                if hasattr(member, "cache_clear"):
                    member.cache_clear()


def read_openreadout(path: Path) -> Read:
    """openreadout, from the file to the values of its tables."""
    import openreadout  # noqa: PLC0415 - optional

    began = time.process_time()
    try:
        with openreadout.open(str(path)) as found:
            tables = [found.read_table(i) for i in range(len(found.tables))]
    except openreadout.OpenReadoutError as error:
        return Read(time.process_time() - began, 0, str(error))
    seconds = time.process_time() - began
    return Read(seconds, sum(int(np.sum(~np.isnan(table[:, -1]))) for table in tables if table.size))


class Allotropy:
    """allotropy in a process of its own, imported once; each file is asked for and timed there."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen([python, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        self._answer()

    def __call__(self, path: Path) -> Read:
        given, _ = self._pipes()
        given.write(json.dumps([str(path), path.parent.name.lower()]) + "\n")
        given.flush()
        seconds, readings, refused = self._answer()
        return Read(seconds, readings, refused)

    def close(self) -> None:
        """End the process."""
        self._pipes()[0].close()
        self._process.wait(timeout=30)

    def _answer(self) -> list[object]:
        return json.loads(self._pipes()[1].readline())

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the process of allotropy has no pipes")
        return self._process.stdin, self._process.stdout


def measure(path: Path, readers: dict[str, Reader], repeats: int) -> dict[str, Read]:
    """Median read of each reader, repetitions interleaved; allotropy, being slow, is asked three times at most."""
    found: dict[str, list[Read]] = {name: [reader(path)] for name, reader in readers.items()}
    for i in range(repeats):
        for name, reader in readers.items():
            if not found[name][0].refused and (name != "allotropy" or i < 3):
                found[name].append(reader(path))
    warm = {name: reads[1:] or reads for name, reads in found.items()}
    return {name: Read(statistics.median(r.seconds for r in reads), reads[0].readings, reads[0].refused) for name, reads in warm.items()}


def cell(read: Read) -> str:
    """Milliseconds and readings, or that the file was refused."""
    return f"{'refused':>10}{'':>9}" if read.refused else f"{1000 * read.seconds:>10.1f}{read.readings:>9}"


def ratio(numerator: Read | None, denominator: Read) -> float | None:
    """How many times as long the first takes, None where either refused the file."""
    if numerator is None or numerator.refused or denominator.refused:
        return None
    return numerator.seconds / denominator.seconds


def judge(mine: Read, found: dict[str, Read]) -> tuple[bool, str]:
    """Ratios to the peers and whether the targets are met."""
    to_openreadout = ratio(mine, found["openreadout"]) if "openreadout" in found else None
    to_allotropy = ratio(found.get("allotropy"), mine)
    slow = to_openreadout is not None and to_openreadout > SLOWEST
    not_fast = to_allotropy is not None and to_allotropy < FASTEST
    told = "".join(f"{value:>9.2f}" if value is not None else f"{'':>9}" for value in (to_openreadout, to_allotropy))
    if mine.refused:
        missed = any(not read.refused for read in found.values())
        return not missed, told + ("  refused by ours only: FAIL" if missed else "  refused by all")
    return not (slow or not_fast), told + ("  FAIL" if slow or not_fast else "  PASS")


def report(folder: Path, files: Sequence[Path], readers: dict[str, Reader], repeats: int) -> bool:
    """Print a line for each file."""
    print(header(readers))
    held, refused = True, []
    for path in files:
        found = measure(path, readers, repeats)
        fine, told = judge(found["ours"], found)
        held &= fine
        print(f"{str(path.relative_to(folder))[-50:]:<51}" + "".join(cell(read) for read in found.values()) + told, flush=True)
        refused += [f"{path.name}, {name}: {' '.join(read.refused.split())[:120]}" for name, read in found.items() if read.refused]
    for line in refused:
        print(f"refused: {line}")
    return held


def header(readers: dict[str, Reader]) -> str:
    """Two lines above the table."""
    first = f"{'':<51}" + "".join(f"{name:>19}" for name in readers) + f"{'ours/':>9}{'allot./':>9}"
    return first + "\n" + f"{'file':<51}" + f"{'ms':>10}{'readings':>9}" * len(readers) + f"{'openr.':>9}{'ours':>9}"


def main(given: argparse.Namespace) -> bool:
    """Read and print."""
    folder = given.folder or (Path(os.environ["EXVIVO_SHARED"]) / "data" / "plates" if "EXVIVO_SHARED" in os.environ else None)
    if folder is None or not folder.is_dir():
        raise SystemExit("name a folder of exports, or set EXVIVO_SHARED")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith("LICENSE"))
    readers: dict[str, Reader] = {"ours": read_exvivo}
    if peers.installed("openreadout", "openreadout"):
        readers["openreadout"] = read_openreadout
    allotropy = None
    python = given.allotropy_python or (sys.executable if peers.installed("allotropy", "allotropy") else None)
    if python:
        allotropy = readers["allotropy"] = Allotropy(python)
    for name in ("openreadout", "allotropy"):
        if name not in readers:
            print(f"{name} is not installed: left out")
    print(f"{len(files)} files, medians of {given.repeats} reads")
    held = report(folder, files, readers, given.repeats)
    if allotropy is not None:
        allotropy.close()
    print("PASS" if held else "FAIL")
    return held


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--allotropy-python", help="interpreter that has allotropy")
    sys.exit(0 if main(parser.parse_args()) else 1)
