"""Break small FCS files in every way and see that each is either refused with a word or read in the shape that was described.

    python benchmarks/fcs_fuzz.py --count 1000000 --state fuzz.json             go on where the last call ended
    python benchmarks/fcs_fuzz.py --count 100000 --folder $EXVIVO_SHARED/data   also break real files

A case is a seed: one of the small files below, or now and then a real one, with one to four of the mutations applied. A failure is any
exception but InputError, events of another shape than described, a second or more of processor time, or more memory than 10 times the
file and 50 MB (by a limit on the address space, where the platform has one). The state file holds the next seed and the failures; seeds
that failed are tried again by ``--seed N``. Exit 1 when there are failures.
"""

import argparse
import contextlib
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from exvivo.errors import InputError
from exvivo.formats import fcs
from exvivo.study.design import Channel, SpilloverMatrix

SECONDS, TIMES_FILE, MORE_BYTES = 1.0, 10, 50_000_000
SAVED_EVERY = 2_000
REAL_SHARE, LARGEST_REAL = 0.01, 1_000_000
EXTREMES = [
    *[
        "",
        "0",
        "1",
        "-1",
        "2",
        "7",
        "8",
        "10",
        "16",
        "24",
        "31",
        "32",
        "33",
        "63",
        "64",
        "65",
        "99999999",
        "4294967296",
        "9" * 18,
        "9" * 30,
    ],
    *["9" * 5000, "1e400", "-1e400", "nan", "inf", "1e308", "1e-320", "0.0", "1024.0", "0x10", "1_000", "١٢٣", "1,2", "1,2,3,4", "4,3,2,1"],
    *[
        "3,4,1,2",
        "1,1,1,1",
        "4,1",
        "4,0",
        "1e300,1e300",
        "0,0",
        ",",
        ",,,",
        "F",
        "D",
        "I",
        "A",
        "L",
        "C",
        "U",
        "\0",
        "\ud7ff",
        "Time",
        "FSC-A",
    ],
    *["2,A,B,1,0,0,1", "3,A,B,1,0,0,1", "1000000,A", "0,", "100", "1" * 15],
]
KEYS = ["$PAR", "$TOT", "$DATATYPE", "$BYTEORD", "$MODE", "$NEXTDATA", "$BEGINDATA", "$ENDDATA", "$BEGINSTEXT", "$ENDSTEXT", "$TIMESTEP"]
KEYS += [f"$P{place}{letter}" for place in (1, 2, 3) for letter in "BNREGSV"] + ["$P1DATATYPE", "$P2DATATYPE", "$SPILLOVER", "SPILL"]
KEYS += ["$COMP", "$DFC1TO2", "$DFC2TO1"]


@dataclass
class State:
    """What a state file holds."""

    next_seed: int = 0
    refused: int = 0
    read: int = 0
    slowest: float = 0.0
    failures: list[dict[str, object]] = field(default_factory=list)


def small_files() -> list[bytes]:
    """One file of each kind, a few hundred bytes to two kilobytes."""
    rng = np.random.default_rng(1)
    names = ["Time", "FSC-A", "FL1-A"]
    floats = [Channel(name, f"m{name}", 1024.0, 450.0, 2.0 if name == "FSC-A" else 1.0) for name in names]
    files = [
        fcs.compose(
            rng.normal(size=(20, 3)).astype("f4"),
            floats,
            spillover=SpilloverMatrix(("FSC-A", "FL1-A"), ("FSC-A", "FL1-A"), ((1, 0.1), (0.2, 1))),
            timestep=0.01,
            keywords={"$CYT": "x", "PATH": "a|b\\c/d!e\x0cf\x1eg"},
            form=fcs.Form(version, order, delimiter),
        )
        for version, order, delimiter in [
            ("FCS2.0", "big", "|"),
            ("FCS3.0", "little", "/"),
            ("FCS3.1", "little", ""),
            ("FCS3.2", "big", "!"),
        ]
    ]
    whole = rng.integers(0, 256, (15, 3))
    for bits, order in [
        ((8, 8, 8), "little"),
        ((16, 16, 16), "big"),
        ((32, 32, 32), "3,4,1,2"),
        ((8, 24, 32), "little"),
        ((64, 64, 64), "big"),
    ]:
        channels = [
            Channel(n, "", 256.0, amplification=(4.0, 1.0), bits=b, datatype="I") for n, b in zip([*names[1:], "SSC"], bits, strict=True)
        ]
        files.append(fcs.compose(whole, channels, form=fcs.Form("FCS3.0", order)))
    packed = [Channel(name, "", 1024.0, bits=10, datatype="I") for name in names]
    files += [fcs.compose(whole, packed, form=fcs.Form("FCS2.0", order), keywords={"$DFC1TO2": "3.5"}) for order in ("little", "big")]
    mixed = [Channel("A", "", 1.0), Channel("B", "", 256.0, bits=16, datatype="I"), Channel("C", "", 1.0, bits=64, datatype="D")]
    files.append(fcs.compose(whole, mixed, form=fcs.Form("FCS3.2", far=True)))
    files.append(fcs.compose_all([fcs.DataSet(whole.astype("f4"), floats), fcs.DataSet(whole, packed), fcs.DataSet(whole[:0], floats)]))
    return files


