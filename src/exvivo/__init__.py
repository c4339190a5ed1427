"""exvivo: from the raw files of an ex-vivo drug study in donor-derived cells to its registered outcomes.

The public names load when they are first used, so that importing the package costs nothing.
"""

import os
from importlib import import_module

# Every matrix here is small: threads of a linear-algebra library cost up to forty times what they bring, and
# several processes work beside each other. Where numpy was imported before, `engine.one_thread` does it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

_HOMES = {
    "run_study": "exvivo.pipeline",
    "check_study": "exvivo.pipeline",
    "calibrate_export": "exvivo.pipeline",
    "gate_files": "exvivo.pipeline",
    "load_protocol": "exvivo.study.protocol",
    "Protocol": "exvivo.study.protocol",
    "Run": "exvivo.study.run",
    "Table": "exvivo.study.tables",
    "TableKind": "exvivo.study.tables",
    "Work": "exvivo.engine",
    "ExvivoError": "exvivo.errors",
    "ProtocolError": "exvivo.errors",
    "InputError": "exvivo.errors",
    "DesignError": "exvivo.errors",
    "EstimationError": "exvivo.errors",
}

__all__ = [
    "DesignError",
    "EstimationError",
    "ExvivoError",
    "InputError",
    "Protocol",
    "ProtocolError",
    "Run",
    "Table",
    "TableKind",
    "Work",
    "calibrate_export",
    "check_study",
    "gate_files",
    "load_protocol",
    "run_study",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'exvivo' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
