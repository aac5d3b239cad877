"""The environments of the peers under .cache/peers: one each, made from `benchmarks/peers/NAME.txt` when first run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = HERE / "peers"
ENVIRONMENTS = ROOT / ".cache" / "peers"

SHARED = ("ssmlang", "statsmodels")
"""Contestants that run in the environment of development, where both are installed."""


def find_python(given: str | None) -> str:
    """An interpreter that the peers run on, Python 3.12 or newer; raises RuntimeError where there is none."""
    for name in [given] if given else ["python3.12", "python3.13", "python3"]:
        found = shutil.which(name)
        works = [found, "-c", "import sys; sys.exit(sys.version_info < (3, 12))"] if found else ["false"]
        if subprocess.run(works, capture_output=True).returncode == 0:
            return str(found)
    raise RuntimeError("the peers need Python 3.12 or newer: --python /path/to/python3.12")


def interpreter(contestant: str, python: str | None) -> str:
    """The interpreter of a contestant, its environment made where there is none yet.

    Raises RuntimeError with the last lines of what went wrong where it cannot be installed.
    """
    if contestant in SHARED:
        return sys.executable
    home = ENVIRONMENTS / contestant
    ready = home / ".ready"
    requirements = PEERS / f"{contestant}.txt"
    if not ready.exists() or ready.read_text() != requirements.read_text():
        print(f"making the environment of {contestant} ...", file=sys.stderr)
        command(find_python(python), "-m", "venv", "--clear", str(home))
        command(str(home / "bin" / "python"), "-m", "pip", "install", "-q", "-r", str(requirements))
        ready.write_text(requirements.read_text())
    return str(home / "bin" / "python")


def command(*arguments: str) -> None:
    """Run a command; raises RuntimeError with its last lines where it fails."""
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError("\n".join([f"{' '.join(arguments)} failed:", *done.stdout.strip().splitlines()[-5:]]))


def variables(scratch: str, *, double: bool) -> dict[str, str]:
    """The environment variables of a contestant's process: CPU alone, caches of compiled code empty."""
    chosen = {
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "1" if double else "0",
        "JAX_ENABLE_COMPILATION_CACHE": "false",
        "PYTENSOR_FLAGS": f"base_compiledir={scratch}",
        "NUMBA_CACHE_DIR": scratch,
        "PYTHONWARNINGS": "ignore",
        "SSMLANG_PROGRESS": "off",
    }
    # Kernels of OpenBLAS chosen for another processor would slow down those who call it.
    kept = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    return kept | chosen