def mutate(raw: bytes, rng: np.random.Generator, others: Sequence[bytes]) -> bytes:
    """The file after one to four mutations."""
    for _ in range(rng.integers(1, 5)):
        raw = MUTATIONS[rng.integers(len(MUTATIONS))](raw, rng, others) or b"F"
    return raw


def _flip(raw: bytes, rng: np.random.Generator, _others: Sequence[bytes]) -> bytes:
    changed = bytearray(raw)
    reach = min(len(raw), [58, 600, len(raw)][rng.integers(3)])
    for _ in range(rng.integers(1, 9)):
        changed[rng.integers(reach)] = rng.integers(256)
    return bytes(changed)


def _cut(raw: bytes, rng: np.random.Generator, _others: Sequence[bytes]) -> bytes:
    return raw[: rng.integers(len(raw) + 1)]


def _insert(raw: bytes, rng: np.random.Generator, _others: Sequence[bytes]) -> bytes:
    place = rng.integers(len(raw) + 1)
    filler = [
        rng.bytes(int(rng.integers(1, 40))),
        b"/" * int(rng.integers(1, 9)),
        b" " * int(rng.integers(1, 99)),
        raw[: rng.integers(200)],
    ]
    return raw[:place] + filler[rng.integers(len(filler))] + raw[place:]


def _remove(raw: bytes, rng: np.random.Generator, _others: Sequence[bytes]) -> bytes:
    place = rng.integers(len(raw) + 1)
    return raw[:place] + raw[place + rng.integers(1, 60) :]


def _swap(raw: bytes, rng: np.random.Generator, _others: Sequence[bytes]) -> bytes:
    first, second, third, fourth = sorted(rng.integers(0, len(raw) + 1, 4).tolist())
    return raw[:first] + raw[third:fourth] + raw[second:third] + raw[first:second] + raw[fourth:]


def _offset(raw: bytes, rng: np.random.Generator, _others: Sequence[bytes]) -> bytes:
    place = 10 + 8 * int(rng.integers(6))
    number = [0, 1, 57, 58, len(raw) - 1, len(raw), 99_999_999, -1, int(rng.integers(len(raw) + 50)), _near(raw[place : place + 8], rng)]
    return raw[:place] + f"{number[rng.integers(len(number))]:8d}".encode()[:8] + raw[place + 8 :]


def _near(digits: bytes, rng: np.random.Generator) -> int:
    return (int(digits) if digits.strip().isdigit() else 0) + int(rng.integers(-3, 4))


def _delimit(raw: bytes, rng: np.random.Generator, _others: Sequence[bytes]) -> bytes:
    sign, other = raw[58:59] or b"/", bytes([int(rng.integers(256))])
    if rng.integers(2):
        return raw.replace(sign, other)
    changed = bytearray(raw)
    for _ in range(rng.integers(1, 6)):
        changed[rng.integers(min(len(raw), 700))] = sign[0]
    return bytes(changed)


def _keyword(raw: bytes, rng: np.random.Generator, _others: Sequence[bytes]) -> bytes:
    """A value becomes another, a keyword goes or comes; HEADER follows the new length, or not."""
    begin, end = _near(raw[10:18], rng) if rng.integers(20) == 0 else 58, raw[18:26].strip()
    stop = int(end) + 1 if end.isdigit() else len(raw)
    sign = raw[begin : begin + 1] or b"/"
    tokens = raw[begin + 1 : stop].split(sign)
    key = KEYS[rng.integers(len(KEYS))].encode()
    value = EXTREMES[rng.integers(len(EXTREMES))].encode("utf-8", "surrogatepass")
    places = [place for place, token in enumerate(tokens[:-1]) if token == key]
    if not places:
        tokens[:0] = [key, value]
    elif rng.integers(8) == 0:
        del tokens[places[0] : places[0] + 2]
    else:
        tokens[places[0] + 1] = value
    text = sign + sign.join(tokens)
    grown = len(text) - (min(stop, len(raw)) - begin)
    head = raw[:begin]
    if rng.integers(4) and len(head) >= 58:
        numbers = [int(head[10 + 8 * i : 18 + 8 * i]) if head[10 + 8 * i : 18 + 8 * i].strip().isdigit() else 0 for i in range(4)]
        moved = [numbers[0], *(max(number + grown, 0) if number else 0 for number in numbers[1:])]
        head = head[:10] + "".join(f"{number:8d}"[:8] for number in moved).encode() + head[42:]
    return head + text + raw[stop:]


