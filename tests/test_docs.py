"""Documents say what the code says, and what tutorial and how-to pages show is what happens."""

import importlib.util
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from exvivo.cli import main

ROOT = Path(__file__).parents[1]


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["tables.md", "protocol.md", "codes.md", "commands.md"])
def test_generated_pages_are_those_of_the_code(page: str) -> None:
    wanted = load_generator().PAGES[page]()
    found = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")
    assert found == wanted, "run scripts/docs"


def test_links_between_documents_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_documents_name_no_machine_and_no_index() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "constraints.txt", ROOT / "pyproject.toml"]:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"/work/|/root/|index-url|pypi\.org", text), page


@dataclass(frozen=True)
class Call:
    """One command of a page, the lines that must be found in its output in this order, and its exit code."""

    arguments: tuple[str, ...]
    quoted: tuple[str, ...]
    code: int


@dataclass(frozen=True)
class Edit:
    """What a page asks its reader to change in a file, or (``old`` absent) to write."""

    path: str
    old: str | None
    new: str


STEP = re.compile(
    r"<!-- edit (?P<path>\S+): (?P<old>.*?) ->(?P<new>.*?)-->"
    r"|<!-- write (?P<file>\S+) -->\s*```\w*\n(?P<text>.*?)```"
    r"|```console\n(?P<console>.*?)```",
    re.DOTALL,
)


def steps_of(page: Path) -> Iterator[Call | Edit]:
    """Commands and edits of a page, in order."""
    for found in STEP.finditer(page.read_text(encoding="utf-8")):
        if found["path"]:
            yield Edit(found["path"], found["old"].replace("\\n", "\n"), found["new"].strip())
        elif found["file"]:
            yield Edit(found["file"], None, found["text"])
        else:
            yield from calls_of(found["console"])


def calls_of(block: str) -> Iterator[Call]:
    """Commands of one console block; ``[exit code N]`` is their exit code, 0 without."""
    for part in re.split(r"^\$ exvivo ", block, flags=re.MULTILINE)[1:]:
        command, *lines = part.strip().splitlines()
        code = next((int(found[1]) for line in lines if (found := re.fullmatch(r"\[exit code (\d+)\]", line))), 0)
        yield Call(tuple(shlex.split(command)), tuple(line for line in lines if line != "..." and not line.startswith("[exit code")), code)


def follow(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Do in the working folder what a page says."""
    for step in steps_of(page):
        if isinstance(step, Edit):
            change(step)
            continue
        own_process = ("--workers", "1") if step.arguments[0] in {"run", "simulate", "calibrate"} else ()
        code = main([*step.arguments, *own_process])
        told = capsys.readouterr()
        said = f"exvivo {shlex.join(step.arguments)} said:\n{told.out}{told.err}"
        assert code == step.code, said
        lines = [line.replace("\\", "/") for line in (told.out + told.err).splitlines()]
        for quoted in step.quoted:
            pattern = ".*".join(re.escape(part.strip()) for part in quoted.split("..."))
            assert any(re.fullmatch(pattern, line.strip()) for line in lines), f"no line {quoted!r}; {said}"


def change(edit: Edit) -> None:
    path = Path(edit.path)
    if edit.old is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(edit.new, encoding="utf-8", newline="\n")
        return
    text = path.read_text(encoding="utf-8")
    assert edit.old in text, f"{edit.path} does not hold {edit.old!r}"
    path.write_text(text.replace(edit.old, edit.new), encoding="utf-8", newline="\n")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tutorial's study with its raw files, not yet run."""
    folder = tmp_path_factory.mktemp("simulated") / "my-study"
    assert main(["simulate", str(folder), "--seed", "1", "--donors", "6+3", "--workers", "1"]) == 0
    return folder


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    follow(ROOT / "docs" / "tutorial.md", capsys)


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs" / "howto").glob("*.md")))
def test_how_to_pages_do_what_they_say(
    page: str, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(simulated, tmp_path / "my-study")
    monkeypatch.chdir(tmp_path)
    follow(ROOT / "docs" / "howto" / page, capsys)


def test_documents_keep_to_the_width_and_pictures_are_small() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        if page.parent.name != "reference":
            prose = [line for line in page.read_text(encoding="utf-8").splitlines() if not line.startswith("|")]
            assert max(map(len, prose)) <= 140, page
    assert all(path.stat().st_size < 200_000 for path in (ROOT / "docs" / "images").iterdir())
