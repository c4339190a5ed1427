"""Work: the only parallel loop, the only cache and the only source of seeds.

A task is a module-level function from one item to a ``Parcel`` of data frames and JSON facts. Tasks get
paths or small tables and return kilobytes. Results are remembered under the digest of the task's name,
its declared version and its canonical inputs, and stored as Parquet and JSON, never pickled; a stored
parcel that cannot be read is computed again. Results do not depend on executor, order or neighbours:
an item's random numbers come from the run's seed and the item's own key.
"""

import hashlib
import io
import json
import os
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Facts = Mapping[str, Any]

_ATTEMPTS = 3  # rounds in which every worker died without one result: an item kills them


@dataclass(frozen=True, slots=True)
class Parcel:
    """What a task returns: named data frames and JSON facts."""

    frames: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """One archive with every frame as Parquet and the facts as JSON."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(zipfile.ZipInfo("facts.json"), json.dumps(self.facts, sort_keys=True, allow_nan=False))
            for name, frame in self.frames.items():
                part = io.BytesIO()
                frame.write_parquet(part)
                archive.writestr(zipfile.ZipInfo(f"{name}.parquet"), part.getvalue())
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Parcel":
        """Parcel from an archive; anything wrong with it is a ``ValueError``."""
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                facts = json.loads(archive.read("facts.json"))
                names = [name for name in archive.namelist() if name.endswith(".parquet")]
                frames = {name.removesuffix(".parquet"): pl.read_parquet(io.BytesIO(archive.read(name))) for name in names}
        except (zipfile.BadZipFile, KeyError, json.JSONDecodeError, pl.exceptions.PolarsError, EOFError) as error:
            raise ValueError(f"unreadable parcel: {error}") from error
        return cls(frames, facts)


class Progress(Protocol):
    """Where long work shows how far it is."""

    def begin(self, label: str, total: int) -> None:
        """Start of a loop over ``total`` items."""

    def advance(self, label: str) -> None:
        """One item is done."""

    def end(self, label: str, computed: int, reused: int) -> None:
        """End of the loop."""


@runtime_checkable
class Renewable(Protocol):
    """An executor that can start anew after one of its workers died."""

    def renew(self) -> None:
        """New workers."""


class Silence:
    """Progress that shows nothing."""

    def begin(self, label: str, total: int) -> None:
        """Nothing."""

    def advance(self, label: str) -> None:
        """Nothing."""

    def end(self, label: str, computed: int, reused: int) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Memo:
    """Results on disk, by key. Disposable: deleting the folder only costs time. ``frozen`` reads and never writes."""

    folder: Path
    frozen: bool = False

    def load(self, key: str) -> Parcel | None:
        """Stored parcel, or None when there is none or it cannot be read."""
        try:
            return Parcel.from_bytes(self._path(key).read_bytes())
        except (OSError, ValueError):
            return None

    def save(self, key: str, parcel: Parcel) -> None:
        """Store a parcel; one that a crash tore is computed again, so nobody waits for the disk."""
        if not self.frozen:
            write_atomically(self._path(key), parcel.to_bytes(), lasting=False)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.parcel"


class Work:
    """The loop over items. ``version`` of a task is part of its key: raise it when its result would change.

    Parameters
    ----------
    executor : any ``concurrent.futures.Executor``; None runs in this process
    memo : where results are remembered; None remembers nothing
    progress : where long work shows how far it is
    seed : the run's only seed
    """

    def __init__(self, executor: Executor | None = None, memo: Memo | None = None, progress: Progress | None = None, seed: int = 0) -> None:
        self.executor, self.memo, self.seed = executor, memo, seed
        self.progress: Progress = progress or Silence()
        self.computed: Counter[str] = Counter()
        self.reused: Counter[str] = Counter()

    def map(
        self, func: Callable[[Item], Parcel], items: Sequence[Item], *, key: Callable[[Item], object], label: str, version: int = 1
    ) -> list[Parcel]:
        """Results of ``func`` for every item, in order.

        ``key`` gives what a result depends on, as anything JSON can write (digests of files, of frames, of settings).
        """
        if not items:
            return []
        keys = [digest_of([func.__module__, func.__qualname__, version, key(item)]) for item in items]
        found = {i: parcel for i, k in enumerate(keys) if self.memo and (parcel := self.memo.load(k)) is not None}
        todo = [i for i in range(len(items)) if i not in found]
        self.progress.begin(label, len(items))
        for _ in found:
            self.progress.advance(label)
        for i, parcel in self._compute(func, {i: items[i] for i in todo}):
            found[i] = parcel
            if self.memo:
                self.memo.save(keys[i], parcel)
            self.progress.advance(label)
        self.computed[label] += len(todo)
        self.reused[label] += len(items) - len(todo)
        self.progress.end(label, len(todo), len(items) - len(todo))
        return [found[i] for i in range(len(items))]

    def _compute(self, func: Callable[[Item], Parcel], items: Mapping[int, Item]) -> Iterator[tuple[int, Parcel]]:
        """Results as they come. After the death of a worker, what is not there is given out again while that brings anything."""
        if self.executor is None or len(items) < 2:
            with one_thread():
                yield from ((i, func(item)) for i, item in items.items())
            return
        todo, vain = dict(items), 0
        while todo:
            futures: dict[Future[Parcel], int] = {self.executor.submit(func, item): i for i, item in todo.items()}
            before, death = len(todo), None
            for done in as_completed(futures):
                i = futures.pop(done)  # a cluster keeps a result as long as somebody holds its future
                try:
                    parcel = done.result()
                except BrokenExecutor as error:
                    death = error
                    continue
                del todo[i]
                yield i, parcel
            vain = vain + 1 if len(todo) == before else 0
            if death is not None:
                if vain == _ATTEMPTS or not isinstance(self.executor, Renewable):
                    raise death
                self.executor.renew()


@contextmanager
def one_thread() -> Iterator[None]:
    """Linear algebra in one thread, also where numpy was imported before exvivo could ask for it.

    Its matrices are small: several threads took up to ten times the time of one on them, more on a busy machine.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def rng_for(seed: int, key: str) -> np.random.Generator:
    """Random numbers of one item: they depend on the run's seed and the item's key, and on nothing else."""
    return np.random.default_rng(np.random.SeedSequence([seed, int(hashlib.sha256(key.encode()).hexdigest(), 16)]))


def digest_of(value: object) -> str:
    """sha256 of canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def digest_file(path: Path) -> str:
    """sha256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_frame(frame: pl.DataFrame) -> str:
    """sha256 of a frame's names, types and cells."""
    head = json.dumps([frame.columns, [str(dtype) for dtype in frame.dtypes]])
    return hashlib.sha256(head.encode() + frame.write_csv().encode()).hexdigest()


def write_atomically(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Write a file so that a reader sees the old bytes or the new ones; if ``lasting``, a crash of the machine leaves no half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".tmp-{path.name}-{os.getpid()}-{threading.get_ident()}")
    try:
        with draft.open("xb") as file:
            file.write(data)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
