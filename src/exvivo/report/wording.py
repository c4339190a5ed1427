"""Codes in, words out: the only place where a report finds a sentence.

Words lie in ``text/en.toml``, by section and code. Codes that an enumeration declares must have a text: a
missing one is a ``KeyError`` that a test finds. Codes that stages coin (methods, rules) are printed as
they are until they have one, so that a report never fails over a word.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from exvivo.report.numbers import print_number, print_p

WHOLE = 1e6
"""Whole numbers below it are printed without decimals."""

TABLED = frozenset({"precision", "planned"})
"""Parameters that a report prints as a table of their own."""

NOTHING: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class Wording:
    """Texts of one language by section and code."""

    sections: Mapping[str, Mapping[str, str]]

    def say(self, section: str, code: str, values: Mapping[str, object] = NOTHING) -> str:
        """Text of a code, its braces filled in.

        Raises
        ------
        KeyError : the language has no such text, or a value for a brace is missing
        """
        try:
            text = self.sections[section][code]
        except KeyError as error:
            raise KeyError(f"no text for '{section}.{code}'") from error
        return text.format_map(values)

    def name(self, section: str, code: str | None) -> str:
        """Text of a code that a stage may have coined; the code itself when there is none."""
        if code is None:
            return ""
        return self.sections[section].get(code, code)

    def detail(self, detail: str | None) -> str:
        """Parameters of a reason, from their JSON, as ``needed: 6; donors: 4``."""
        if not detail:
            return ""
        try:
            values = json.loads(detail)
        except json.JSONDecodeError:
            return detail
        if not isinstance(values, dict):
            return self._value(values)
        return "; ".join(f"{self._label(key)}: {self._told(key, value)}" for key, value in values.items() if key not in TABLED)

    def _told(self, key: str, value: object) -> str:
        if key == "code":
            return self.name("finding", str(value))
        return print_p(value) if key.startswith("p_") and isinstance(value, float) else self._value(value)

    def _label(self, key: str) -> str:
        return self.sections["detail"].get(key, key.replace("_", " "))

    def _value(self, value: object) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{self._label(str(key))} {self._value(item)}" for key, item in value.items())
        if isinstance(value, list):
            return ", ".join(self._value(item) for item in value)
        if value is None:
            return self.say("words", "missing")
        if isinstance(value, bool):
            return self.say("words", "yes" if value else "no")
        if isinstance(value, float):
            return f"{value:.0f}" if value == round(value) and abs(value) < WHOLE else print_number(value)
        return self.sections["detail"].get(str(value), str(value))


def load_wording(language: str = "en") -> Wording:
    """Texts of a language that ships with exvivo."""
    source = files("exvivo").joinpath("text", f"{language}.toml")
    return Wording(tomllib.loads(source.read_text(encoding="utf-8")))
