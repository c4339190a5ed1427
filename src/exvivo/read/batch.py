"""Which exports a person means who names files or folders, and which map belongs to each.

An export ``X.txt`` has its map in ``maps/X.csv`` (or ``.xlsx``) beside it, unless a map or a folder of maps is named. A
folder is read flat: what lies in its subfolders is somebody else's data, or our own output.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from exvivo.errors import fault
from exvivo.read.sources import is_debris
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.statuses import Severity

MAPS = "maps"
_TEXTS = (".txt", ".csv", ".tsv", ".tab", ".asc", ".dat", ".xpt", ".xml")
_BOOKS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")
_MAP_ENDINGS = (".csv", ".tsv", ".txt", *_BOOKS)


@dataclass(frozen=True, slots=True)
class Asked:
    """An export to be read, and its map unless the export holds its layout."""

    export: Path
    map_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Exports that were asked for, in order of path; what cannot be read and what was passed over."""

    asked: tuple[Asked, ...]
    faults: tuple[str, ...] = ()
    found: tuple[Finding, ...] = ()


def find_exports(paths: Sequence[Path], map_path: Path | None) -> Batch:
    """Exports in files and folders, each with its map.

    Parameters
    ----------
    paths : exports, or folders of exports
    map_path : one map for all exports, or a folder of maps called as their exports; None looks into ``maps`` beside each export
    """
    if map_path is not None and not map_path.exists():
        return Batch((), (_absent(map_path),))
    faults: list[str] = []
    exports: dict[Path, Path] = {}
    passed: list[Finding] = []
    for path in paths:
        if path.is_dir():
            listed, over = _list_folder(path)
            passed += over
            if not listed:
                faults.append(fault(str(path), "the folder holds no export", "text files or workbooks", "Check the path"))
            exports |= {one.resolve(): one for one in listed}
        elif path.is_file():
            exports[path.resolve()] = path
        else:
            faults.append(_absent(path))
    asked = []
    for export in exports.values():
        maps = _maps_of(export, map_path)
        if len(maps) > 1:
            told = f"two maps are called as this export: {', '.join(one.name for one in maps)}"
            faults.append(fault(export.name, told, "one map for each export", "Move one of them away"))
        else:
            asked.append(Asked(export, next(iter(maps), None)))
    orphans = [_orphan(path) for path in _orphans(list(exports.values()), map_path)]
    return Batch(tuple(asked), tuple(faults), (*passed, *orphans))


def _absent(path: Path) -> str:
    return fault(str(path), "there is no such file", action="Check the path")


def _list_folder(folder: Path) -> tuple[list[Path], list[Finding]]:
    """Files of a folder that may be exports, and what was passed over."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    exports = [path for path in files if path.suffix.lower() in (*_TEXTS, *_BOOKS) and not is_debris(path.name)]
    evidence, suggestion = "neither a text file nor a workbook: it was passed over", "Nothing to do, unless it holds readings"
    return exports, [
        Finding(FindingCode.FILE_UNLISTED, Severity.NOTE, path.name, evidence, suggestion) for path in files if path not in exports
    ]


def _maps_of(export: Path, map_path: Path | None) -> list[Path]:
    """Maps that could belong to an export: none, one, or more than there may be."""
    if map_path is not None and not map_path.is_dir():
        return [map_path] if map_path.is_file() else []
    return [one for one in _list_maps(map_path or export.parent / MAPS) if one.stem.lower() == export.stem.lower()]


def _list_maps(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [
        path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix.lower() in _MAP_ENDINGS and not is_debris(path.name)
    ]


def _orphans(exports: Sequence[Path], map_path: Path | None) -> Iterator[Path]:
    """Maps in the folders of maps that are called as no export."""
    if map_path is not None:
        stems = {export.stem.lower() for export in exports}
        yield from (one for one in _list_maps(map_path) if one.stem.lower() not in stems)
        return
    for folder in sorted({export.parent for export in exports}):
        stems = {path.stem.lower() for path in folder.iterdir() if path.is_file()}
        yield from (one for one in _list_maps(folder / MAPS) if one.stem.lower() not in stems)


def _orphan(path: Path) -> Finding:
    evidence, suggestion = f"no export is called '{path.stem}'", "Put the export beside it, or give the map the export's name"
    return Finding(FindingCode.MAP_WITHOUT_EXPORT, Severity.WARNING, path.name, evidence, suggestion)
