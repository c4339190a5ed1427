"""Many FCS files through the process pool and through a Dask cluster of two workers, one worker of each killed midway.

    python benchmarks/gating_batch.py                     2,000 files of 10,000 events (1.1 GB in a temporary folder)
    python benchmarks/gating_batch.py --files 200

Every run writes populations.csv with its own memory of what was gated switched off. Criteria: the same bytes from all runs; resident
memory of the workers that live through the run does not grow from its second tenth to its end by more than a tenth; a worker killed
midway loses nothing. Then the batch is killed as a whole, once half is done, and taken up again: nothing is computed twice.
"""

import argparse
import hashlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import gating_speed as speed
import psutil

from exvivo.crew import Crew, dask_executor
from exvivo.engine import Silence, Work
from exvivo.formats import fcs
from exvivo.pipeline import GatingChoice, gate_files
from exvivo.study.design import Channel, SpilloverMatrix

EVENTS = 10_000


def write_batch(folder: Path, count: int) -> tuple[Path, Path]:
    """Tubes of different events, and their gates."""
    tubes = folder / "tubes"
    tubes.mkdir()
    matrix = tuple(tuple(float(v) for v in row) for row in speed.spillover())
    detectors = tuple(speed.names()[-speed.MARKERS :])
    spill = SpilloverMatrix(detectors, detectors, matrix)
    channels = [Channel(name, "", 262144.0) for name in speed.names()]
    for number in range(count):
        (tubes / f"tube{number:04d}.fcs").write_bytes(fcs.compose(speed.make_events(EVENTS, number), channels, spillover=spill))
    _, gates = speed.write_inputs(folder, 1000)
    return tubes, gates


@dataclass(slots=True)
class Watch(Silence):
    """Counts what is done, kills one worker when half of it is, and looks at the workers' memory at every tenth."""

    kill: bool
    done: int = 0
    total: int = 0
    memory: list[dict[int, int]] = field(default_factory=list)

    def begin(self, label: str, total: int) -> None:  # noqa: ARG002 - as Progress asks
        self.done, self.total = 0, total

    def advance(self, label: str) -> None:  # noqa: ARG002 - as Progress asks
        self.done += 1
        if self.done % max(self.total // 10, 1) == 0:
            self.memory.append({process.pid: process.memory_info().rss for process in workers()})
        if self.kill and self.done == self.total // 2:
            workers()[0].send_signal(signal.SIGKILL)

    def growth(self) -> float:
        """Largest ratio of resident memory, end to second tenth, among workers that were there all the time."""
        first, last = self.memory[1], self.memory[-1]
        return max((last[pid] / first[pid] for pid in first.keys() & last.keys()), default=float("nan"))


def workers() -> list[psutil.Process]:
    """Python processes that have gating loaded, below this one, largest first."""
    found = [process for process in psutil.Process().children(recursive=True) if _is_worker(process)]
    return sorted(found, key=lambda process: -process.memory_info().rss)


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline()) and process.memory_info().rss > 100_000_000
    except psutil.Error:
        return False


@contextmanager
def nobody() -> Iterator[None]:
    """This process alone."""
    yield None


def run(label: str, executor: AbstractContextManager[object], inputs: tuple[Path, Path], out: Path, *, kill: bool) -> str:
    """Gate everything once; the digest of the table."""
    watch = Watch(kill)
    began = time.perf_counter()
    with executor as crew:
        gate_files([inputs[0]], inputs[1], out, GatingChoice(pages=False), Work(crew, progress=watch))  # type: ignore[arg-type]
    seconds = time.perf_counter() - began
    digest = hashlib.sha256((out / "populations.csv").read_bytes()).hexdigest()
    growth = f"memory of surviving workers x {watch.growth():.2f}" if len(watch.memory) > 2 and watch.memory[1] else ""
    print(f"{label:32} {seconds:6.1f} s  {watch.total / seconds:6.1f} files/s  {digest[:12]}  {growth}", flush=True)
    shutil.rmtree(out)
    return digest


def interrupt(inputs: tuple[Path, Path], out: Path, count: int) -> str:
    """Kill the command with half of the files done, and call it again."""
    chosen = ["--gates", str(inputs[1]), "--out", str(out), "--workers", "2", "--no-pages"]
    command = [sys.executable, "-m", "exvivo", "gate", str(inputs[0]), *chosen]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
    while process.poll() is None and len(list((out / "memo").rglob("*.parcel"))) < count // 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1.0)
    kept = len(list((out / "memo").rglob("*.parcel")))
    again = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own command
    print(f"killed with {kept} files done; then: {again.stderr.strip().splitlines()[-1]}", flush=True)
    return hashlib.sha256((out / "populations.csv").read_bytes()).hexdigest()


def main() -> int:
    """Print the runs; 1 when a table differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    count = parser.parse_args().files
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = write_batch(folder, count)
        digests = [
            run("this process", nobody(), inputs, folder / "a", kill=False),
            run("two processes", Crew(2), inputs, folder / "b", kill=False),
            run("two processes, one killed", Crew(2), inputs, folder / "c", kill=True),
            run("Dask, two workers", dask_executor("local", 2), inputs, folder / "d", kill=False),
            run("Dask, two workers, one killed", dask_executor("local", 2), inputs, folder / "e", kill=True),
            interrupt(inputs, folder / "f", count),
        ]
    same = len(set(digests)) == 1
    print(f"{'PASS' if same else 'FAIL'}  the same table from all runs")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
