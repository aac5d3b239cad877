"""A language for state-space models: write the model as a paper states it, check it, run it on the right engine.

>>> import ssmlang
>>> model = ssmlang.compile("nile.ssm")
>>> fit = model.fit(ssmlang.data.load("nile"))
>>> fit.summary()

The names below are the whole public surface, beside the engine classes of `ssmlang.engines` and the data sets of
`ssmlang.data`. They are imported when first used, so that `import ssmlang` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssmlang import data as data
    from ssmlang import engines as engines
    from ssmlang.analysis.report import Report as Report
    from ssmlang.compiled import Model as Model
    from ssmlang.compiling import compile as compile
    from ssmlang.compiling import load as load
    from ssmlang.language.diagnostics import Diagnostic as Diagnostic
    from ssmlang.language.diagnostics import SsmError as SsmError
    from ssmlang.language.diagnostics import SsmWarning as SsmWarning
    from ssmlang.language.format import format_text as format_text
    from ssmlang.language.render import explain as explain
    from ssmlang.running.fit import Fit as Fit

# Public name -> the module that holds it; None: the name is a module of the package itself.
_HOMES: dict[str, str | None] = {
    "Diagnostic": "ssmlang.language.diagnostics",
    "Fit": "ssmlang.running.fit",
    "Model": "ssmlang.compiled",
    "Report": "ssmlang.analysis.report",
    "SsmError": "ssmlang.language.diagnostics",
    "SsmWarning": "ssmlang.language.diagnostics",
    "compile": "ssmlang.compiling",
    "data": None,
    "engines": None,
    "explain": "ssmlang.language.render",
    "format_text": "ssmlang.language.format",
    "load": "ssmlang.compiling",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("ssmlang")
    elif name in _HOMES:
        home = _HOMES[name]
        value = import_module(f"ssmlang.{name}") if home is None else getattr(import_module(home), name)
    else:
        raise AttributeError(f"module 'ssmlang' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    # What is imported on the way is no part of the surface, and stands in nobody's completions.
    return sorted({name for name in globals() if name.startswith("__")} | set(__all__))


def load_ipython_extension(shell: Any) -> None:
    """Register `%%ssm` and its neighbours in an IPython shell: `%load_ext ssmlang`."""
    from ssmlang.notebook import register

    register(shell)
