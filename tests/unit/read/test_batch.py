from collections.abc import Callable
from pathlib import Path

import pytest

from exvivo.engine import Work
from exvivo.errors import InputError
from exvivo.read.batch import Asked, Batch, find_exports
from exvivo.read.single import read_exports
from exvivo.study.findings import FindingCode
from exvivo.study.statuses import Severity


def touch(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_folder_gives_its_exports_with_the_maps_beside_them(tmp_path: Path) -> None:
    first, second = touch(tmp_path / "a.txt"), touch(tmp_path / "B.xlsx")
    own = touch(tmp_path / "maps" / "b.csv")
    touch(tmp_path / "deeper" / "c.txt")
    touch(tmp_path / "~$B.xlsx")
    batch = find_exports([tmp_path], None)
    assert batch.asked == (Asked(second, own), Asked(first, None))
    assert batch.faults == ()


def test_what_is_no_export_and_maps_of_nobody_are_told_and_do_not_stop_the_rest(tmp_path: Path) -> None:
    touch(tmp_path / "a.txt")
    touch(tmp_path / "notes.pdf")
    touch(tmp_path / "maps" / "gone.csv")
    batch = find_exports([tmp_path], None)
    assert [(one.code, one.severity, one.place) for one in batch.found] == [
        (FindingCode.FILE_UNLISTED, Severity.NOTE, "notes.pdf"),
        (FindingCode.MAP_WITHOUT_EXPORT, Severity.WARNING, "gone.csv"),
    ]


def test_one_map_serves_all_exports_and_a_named_folder_of_maps_goes_before_the_one_beside_them(tmp_path: Path) -> None:
    export = touch(tmp_path / "a.txt")
    touch(tmp_path / "maps" / "a.csv")
    common, named = touch(tmp_path / "common.csv"), touch(tmp_path / "other" / "a.xlsx")
    assert find_exports([export], common).asked == (Asked(export, common),)
    assert find_exports([export], tmp_path / "other").asked == (Asked(export, named),)


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    export = touch(tmp_path / "a.txt")
    assert find_exports([export, tmp_path], None).asked == (Asked(export),)


@pytest.mark.parametrize(
    ("names", "asked", "words"),
    [
        (["a.txt"], ["gone.txt"], "there is no such file"),
        (["a.txt", "maps/a.csv", "maps/a.xlsx"], ["a.txt"], "two maps are called as this export: a.csv, a.xlsx"),
        (["deep/a.txt"], ["."], "the folder holds no export"),
    ],
)
def test_what_cannot_be_found_is_a_fault(tmp_path: Path, names: list[str], asked: list[str], words: str) -> None:
    for name in names:
        touch(tmp_path / name)
    batch: Batch = find_exports([tmp_path / name for name in asked], None)
    assert len(batch.faults) == 1
    assert words in batch.faults[0]
    assert batch.asked == ()


def test_two_exports_of_one_name_are_a_fault_of_the_second(tmp_path: Path, write_plate: Callable[..., Path]) -> None:
    one, two = write_plate(tmp_path / "monday", "plate"), write_plate(tmp_path / "tuesday", "plate", seed=2)
    read = read_exports(find_exports([one, two], None), Work())
    (fault,) = read.faults
    assert fault.startswith(str(two))
    assert "another export is also called 'plate'" in fault
    assert read.inputs.readings.frame["plate"].unique().to_list() == ["plate:1"]


def test_when_nothing_can_be_read_all_faults_are_raised_together(tmp_path: Path) -> None:
    paths = [touch(tmp_path / "a.txt", "hello"), touch(tmp_path / "b.txt", "world")]
    with pytest.raises(InputError) as caught:
        read_exports(Batch(tuple(map(Asked, paths))), Work())
    assert [message.split(":")[0] for message in caught.value.messages] == ["a.txt", "b.txt"]
