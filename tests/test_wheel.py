"""The wheel, installed into a fresh environment, works outside the repository: grammar, library and data are in it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
        text=True,
    )
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it; what the wheel depends on is lent by the one that runs the tests."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    python = home / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True)
    own = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    # A folder named by a .pth file comes last on the path, and .pth files in it (editable installs) are not read.
    Path(own, "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def run(environment: Path, folder: Path, *words: str) -> str:
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [environment / "bin" / words[0], *words[1:]], cwd=folder, env=clean, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_grammar_library_data_and_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for path in (ROOT / "grammar").rglob("*.lark"):
        assert f"ssmlang/{path.relative_to(ROOT)}" in names
    for path in (ROOT / "stdlib").rglob("*.ssm"):
        assert f"ssmlang/{path.relative_to(ROOT)}" in names
    for path in (ROOT / "ssmlang" / "data" / "csv").iterdir():
        assert f"ssmlang/data/csv/{path.name}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests", "docs", "benchmarks")) for name in names)


def test_the_installed_package_is_the_one_in_the_wheel(environment: Path, tmp_path: Path) -> None:
    where = run(environment, tmp_path, "python", "-c", "import ssmlang; print(ssmlang.__file__)")
    assert Path(where.strip()).is_relative_to(environment)


def test_the_command_works_outside_the_repository(environment: Path, tmp_path: Path) -> None:
    run(environment, tmp_path, "ssmlang", "new", "sales", "--like", "structural")
    assert "clean" in run(environment, tmp_path, "ssmlang", "check", "sales.ssm")
    assert "trend.slope" in run(environment, tmp_path, "ssmlang", "expand", "sales.ssm")
    run(environment, tmp_path, "ssmlang", "fmt", "--check", "sales.ssm")


def test_the_data_sets_are_there(environment: Path, tmp_path: Path) -> None:
    code = "import ssmlang; print({n: len(ssmlang.data.load(n)) for n in ssmlang.data.names()})"
    sizes = run(environment, tmp_path, "python", "-c", code)
    assert "'nile': 100" in sizes and "'airline': 144" in sizes


def test_the_lexer_is_registered(environment: Path, tmp_path: Path) -> None:
    code = "from pygments.lexers import get_lexer_for_filename as f; print(type(f('m.ssm')).__name__)"
    assert run(environment, tmp_path, "python", "-c", code).strip() == "SsmLexer"
