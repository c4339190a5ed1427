"""Everything that exvivo says when it cannot go on.

    ExvivoError
    ├── ProtocolError     the study file
    ├── InputError        one raw file
    ├── DesignError       files disagree with the protocol or with each other
    └── EstimationError   the data cannot answer the question

A file or a protocol is read to its end and all its faults are raised together: an error
carries one message for each fault. A message says where, what was found, what was expected
and what to do. Poor data is never an exception: it is a status with a reason. Wrong calls
from Python stay ``TypeError`` and ``ValueError``.
"""

import difflib
import re
from collections.abc import Iterable, Iterator

_ON_A_LINE = re.compile(r"(.+?, line )(\d+)(: .+)", re.DOTALL)
_LINES_SHOWN = 6


class ExvivoError(Exception):
    """One or more faults that a person can mend.

    Parameters
    ----------
    messages : one sentence group per fault, in the order in which a reader would meet them
    """

    def __init__(self, messages: str | Iterable[str]) -> None:
        self.messages: tuple[str, ...] = (messages,) if isinstance(messages, str) else tuple(messages)
        if not self.messages:
            raise ValueError("an ExvivoError needs at least one message")
        super().__init__(*self.messages)

    def __str__(self) -> str:
        return "\n".join(self.messages)


class ProtocolError(ExvivoError):
    """``study.yaml`` cannot be understood."""


class InputError(ExvivoError):
    """Raw files cannot be understood; a fault that stands on many lines of a file is one message that names the lines."""

    def __init__(self, messages: str | Iterable[str]) -> None:
        super().__init__(_join_lines((messages,) if isinstance(messages, str) else messages))


def _join_lines(messages: Iterable[str]) -> Iterator[str]:
    """Messages in order; those that differ in the line number only become the first of them."""
    lines: dict[tuple[str, str], list[str]] = {}
    for message in messages:
        match = _ON_A_LINE.fullmatch(message)
        head, line, text = match.groups() if match else ("", "", message)
        lines.setdefault((head, text), []).append(line)
    for (head, text), numbers in lines.items():
        shown = ", ".join(numbers[:_LINES_SHOWN]) + (f" and {len(numbers) - _LINES_SHOWN} more" if len(numbers) > _LINES_SHOWN else "")
        yield f"{head.removesuffix('line ') + 'lines ' if head and len(numbers) > 1 else head}{shown}{text}"


class DesignError(ExvivoError):
    """Files disagree with the protocol or with each other."""


class EstimationError(ExvivoError):
    """The data cannot answer the question."""


def fault(where: str, found: str, expected: str = "", action: str = "") -> str:
    """Message of one fault: where, what was found, what was expected, what to do.

    Examples
    --------
    >>> fault("ccl18.txt, line 14", "well 'C13' is outside a 96-well plate", "A1 to H12", "Export again as 96 wells")
    "ccl18.txt, line 14: well 'C13' is outside a 96-well plate. Expected A1 to H12. Export again as 96 wells."
    """
    sentences = [found, f"Expected {expected}" if expected else "", action]
    return f"{where}: " + " ".join(text if text.endswith("?") else f"{text.rstrip('.')}." for text in sentences if text)


def unknown(kind: str, name: object, known: Iterable[str], *, shown: int = 40) -> str:
    """Message for a name that does not exist, with the nearest one that does; of many known names only the first are shown.

    >>> unknown("analyte", "CCL81", ["CCL18", "IL6"])
    "unknown analyte 'CCL81'. Known: CCL18, IL6. Did you mean 'CCL18'?"
    """
    names = list(known)
    near = difflib.get_close_matches(str(name), names, 1)
    listed = ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
    return f"unknown {kind} '{name}'. Known: {listed or 'none'}." + (f" Did you mean '{near[0]}'?" if near else "")
