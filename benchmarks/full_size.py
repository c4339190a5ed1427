"""The registry's size, 100 SSc and 50 HD donors: seconds by stage and peak memory.

python benchmarks/full_size.py [--size demo|full] [--workers N]
"""

import argparse
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from exvivo.engine import Work
from exvivo.pipeline import decide_study, run_study, simulate_files
from exvivo.progress import die_with_parent
from exvivo.study.deciding import Choice


def main(size: str, workers: int) -> None:
    """Simulate and run one study, print what it took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ProcessPoolExecutor(workers, get_context("spawn"), die_with_parent) as pool:
            began = time.perf_counter()
            files = simulate_files(folder, Work(pool), seed=1, donors=None, size=size)
            spent = time.perf_counter() - began
            for kind in ("lock", "unblind"):
                decide_study(folder, Choice(kind, "", "", "benchmark", "benchmark"))
            finished = run_study(folder, Work(pool))
            again = time.perf_counter()
            repeated = run_study(folder, Work(pool))
            again = time.perf_counter() - again
        megabytes = sum(path.stat().st_size for path in folder.rglob("*.fcs")) / 1e6
    print(f"{size}: {files} files, {megabytes:.0f} MB of FCS, {workers} workers")
    for stage, seconds in {"simulate": spent, **finished.manifest.seconds}.items():
        print(f"{stage:>10} {seconds:7.1f} s")
    print(f"{'again':>10} {again:7.1f} s, {sum(repeated.computed.values())} items computed")
    peak = [resource.getrusage(who).ru_maxrss / 1e6 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(f"peak memory {peak[0]:.2f} GB in the main process, {peak[1]:.2f} GB in the largest worker")
    rows = finished.run.effects.effects.rows()
    print(f"{sum(row['status'] == 'estimated' for row in rows)} of {len(rows)} registered estimates estimated")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="full", choices=["demo", "full"])
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    main(given.size, given.workers)
