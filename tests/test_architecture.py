"""The tree keeps its shape: layers, budgets, complete public names, a quick --help."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "exvivo").rglob("*.py"))
MODULE_LINES, FUNCTION_LINES, PUBLIC_NAMES = 600, 60, 20
BANNED = {"utils", "helpers", "common", "misc", "base"}


def test_imports_go_downwards_only() -> None:
    done = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  our own tool
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT / "src").as_posix())
def test_modules_and_functions_stay_inside_their_budgets(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MODULE_LINES
    assert path.stem not in BANNED
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT / "src").as_posix())
def test_imports_stand_at_the_top_except_in_the_command_line(path: Path) -> None:
    if path.name == "cli.py":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = [
        n.lineno
        for f in ast.walk(tree)
        if isinstance(f, ast.FunctionDef)
        for n in ast.walk(f)
        if isinstance(n, ast.Import | ast.ImportFrom)
    ]
    assert inner == []


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "exvivo", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert imported.isdisjoint({"polars", "numba", "altair", "scipy", "typst", "numpy", "vl_convert"})
    assert "exvivo" in imported


def test_public_names_are_complete_and_few() -> None:
    import exvivo

    assert len(exvivo.__all__) <= PUBLIC_NAMES
    for name in exvivo.__all__:
        assert getattr(exvivo, name) is not None
    assert sorted(exvivo.__all__) == sorted(set(exvivo.__all__))


def test_every_stage_shows_one_function() -> None:
    stages = {
        "read": "read_inputs",
        "calibrate": "calibrate_plates",
        "gate": "gate_specimens",
        "inspect": "inspect_study",
        "estimate": "estimate_effects",
        "report": "write_report",
        "simulate": "simulate_study",
    }
    for stage, function in stages.items():
        tree = ast.parse((ROOT / "src" / "exvivo" / stage / "__init__.py").read_text(encoding="utf-8"))
        public = [n.name for n in tree.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
        assert public == [function]
