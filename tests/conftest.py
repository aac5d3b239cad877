"""What all tests share: compiled programs are kept on disk between runs, and single precision stays JAX's default."""

from __future__ import annotations

import ctypes
import gc
import importlib.metadata
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "jax"

# Through the environment, so that child processes (the command line, kernels) share the cache, and so that a test of
# what `import ssmlang` imports finds no JAX put there by this file.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of a test's time is XLA's, compiling programs that run for milliseconds: compiled simply they are ready three
# times as fast. `XLA_FLAGS= pytest` compiles them as a user's are. XLA ends the process at a flag that it does not
# know, and its flags come and go, hence the version.
if importlib.metadata.version("jaxlib").startswith("0.10."):
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
        " --xla_cpu_parallel_codegen_split_count=1",
    )
os.environ.setdefault("MPLBACKEND", "Agg")
# Threads of several test processes wait for each other in loops: a small Cholesky factor takes 400 times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("SSMLANG_PROGRESS", "off")
# Tracing makes many small objects that live; looking for dead ones among them takes a fifth of its time.
gc.set_threshold(100_000, 20, 100)


_THOROUGH = Path(__file__).with_name("thorough.txt")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the tests that are listed as thorough; a line of the list that is no test any more is an error."""
    listed = {line for line in _THOROUGH.read_text().splitlines() if not line.startswith("#")}
    for item in items:
        if item.nodeid in listed:
            item.add_marker("thorough")
    if any("::" in argument for argument in config.args):
        return
    known, files = {item.nodeid for item in items}, {item.nodeid.partition("::")[0] for item in items}
    for line in sorted(listed - known):
        file = line.partition("::")[0]
        if file in files or not (config.rootpath / file).exists():
            raise pytest.UsageError(f"{_THOROUGH.name} lists what is no test: {line}")


ROOM = 3 * 2**30
"""Bytes of a process from which on compiled programs are forgotten between the files of tests."""


@pytest.fixture(autouse=True, scope="module")
def room() -> Iterator[None]:
    """JAX keeps every program that it has compiled: some gigabytes over all tests."""
    import sys

    yield
    pages = Path("/proc/self/statm")
    held = int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if pages.exists() else 0
    if "jax" in sys.modules and held > ROOM:
        import jax

        jax.clear_caches()
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


@pytest.fixture(autouse=True)
def precision_is_left_as_it_was() -> Iterator[None]:
    """A test that leaves double precision switched on would hide that the package needs it switched on."""
    import sys

    yield
    if "jax" in sys.modules:
        import jax

        assert not jax.config.jax_enable_x64, "the test left jax_enable_x64 on"


@pytest.fixture(scope="session")
def nile() -> str:
    """The path of the Nile's model."""
    return str(Path(__file__).resolve().parent.parent / "stdlib" / "models" / "nile.ssm")


@pytest.fixture
def compilations() -> Callable[[], AbstractContextManager[list[str]]]:
    """`with compilations() as found`: the names of the functions that XLA compiles meanwhile, kept on disk or not."""
    from jax import monitoring

    @contextmanager
    def watch() -> Iterator[list[str]]:
        found: list[str] = []

        def listen(event: str, seconds: float, **more: Any) -> None:
            if event == "/jax/core/compile/backend_compile_duration":
                found.append(str(more.get("fun_name")))

        monitoring.register_event_duration_secs_listener(listen)
        try:
            yield found
        finally:
            monitoring.unregister_event_duration_listener(listen)

    return watch
