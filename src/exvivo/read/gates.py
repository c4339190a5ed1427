"""Gate files: Gating-ML 2.0 to one tree of gates."""

from pathlib import Path

from exvivo.formats import gatingml
from exvivo.study.design import GatingTree


def read_gates(path: Path) -> GatingTree:
    """Gates of a Gating-ML 2.0 file, parents before children.

    Raises
    ------
    InputError : everything in the file that cannot be understood
    """
    return gatingml.parse(path)
