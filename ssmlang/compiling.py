"""`ssmlang.compile` and `ssmlang.load`: from a text or a file to a model, a fit or a stream."""

from __future__ import annotations

import copyreg
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssmlang.compiled import Model
from ssmlang.frontend import check_file, check_text
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.language.source import Source

if TYPE_CHECKING:
    from ssmlang.running.fit import Fit
    from ssmlang.running.stream import Stream


def compile(
    source: str | Path,
    *,
    constants: Mapping[str, Any] | None = None,
    augment: Mapping[str, Any] | None = None,
) -> Model:
    """Compile a model: a path, or source text (a str with a newline).

    `constants` overrides or supplies `const` values. `augment={name: walk}` makes parameters join the state, with a
    random walk of that sd on their unconstrained scale. Raises SsmError with every error of the text.
    """
    if not isinstance(source, str | PathLike):
        raise SsmError(Diagnostic("E451", f"a value of type `{type(source).__name__}` is no model",
                                  help=("give a path, or the text of a model",)))  # fmt: skip
    if isinstance(source, str) and "\n" in source:
        checked = check_text(source, base=Path.cwd(), constants=constants, augment=augment)
    else:
        checked = check_file(source, constants=constants, augment=augment)
    return Model(checked, constants, augment)


def compile_source(
    source: Source,
    *,
    name: str = "model",
    base: Path | None = None,
    constants: Mapping[str, Any] | None = None,
    augment: Mapping[str, Any] | None = None,
) -> Model:
    """`compile` of a text under a name of its own in messages: a notebook's cell, standard input."""
    checked = check_text(source.text, name=source.name, stem=name, base=base, constants=constants, augment=augment)
    return Model(checked, constants, augment)


def load(path: str | Path) -> Fit | Stream:
    """Read a fit or a stream that `save` wrote. It forecasts, or goes on, as the original does."""
    from ssmlang.running.saved import load_saved

    return load_saved(Path(path), compile_source)


def _reduced(model: Model) -> tuple[Any, ...]:
    source = Source(model.checked.source.name, model.portable_text)
    return _restored, (source.name, source.text, model.name, model.constants, model.augment)


def _restored(where: str, text: str, name: str, constants: dict[str, Any], augment: dict[str, Any]) -> Model:
    return compile_source(Source(where, text), name=name, constants=constants, augment=augment)


# A model goes to another process as its text, and is compiled anew there: compiled programs cannot go.
copyreg.pickle(Model, _reduced)
