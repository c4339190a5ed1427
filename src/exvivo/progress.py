"""Progress on stderr, and worker processes that end with their parent."""

import multiprocessing
import os
import sys
import threading
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Bars:
    """One bar per loop on a terminal; one line per loop elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description:>12}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def begin(self, label: str, total: int) -> None:
        """Start of a loop over ``total`` items."""
        self._tasks[label] = self._progress.add_task(label, total=total)

    def advance(self, label: str) -> None:
        """One item is done."""
        self._progress.advance(self._tasks[label])

    def end(self, label: str, computed: int, reused: int) -> None:
        """End of the loop."""
        if not self._console.is_terminal:
            sys.stderr.write(f"{label}: {computed} computed, {reused} unchanged\n")
            sys.stderr.flush()


def die_with_parent() -> None:
    """Initializer of a worker: leave when the parent is gone, which a killed parent cannot tell its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_and_leave, args=(parent,), daemon=True).start()


def _wait_and_leave(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
