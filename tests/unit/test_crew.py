"""Workers die, schedulers are elsewhere: the results are the same, and what was finished stays."""

import os
import signal
from concurrent.futures import BrokenExecutor
from pathlib import Path

import pytest

from exvivo.crew import Crew, dask_executor
from exvivo.engine import Memo, Parcel, Work
from exvivo.errors import DesignError


def count_and_die(item: tuple[str, int]) -> Parcel:
    """Item 5 kills its process the first time; each call leaves a mark."""
    folder, number = item
    marks = len(list(Path(folder).glob(f"{number}-*")))
    (Path(folder) / f"{number}-{os.getpid()}-{marks}").touch()
    if number == 5 and not marks:
        os.kill(os.getpid(), signal.SIGKILL)
    return Parcel({}, {"square": number * number})


def die(item: int) -> Parcel:
    os.kill(os.getpid(), signal.SIGKILL)
    return Parcel({}, {"never": item})


posix = pytest.mark.skipif(os.name != "posix", reason="processes are killed by a signal")


@posix
def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    items = [(str(marks), number) for number in range(12)]
    with Crew(2) as crew:
        work = Work(crew, Memo(tmp_path / "memo"))
        results = work.map(count_and_die, items, key=lambda item: item[1], label="counting")
    assert [parcel.facts["square"] for parcel in results] == [number * number for number in range(12)]
    again = Work(memo=Memo(tmp_path / "memo"))
    again.map(count_and_die, items, key=lambda item: item[1], label="counting")
    assert (again.computed["counting"], again.reused["counting"]) == (0, 12)


@posix
def test_an_item_that_kills_every_worker_is_given_up() -> None:
    with Crew(1) as crew, pytest.raises(BrokenExecutor):
        Work(crew).map(die, [1, 2], key=lambda item: item, label="dying")


def test_nobody_answers_at_the_address() -> None:
    pytest.importorskip("distributed")
    with pytest.raises(DesignError, match="no scheduler answers"), dask_executor("nowhere", 1):
        pass


@posix
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the scheduler tells of the death in its own way
def test_a_dask_cluster_gives_the_same_and_survives_a_death(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    marks = tmp_path / "marks"
    marks.mkdir()
    with dask_executor("local", 2) as executor:
        results = Work(executor).map(
            count_and_die, [(str(marks), number) for number in range(12)], key=lambda item: item[1], label="counting"
        )
    assert [parcel.facts["square"] for parcel in results] == [number * number for number in range(12)]
    assert len(list(marks.glob("5-*"))) == 2
