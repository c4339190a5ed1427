"""Gate files: one tree of gates for every FCS file, or one for each sample of a workspace; and matrices in files of their own."""

from collections.abc import Sequence
from pathlib import Path

from exvivo.errors import InputError, fault
from exvivo.formats import gatefiles, gatingml, spillover
from exvivo.study.design import GatingTree, SampleGates, SpilloverMatrix


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
    ProtocolError : everything that is wrong with a yaml file
    """
    return gatefiles.choose(path.name, gatefiles.parse(path), [file.name for file in files], sample)


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
