"""`ssmlang doctor`: versions, devices and optional parts, to put into a report of a fault."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

# fmt: off
NEEDED = (
    "ssmlang", "jax", "jaxlib", "numpyro", "numpy", "scipy", "xarray", "pandas", "arviz", "lark", "sympy",
    "matplotlib", "h5netcdf", "h5py", "narwhals", "rich", "tqdm",
)
# fmt: on
OPTIONAL = {
    "polars": "polars frames as data",
    "pyarrow": "Parquet files as data",
    "ipykernel": "notebooks",
    "ipywidgets": "progress bars in notebooks",
    "pygments": "coloured source",
    "pygls": "the language server",
}


def doctor(args: argparse.Namespace) -> int:
    """Print what this installation is made of; exit 1 if a part that is needed is missing or JAX does not work."""
    report = examine()
    if args.json:
        import json

        print(json.dumps(report, indent=2))
    else:
        _show(report)
    return 1 if report["trouble"] else 0


def examine() -> dict[str, Any]:
    """Versions of what is needed and of what is optional, the devices that JAX sees, and what is wrong."""
    needed = {name: _version(name) for name in NEEDED}
    trouble = [f"{name} is not installed" for name, v in needed.items() if v is None]
    devices: list[str] = []
    double = False
    try:
        import jax

        devices = [f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices()]
        with jax.enable_x64(True):
            double = bool(jax.jit(lambda x: x + 1e-12)(jax.numpy.ones(())) != 1)
        if not double:
            trouble.append("JAX does not compute in double precision")
    except Exception as error:
        trouble.append(f"JAX does not start: {type(error).__name__}: {error}")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "executable": sys.executable,
        "cores": os.cpu_count(),
        "packages": needed,
        "optional": {name: _version(name) for name in OPTIONAL},
        "devices": devices,
        "double_precision": double,
        "compilation_cache": os.environ.get("JAX_COMPILATION_CACHE_DIR"),
        "trouble": trouble,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _show(report: dict[str, Any]) -> None:
    print(f"python      {report['python']} ({report['executable']})")
    print(f"platform    {report['platform']}, {report['cores']} cores")
    for name, found in report["packages"].items():
        print(f"{name:<12}{found or 'missing'}")
    for name, found in report["optional"].items():
        print(f"{name:<12}{found or 'not installed'}  ({OPTIONAL[name]})")
    print(f"devices     {', '.join(report['devices']) or 'none'}")
    print(f"double      {'yes' if report['double_precision'] else 'no'}")
    for line in report["trouble"]:
        print(f"trouble: {line}")
    print("All is well." if not report["trouble"] else "Mend the above with: pip install --upgrade ssmlang")