def _join(raw: bytes, rng: np.random.Generator, others: Sequence[bytes]) -> bytes:
    return raw + others[rng.integers(len(others))]


MUTATIONS: list[Callable[[bytes, np.random.Generator, Sequence[bytes]], bytes]] = [
    *[_flip, _cut, _insert, _remove, _swap, _offset, _offset, _delimit],
    *[_keyword, _keyword, _keyword, _keyword, _join],
]


def case(seed: int, files: Sequence[bytes], real: Sequence[bytes] = ()) -> bytes:
    """The broken file of a seed."""
    rng = np.random.default_rng(seed)
    chosen = real if real and rng.random() < REAL_SHARE else files
    return mutate(chosen[rng.integers(len(chosen))], rng, files)


def judge(raw: bytes) -> tuple[str, str]:
    """``read`` or ``refused`` with nothing, or ``failed`` with what went wrong."""
    try:
        records = fcs.parse(raw)
        for record in records:
            shape = (record.n_events, len(record.channels))
            events = fcs.read_events(raw, record)
            column = fcs.read_columns(raw, record, [shape[1] - 1])
            if events.shape != shape or column.shape != (shape[0], 1) or record.data_end >= len(raw):
                return "failed", f"events {events.shape}, column {column.shape}, described {shape} to byte {record.data_end}"
            if not np.array_equal(events[:, -1:], column, equal_nan=True):
                return "failed", "a column alone differs"
    except InputError as refusal:
        told = all(message.count(": ") and message.endswith(".") for message in refusal.messages)
        return ("refused", "") if told else ("failed", f"wording: {refusal}")
    except Exception as problem:  # noqa: BLE001  any other exception is what is looked for
        return "failed", f"{type(problem).__name__}: {problem}"[:300]
    return "read", ""


@contextlib.contextmanager
def limited_memory(largest_file: int) -> Iterator[None]:
    """No more address space than a file of that size may take; no limit where the platform has none."""
    try:
        import resource  # noqa: PLC0415  not on every platform
    except ImportError:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + TIMES_FILE * largest_file + MORE_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def run(seeds: range, files: Sequence[bytes], state: State, real: Sequence[bytes] = ()) -> State:
    """Cases one after the other; their outcomes are added to the state."""
    for seed in seeds:
        raw = case(seed, files, real)
        began = time.process_time()
        outcome, problem = judge(raw)
        seconds = time.process_time() - began
        if seconds > SECONDS:
            outcome, problem = "failed", f"{seconds:.1f} s"
        state.slowest = max(state.slowest, seconds)
        state.next_seed = seed + 1
        state.refused += outcome == "refused"
        state.read += outcome == "read"
        if outcome == "failed":
            state.failures.append({"seed": seed, "problem": problem})
    return state


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="cases to reach in all")
    parser.add_argument("--state", type=Path, help="file that holds the next seed and the failures")
    parser.add_argument("--folder", type=Path, help="folder with real FCS files")
    parser.add_argument("--seed", type=int, help="one case only")
    options = parser.parse_args()
    warnings.simplefilter("error")
    files = small_files()
    found = sorted(options.folder.rglob("*")) if options.folder else []
    real = [p.read_bytes() for p in found if p.is_file() and p.suffix.lower() in (".fcs", ".lmd") and p.stat().st_size < LARGEST_REAL]
    if options.seed is not None:
        print(*judge(case(options.seed, files, real)))
        return 0
    held = options.state and options.state.exists()
    state = State(**json.loads(options.state.read_text(encoding="utf-8"))) if held else State()
    first, began = state.next_seed, time.perf_counter()
    with limited_memory(max(len(raw) for raw in [*files, *real])):
        while state.next_seed < options.count:
            run(range(state.next_seed, min(state.next_seed + SAVED_EVERY, options.count)), files, state, real)
            if options.state:
                _save(options.state, state)
    done, seconds = state.next_seed - first, time.perf_counter() - began
    print(f"{done} cases in {seconds:.0f} s, {done / max(seconds, 1e-9):.0f} a second; slowest {state.slowest:.2f} s")
    print(f"of {state.next_seed} in all: {state.read} read, {state.refused} refused, {len(state.failures)} failures")
    for failure in state.failures[:20]:
        print(f"  seed {failure['seed']}: {failure['problem']}")
    return 1 if state.failures else 0


def _save(path: Path, state: State) -> None:
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(asdict(state)), encoding="utf-8")
    beside.replace(path)


if __name__ == "__main__":
    sys.exit(main())
