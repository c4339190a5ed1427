"""The wheel holds what the package needs, and works from another folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, as an installer would lay it out."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)  # noqa: S603  our own interpreter
    (wheel,) = folder.glob("exvivo-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_ships_licence_templates_and_texts(unpacked: Path) -> None:
    for name in ("templates/ssc-ruxolitinib/study.yaml", "templates/blank/study.yaml", "text/en.toml", "py.typed"):
        assert (unpacked / "exvivo" / name).is_file()
    assert list(unpacked.glob("exvivo-*.dist-info/licenses/LICENSE"))
    assert list((unpacked / "exvivo" / "report" / "templates").glob("*.jinja"))


@pytest.mark.slow
def test_the_wheel_runs_a_study_from_another_folder_under_a_french_locale(unpacked: Path, tmp_path: Path) -> None:
    folder = tmp_path / "étude à lire"
    environment = os.environ | {
        "PYTHONPATH": str(unpacked),
        "LC_ALL": "fr_FR.UTF-8",
        "LANG": "fr_FR.UTF-8",
        "PYTHONWARNDEFAULTENCODING": "1",
    }
    code = (
        "import sys, exvivo.cli as cli\n"
        "folder = sys.argv[1]\n"
        f"assert cli.__file__.startswith({str(unpacked)!r}), cli.__file__\n"
        "for call in (['init', folder], ['simulate', folder, '--donors', '6+3', '--workers', '1'], ['check', folder],\n"
        "             ['run', folder, '--workers', '1'], ['verify', folder], ['qualify']):\n"
        "    assert cli.main(call) == 0, call\n"
    )
    done = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-W", "error::EncodingWarning:exvivo", "-c", code, str(folder)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (folder / "results" / "report.html").is_file()
    assert ",0." in (folder / "results" / "tables" / "concentrations.csv").read_text(encoding="utf-8").replace("\n", ",")
