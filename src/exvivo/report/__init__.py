"""Run -> report.html: the registered estimates and all they rest on, in one offline file; estimands.md and reproduce.R beside it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from exvivo.engine import Progress, Silence, write_atomically
from exvivo.report.document import compose_document
from exvivo.report.narrative import compose_estimands
from exvivo.report.reproduce import compose_reproduction
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
    """Write ``report.html``, ``estimands.md`` and ``reproduce.R`` into a results folder.

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
    words = load_wording()
    write_atomically(folder / "estimands.md", compose_estimands(run.protocol, words).encode())
    write_atomically(folder / "reproduce.R", compose_reproduction(run.effects).encode())
    text = compose_document(run, words, versions, progress or Silence())
    write_atomically(folder / "report.html", text.encode())
