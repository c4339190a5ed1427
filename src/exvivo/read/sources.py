"""Which files of a study folder are read, and as what: paths and digests, nothing opened but to be hashed."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from exvivo.engine import digest_file
from exvivo.study.findings import Finding, FindingCode
from exvivo.study.model import Files, FlowReadout
from exvivo.study.protocol import Design
from exvivo.study.statuses import Severity
from exvivo.study.tables import FILES, Table

_DEBRIS = {"thumbs.db", "desktop.ini"}
_EVENT_ENDINGS = (".fcs", ".lmd")  # list mode data of Coulter instruments are FCS files under another name


@dataclass(frozen=True, slots=True)
class Source:
    """One file: path relative to the study folder (posix), digest, size, what it is read as."""

    path: str
    sha256: str
    size: int
    role: str

    @property
    def stem(self) -> str:
        """File name without its ending."""
        return Path(self.path).stem


@dataclass(frozen=True, slots=True)
class Sources:
    """All files that are read, sorted by path, and those that lie between them but are nobody's data."""

    files: tuple[Source, ...]
    debris: tuple[str, ...]

    def of(self, role: str) -> tuple[Source, ...]:
        """Files of one role."""
        return tuple(source for source in self.files if source.role == role)

    def one(self, role: str) -> Source | None:
        """The only file of a role, or None."""
        return next(iter(self.of(role)), None)

    def table(self) -> Table:
        """FILES, sorted by path."""
        return FILES.from_rows([{"path": s.path, "sha256": s.sha256, "bytes": s.size, "role": s.role} for s in self.files])


def list_sources(folder: Path, files: Files, design: Design) -> Sources:
    """Files of a study folder. A file that the study does not need and that is absent is simply not listed."""
    named = {"specimens": files.specimens, "tube_sheet": files.tubes}
    if design.clinical is not None:
        named["clinical"] = files.clinical
        if design.clinical.format == "redcap":
            named["dictionary"] = files.dictionary
    found = {name: role for role, name in named.items() if (folder / name).is_file()}
    found |= {table.file: "quantified" for table in design.tables.values() if (folder / table.file).is_file()}
    debris: list[str] = []
    for role, root, endings in (("map", files.maps, ("",)), ("export", files.plates, ("",)), ("fcs", files.cytometry, _EVENT_ENDINGS)):
        for name in _walk(folder, root):
            if is_debris(name):
                debris.append(name)
            elif name not in found and name.lower().endswith(endings):
                found[name] = role
    return Sources(tuple(describe_source(folder, name, role) for name, role in sorted(found.items())), tuple(sorted(set(debris))))


def _walk(folder: Path, root: str) -> Iterator[str]:
    """Files under a folder, relative to the study folder."""
    for path in sorted((folder / root).rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix()


def is_debris(name: str) -> bool:
    """Whether a file is a trace of an operating system or of an open program.

    >>> is_debris("plates/~$P1.xlsx"), is_debris("plates/.DS_Store"), is_debris("plates/P1.xlsx")
    (True, True, False)
    """
    last = name.rsplit("/", 1)[-1]
    return last.startswith((".", "~$")) or last.lower() in _DEBRIS


def describe_source(folder: Path, name: str, role: str) -> Source:
    """One file with its digest and size."""
    return Source(name, digest_file(folder / name), (folder / name).stat().st_size, role)


def check_sources(sources: Sources, layout: Table, design: Design) -> Iterator[Finding]:
    """The same file twice, and files that were passed over. A file touches the readouts that were measured in it."""
    markers = tuple(name for name, readout in design.readouts.items() if isinstance(readout, FlowReadout))
    seen: dict[tuple[str, str], Source] = {}
    for source in sources.files:
        first = seen.setdefault((source.role, source.sha256), source)
        if first is not source and source.role in {"export", "fcs"}:
            evidence, suggestion = f"the same bytes as {first.path}", "Remove one of them, or put the right file in its place"
            readouts = markers if source.role == "fcs" else _analytes(layout, {first.stem, source.stem})
            yield Finding(FindingCode.FILE_DUPLICATE, Severity.ERROR, source.path, evidence, suggestion, readouts)
    for name in sources.debris:
        yield Finding(FindingCode.FILE_UNLISTED, Severity.NOTE, name, "a hidden or temporary file that was passed over", "Nothing to do")


def _analytes(layout: Table, stems: Collection[str]) -> tuple[str, ...]:
    """Analytes on the plates of some exports."""
    plates = layout.frame.filter(layout.frame["plate"].str.replace(r":\d+$", "").is_in(list(stems)))
    return tuple(plates["analyte"].drop_nulls().unique().sort())


def read_bytes(folder: Path, source: Source) -> bytes:
    """Content of a file."""
    return (folder / source.path).read_bytes()
