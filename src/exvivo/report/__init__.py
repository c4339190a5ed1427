"""Run -> report.html: the registered estimates in registry order, and everything they rest on, in one offline file."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from exvivo.engine import Progress, Silence, write_atomically
from exvivo.report.document import compose_document
from exvivo.report.wording import load_wording
from exvivo.study.run import Run
from exvivo.study.tables import Table

__all__ = ["write_report"]

UNKNOWN: Mapping[str, str] = MappingProxyType({})


def write_report(
    run: Run,
    folder: Path,
    progress: Progress | None = None,
    *,
    versions: Mapping[str, str] = UNKNOWN,
    without_post_hoc: Table | None = None,
) -> None:
    """Write ``report.html`` into a results folder.

    Parameters
    ----------
    run : Run
    folder : results folder that is being built
    progress : where drawing shows how far it is
    versions : versions of the packages that made the results, by name
    without_post_hoc : EFFECTS without decisions made after unblinding; None takes those of the run
    """
    if without_post_hoc is not None:
        run = replace(run, without_post_hoc=without_post_hoc)
    text = compose_document(run, load_wording(), versions, progress or Silence())
    write_atomically(folder / "report.html", text.encode())
