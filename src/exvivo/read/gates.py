"""Gate files: Gating-ML 2.0 to one tree of gates, FlowJo 10 workspaces to one for each sample."""

from collections.abc import Sequence
from pathlib import Path

from exvivo.errors import InputError, fault
from exvivo.formats import flowjo, gatingml
from exvivo.study.design import GatingTree, SampleGates

_LISTED = 20


def read_gates(path: Path) -> GatingTree:
    """Gates of a Gating-ML 2.0 file, parents before children.

    Raises
    ------
    InputError : everything in the file that cannot be understood
    """
    return gatingml.parse(path)


def read_sample_gates(path: Path, files: Sequence[Path], sample: str | None = None) -> tuple[SampleGates, ...]:
    """Gates of every FCS file: of the one tree of a Gating-ML file, or of its sample in a FlowJo workspace (``.wsp``).

    Parameters
    ----------
    path : Gating-ML 2.0 file or FlowJo 10 workspace
    files : FCS files; a sample is found by the name of the file
    sample : name or number of the sample whose gates hold for all files instead

    Returns
    -------
    tuple of SampleGates, shape (n_files,)

    Raises
    ------
    InputError : no sample or several samples go with a file, or their gates cannot be understood, all together
    """
    if path.suffix.lower() != ".wsp":
        if sample is not None:
            found = f"sample '{sample}' is asked for, but only FlowJo workspaces (.wsp) hold samples"
            raise InputError(fault(path.name, found, "", "Leave the sample out"))
        tree = gatingml.parse(path)
        return tuple(SampleGates(tree) for _ in files)
    samples = flowjo.parse(path)
    faults: list[str] = []
    chosen = [_choose(path.name, samples, sample or file.name, faults) for file in files]
    for own in chosen:
        faults += own.faults if own is not None else ()
    if faults:
        raise InputError(dict.fromkeys(faults))
    return tuple(own for own in chosen if own is not None)


def _choose(where: str, samples: Sequence[SampleGates], wanted: str, faults: list[str]) -> SampleGates | None:
    """The sample of that name, or else of that number; a fault unless there is one and only one."""
    named = [own for own in samples if wanted in (own.name, own.file)] or [own for own in samples if wanted == own.identifier]
    if len(named) == 1:
        return named[0]
    if named:
        found = f"{len(named)} samples are called '{wanted}': {_list(named)}"
        faults.append(fault(where, found, "one", "Choose one by its number with --sample"))
    else:
        found = f"no sample is called '{wanted}'"
        faults.append(fault(where, found, f"one of {_list(samples)}", "Choose one with --sample, or name the file as FlowJo knows it"))
    return None


def _list(samples: Sequence[SampleGates]) -> str:
    listed = ", ".join(f"'{own.name}' (number {own.identifier or 'unknown'})" for own in samples[:_LISTED])
    return f"{listed} and {len(samples) - _LISTED} more" if len(samples) > _LISTED else listed
