"""Who does the work: processes of this machine, or a Dask cluster.

A worker process that dies takes the whole pool of the standard library with it. ``Crew`` can be
renewed: what was finished is kept by the engine, what was under way is given out again. A Dask
scheduler does the same by itself.
"""

import importlib
import importlib.util
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

from exvivo.errors import DesignError, fault

Result = TypeVar("Result")
Given = ParamSpec("Given")

LOCAL_CLUSTER = "local"
_PATIENCE = 20.0  # seconds


class Crew(Executor):
    """A pool of processes that can be started anew after one of them died.

    Parameters
    ----------
    count : processes
    greeting : what each process does first
    """

    def __init__(self, count: int, greeting: Callable[[], None] | None = None) -> None:
        self._count, self._greeting = count, greeting
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._count, mp_context=get_context("spawn"), initializer=self._greeting)

    def submit(self, function: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs) -> Future[Result]:
        """Give one task out."""
        return self._pool.submit(function, *args, **kwargs)

    def renew(self) -> None:
        """New processes in place of a pool that broke."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = self._start()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the executors' signature
        """End the processes."""
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)


@contextmanager
def dask_executor(address: str, count: int) -> Iterator[Executor]:
    """Executor over a Dask cluster.

    Parameters
    ----------
    address : address of a running scheduler, such as ``tcp://host:8786``; ``local`` starts a cluster on this machine
    count : worker processes of a local cluster

    Raises
    ------
    DesignError : dask.distributed is not installed, or nobody answers at the address
    """
    if importlib.util.find_spec("distributed") is None:
        raise DesignError(fault("--cluster", "dask.distributed is not installed", action="Install exvivo[cluster]"))
    distributed: Any = importlib.import_module("distributed")
    if address != LOCAL_CLUSTER:
        _knock(address)
    chosen: dict[str, Any] = {"n_workers": count, "threads_per_worker": 1, "dashboard_address": None}
    try:
        client = distributed.Client(**chosen) if address == LOCAL_CLUSTER else distributed.Client(address, timeout="20s")
    except (OSError, ValueError) as error:
        raise DesignError(_nobody(address, error)) from error
    with client, client.get_executor() as executor:
        yield executor


def _knock(address: str) -> None:
    """Refuse an address where no port is open: a client that never met its scheduler cannot be taken apart safely."""
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=_PATIENCE):
            return
    except (OSError, ValueError) as error:
        raise DesignError(_nobody(address, error)) from error


def _nobody(address: str, error: Exception) -> str:
    expected = "the address of a running scheduler, such as tcp://host:8786, or 'local'"
    return fault(f"--cluster {address}", f"no scheduler answers ({error})", expected)
