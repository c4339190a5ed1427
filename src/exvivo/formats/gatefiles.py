"""Gate files of every kind -> gates for each FCS file: one tree for all of them, or the sample of a workspace.

What a file is stands in it, not in its name: Gating-ML 2.0, FlowJo 9 and FACSDiva all end in ``.xml``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from exvivo.errors import InputError, fault
from exvivo.formats import diva, flowjo, flowjo9, gatingml, spillover
from exvivo.formats.markup import outermost
from exvivo.study.design import GatingTree, SampleGates
from exvivo.study.fixedgates import build_gate, read_gates_file

_LISTED = 20
_KINDS = "a Gating-ML 2.0 file, a workspace of FlowJo 9 or 10, an experiment of FACSDiva, or gates in yaml"
_MATRIX = "matrix"


def parse(path: Path) -> tuple[SampleGates, ...]:
    """Gates of every sample of a file; of a file with one tree for all, one without a name.

    Raises
    ------
    InputError : the file is missing, or cannot be understood as a whole
    ProtocolError : everything that is wrong with a yaml file
    """
    if not path.is_file():
        raise InputError(fault(str(path), "there is no such file", _KINDS, "Check the path"))
    return _PARSERS[_kind(path)](path)


def holds_samples(samples: Sequence[SampleGates]) -> bool:
    """Whether gates belong to samples, rather than to all files."""
    return len(samples) > 1 or any(own.name or own.file or own.identifier or own.faults for own in samples)


def choose(where: str, samples: Sequence[SampleGates], names: Sequence[str], sample: str | None = None) -> tuple[SampleGates, ...]:
    """Gates of each FCS file.

    Parameters
    ----------
    where : name of the gate file
    samples : as ``parse`` gives them
    names : names of the FCS files, by which their samples are found
    sample : name or number of the sample whose gates hold for all files instead

    Returns
    -------
    tuple of SampleGates, shape (n_files,)

    Raises
    ------
    InputError : no sample or several samples go with a file, or their gates cannot be understood, all together
    """
    if samples and not holds_samples(samples):
        if sample is not None:
            found = f"sample '{sample}' is asked for, but only workspaces and experiments hold samples"
            raise InputError(fault(where, found, "", "Leave the sample out"))
        return tuple(samples[0] for _ in names)
    faults: list[str] = []
    chosen = [_choose(where, samples, sample or name, faults) for name in names]
    for own in chosen:
        faults += own.faults if own is not None else ()
    if faults:
        raise InputError(dict.fromkeys(faults))
    return tuple(own for own in chosen if own is not None)


def _kind(path: Path) -> str:
    raw = path.read_bytes()
    first = outermost(raw)
    if first is None:
        return "yaml" if path.suffix in {".yaml", ".yml"} or re.search(rb"(?m)^gates\s*:", raw) else "Gating-ML"
    if first.name == "Workspace":
        return "FlowJo 9" if first.version.startswith(("8", "9")) else "FlowJo 10"
    return "FACSDiva" if first.name == "bdfacs" else "Gating-ML"


def _parse_gatingml(path: Path) -> tuple[SampleGates, ...]:
    return (SampleGates(gatingml.parse(path)),)


def _parse_yaml(path: Path) -> tuple[SampleGates, ...]:
    held = read_gates_file(path)
    own = {"FCS": "FCS", "none": "uncompensated"}.get(held.compensation)
    matrices = {}
    if own is None:
        file = path.parent / held.compensation
        if not file.is_file():
            found = f"there is no matrix file '{held.compensation}' beside it"
            raise InputError(fault(path.name, found, "FCS, none or a file", "Correct 'compensation'"))
        own, matrices = _MATRIX, {_MATRIX: spillover.parse(file)}
    gates = tuple(build_gate(gate, own) for gate in held.gates)
    return (SampleGates(GatingTree(gates, MappingProxyType(matrices)), own),)


_PARSERS: Mapping[str, Callable[[Path], tuple[SampleGates, ...]]] = MappingProxyType(
    {
        "Gating-ML": _parse_gatingml,
        "FlowJo 9": flowjo9.parse,
        "FlowJo 10": flowjo.parse,
        "FACSDiva": diva.parse,
        "yaml": _parse_yaml,
    }
)


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
