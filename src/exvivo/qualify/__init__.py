"""Reference cases in, verdicts out: whether this installation, on this machine, gives the numbers that it should.

A case is a JSON file with the tables it was made from; its ``judge`` lists the results that count and how close is close.
The procedure is chosen by the id's prefix. A case without a procedure, or whose procedure cannot run on its data, is
``unsupported``, which fails unless the case is optional.
"""

from pathlib import Path

from exvivo.engine import Progress, Silence
from exvivo.qualify.cases import find_cases, shipped_folder
from exvivo.qualify.judging import Check, judge_case

__all__ = ["Check", "qualify_cases"]


def qualify_cases(folder: Path | None = None, progress: Progress | None = None) -> list[Check]:
    """Run all cases of a folder, or those that are shipped, and judge every result that counts.

    Raises
    ------
    InputError : a case cannot be read, or the folder holds none
    """
    told = progress or Silence()
    with shipped_folder() as shipped:
        cases = find_cases(folder or shipped)
        told.begin("qualifying", len(cases))
        checks = []
        for case in cases:
            checks += judge_case(case)
            told.advance("qualifying")
        told.end("qualifying", len(cases), 0)
    return checks
