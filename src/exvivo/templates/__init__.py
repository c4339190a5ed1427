"""Study files to start from, shipped with the package."""

import json
from importlib.resources import files
from pathlib import Path

from exvivo.errors import DesignError, fault, unknown
from exvivo.study.model import study_schema
from exvivo.study.protocol import PROTOCOL_FILE

__all__ = ["TEMPLATES", "write_template"]

TEMPLATES = ("ssc-ruxolitinib", "blank")


def write_template(folder: Path, template: str) -> tuple[Path, ...]:
    """Write study.yaml and its schema into a folder; an existing protocol is never overwritten.

    Raises
    ------
    DesignError : the template is unknown or the folder holds a protocol
    """
    if template not in TEMPLATES:
        raise DesignError(unknown("template", template, TEMPLATES))
    target = folder / PROTOCOL_FILE
    if target.exists():
        raise DesignError(fault(str(target), "the file exists", action="Choose another folder or move the file away"))
    folder.mkdir(parents=True, exist_ok=True)
    text = files("exvivo.templates").joinpath(template, PROTOCOL_FILE).read_text(encoding="utf-8")
    target.write_text(text, encoding="utf-8", newline="\n")
    schema = folder / "study.schema.json"
    schema.write_text(json.dumps(study_schema(), indent=1) + "\n", encoding="utf-8", newline="\n")
    return target, schema
