"""Gate files: one tree of gates for every FCS file, or one for each sample of a workspace.

What a file is stands in it, not in its name: Gating-ML 2.0, FlowJo 9 and FACSDiva all end in ``.xml``.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from exvivo.errors import InputError, fault
from exvivo.formats import diva, flowjo, flowjo9, gatingml, spillover
from exvivo.formats.markup import outermost
from exvivo.study.design import GatingTree, SampleGates, SpilloverMatrix

_LISTED = 20
_KINDS = "a Gating-ML 2.0 file, a workspace of FlowJo 9 or 10, an experiment of FACSDiva"
_WORKSPACES: Mapping[str, Callable[[Path], tuple[SampleGates, ...]]] = MappingProxyType(
    {"FlowJo 9": flowjo9.parse, "FlowJo 10": flowjo.parse, "FACSDiva": diva.parse}
)


def read_gates(path: Path) -> GatingTree:
    """Gates of a file that holds one tree for all FCS files, parents before children.

    Raises
    ------
    InputError : everything in the file that cannot be understood
    """
    return gatingml.parse(path)


def compose_gates(tree: GatingTree) -> bytes:
    """Gating-ML 2.0 file of a tree.

    Raises
    ------
    InputError : gates that Gating-ML cannot hold, all of them by name
    """
    return gatingml.compose(tree)


def read_sample_gates(path: Path, files: Sequence[Path], sample: str | None = None) -> tuple[SampleGates, ...]:
    """Gates of every FCS file: of the one tree of a gate file, or of its sample in a workspace.

    Parameters
    ----------
    path : gate file; what it is is seen from its content
    files : FCS files; a sample is found by the name of the file
    sample : name or number of the sample whose gates hold for all files instead

    Returns
    -------
    tuple of SampleGates, shape (n_files,)

    Raises
    ------
    InputError : no sample or several samples go with a file, or their gates cannot be understood, all together
    """
    kind = _kind(path)
    if kind not in _WORKSPACES:
        if sample is not None:
            found = f"sample '{sample}' is asked for, but only workspaces and experiments hold samples"
            raise InputError(fault(path.name, found, "", "Leave the sample out"))
        tree = read_gates(path)
        return tuple(SampleGates(tree) for _ in files)
    samples = _WORKSPACES[kind](path)
    faults: list[str] = []
    chosen = [_choose(path.name, samples, sample or file.name, faults) for file in files]
    for own in chosen:
        faults += own.faults if own is not None else ()
    if faults:
        raise InputError(dict.fromkeys(faults))
    return tuple(own for own in chosen if own is not None)


def read_matrix(path: Path, channels: Sequence[str] | None = None) -> SpilloverMatrix:
    """Spillover matrix of a csv, a FlowJo matrix, a Gating-ML file or a workspace.

    Parameters
    ----------
    path : matrix file; what it is is seen from its content
    channels : channels of the FCS file it is for; a detector that is not among them is refused

    Raises
    ------
    InputError : the file is missing, or everything that is wrong with the matrix
    """
    if not path.is_file():
        raise InputError(fault(str(path), "there is no such file", "a matrix", "Check the path"))
    matrix = spillover.parse(path)
    if channels is not None:
        spillover.check_channels(path.name, matrix, channels)
    return matrix


def _kind(path: Path) -> str:
    """What a gate file is.

    Raises
    ------
    InputError : the file is missing, or none of the kinds
    """
    if not path.is_file():
        raise InputError(fault(str(path), "there is no such file", _KINDS, "Check the path"))
    first = outermost(path.read_bytes())
    if first is None:
        return "Gating-ML"
    if first.name == "Workspace":
        return "FlowJo 9" if first.version.startswith(("8", "9")) else "FlowJo 10"
    return "FACSDiva" if first.name == "bdfacs" else "Gating-ML"


def _choose(where: str, samples: Sequence[SampleGates], wanted: str, faults: list[str]) -> SampleGates | None:
    """The sample of that name, or else of that number; a fault unless there is one and only one."""
    stem = wanted.removesuffix(".fcs")
    named = [own for own in samples if wanted in (own.name, own.file) or stem == own.name] or [
        own for own in samples if wanted == own.identifier
    ]
    if len(named) == 1:
        return named[0]
    if named:
        found = f"{len(named)} samples are called '{wanted}': {_list(named)}"
        faults.append(fault(where, found, "one", "Choose one by its number with --sample"))
    else:
        found = f"no sample is called '{wanted}'"
        faults.append(
            fault(where, found, f"one of {_list(samples)}", "Choose one with --sample, or name the file as the workspace knows it")
        )
    return None


def _list(samples: Sequence[SampleGates]) -> str:
    listed = ", ".join(f"'{own.name}' (number {own.identifier or 'unknown'})" for own in samples[:_LISTED])
    return f"{listed} and {len(samples) - _LISTED} more" if len(samples) > _LISTED else listed
