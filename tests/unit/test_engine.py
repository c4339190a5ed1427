"""Work: same results whatever the executor and order, nothing computed twice, nothing unreadable trusted."""

from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from exvivo.engine import Memo, Parcel, Work, digest_frame, digest_of, rng_for, write_atomically


def square(item: int) -> Parcel:
    return Parcel({"t": pl.DataFrame({"x": [item * item]})}, {"item": item, "noise": float(rng_for(7, str(item)).standard_normal())})


@pytest.fixture(params=["serial", "threads", "processes"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor | None]:
    if request.param == "serial":
        yield None
    elif request.param == "threads":
        with ThreadPoolExecutor(2) as pool:
            yield pool
    else:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            yield pool


def test_results_do_not_depend_on_the_executor(executor: Executor | None) -> None:
    results = Work(executor).map(square, range(5), key=lambda i: i, label="squaring")
    assert [r.facts for r in results] == [square(i).facts for i in range(5)]
    assert [r.frames["t"]["x"][0] for r in results] == [0, 1, 4, 9, 16]


def test_unchanged_items_are_not_computed_again(tmp_path: Path) -> None:
    first = Work(memo=Memo(tmp_path))
    first.map(square, [1, 2, 3], key=lambda i: i, label="squaring")
    second = Work(memo=Memo(tmp_path))
    results = second.map(square, [3, 2, 4], key=lambda i: i, label="squaring")
    assert (first.computed["squaring"], second.computed["squaring"], second.reused["squaring"]) == (3, 1, 2)
    assert [r.frames["t"]["x"][0] for r in results] == [9, 4, 16]


def test_a_raised_version_computes_again(tmp_path: Path) -> None:
    Work(memo=Memo(tmp_path)).map(square, [1], key=lambda i: i, label="squaring")
    work = Work(memo=Memo(tmp_path))
    work.map(square, [1], key=lambda i: i, label="squaring", version=2)
    assert work.computed["squaring"] == 1


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"nonsense"])
def test_a_damaged_parcel_is_computed_again(tmp_path: Path, damage: bytes) -> None:
    Work(memo=Memo(tmp_path)).map(square, [5], key=lambda i: i, label="squaring")
    (stored,) = tmp_path.rglob("*.parcel")
    stored.write_bytes(damage)
    work = Work(memo=Memo(tmp_path))
    assert work.map(square, [5], key=lambda i: i, label="squaring")[0].frames["t"]["x"][0] == 25
    assert work.computed["squaring"] == 1


def test_a_truncated_parcel_is_computed_again(tmp_path: Path) -> None:
    Work(memo=Memo(tmp_path)).map(square, [5], key=lambda i: i, label="squaring")
    (stored,) = tmp_path.rglob("*.parcel")
    whole = stored.read_bytes()
    for cut in range(0, len(whole), 97):
        stored.write_bytes(whole[:cut])
        assert Memo(tmp_path).load(stored.stem) is None


SCALARS = st.one_of(st.none(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text())


@given(st.dictionaries(st.text(min_size=1, max_size=5), SCALARS, max_size=4))
def test_a_parcel_survives_its_bytes(facts: dict[str, object]) -> None:
    parcel = Parcel({"a": pl.DataFrame({"x": [1.5, None], "y": ["é", None]})}, facts)
    back = Parcel.from_bytes(parcel.to_bytes())
    assert back.facts == facts
    assert back.frames["a"].equals(parcel.frames["a"])
    assert parcel.to_bytes() == parcel.to_bytes()


def test_digests_tell_content_apart() -> None:
    frame = pl.DataFrame({"x": [1, 2]})
    assert digest_frame(frame) == digest_frame(frame.clone())
    assert digest_frame(frame) != digest_frame(frame.with_columns(pl.col("x").cast(pl.Float64)))
    assert digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    write_atomically(target, b"old")

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert target.read_bytes() == b"old"


def test_work_keeps_linear_algebra_to_one_thread() -> None:
    with threadpool_limits(limits=2, user_api="blas"):
        parcel = Work().map(count_threads, [0], key=str, label="counting")[0]
        after = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    assert parcel.facts["threads"] == [1]
    assert after == {2}


def count_threads(_: int) -> Parcel:
    return Parcel({}, {"threads": sorted({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})})
