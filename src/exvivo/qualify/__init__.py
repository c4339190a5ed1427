"""Reference cases in, verdicts out: whether this installation, on this machine, gives the numbers that it should.

A case is a JSON file with the tables it was made from; its ``judge`` lists the results that count and how close is close.
The procedure is chosen by the id's prefix. A case without a procedure, or whose procedure cannot run on its data, is
``unsupported``, which fails unless the case is optional.
"""

from pathlib import Path

from exvivo.engine import Progress, Silence
from exvivo.qualify.cases import read_cases, shipped_folder
from exvivo.qualify.judging import Check, judge_case, refuse_file

__all__ = ["Check", "qualify_cases"]


def qualify_cases(folder: Path | None = None, progress: Progress | None = None) -> list[Check]:
    """Run all cases of a folder, or those that are shipped, and judge every result that counts.

    A file that cannot be read as a case is unsupported, and the others are judged.

    Raises
    ------
    InputError : the folder holds no case that can be read
    """
    told = progress or Silence()
    with shipped_folder() as shipped:
        cases, faults = read_cases(folder or shipped)
        told.begin("qualifying", len(cases))
        checks = [refuse_file(name, message) for name, message in faults.items()]
        for case in cases:
            checks += judge_case(case)
            told.advance("qualifying")
        told.end("qualifying", len(cases), 0)
    return checks
