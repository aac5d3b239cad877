"""From text to a checked Model: the part of `compile` that needs no JAX, shared by every face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ssmlang.language import syntax as syn
from ssmlang.language.allow import ANALYSIS, silence, unused, wrong
from ssmlang.language.diagnostics import Diagnostic, Findings, SsmError
from ssmlang.language.expand import expand
from ssmlang.language.files import read_model_file
from ssmlang.language.parser import parse
from ssmlang.language.source import Source
from ssmlang.model.elaborate import elaborate
from ssmlang.model.model import Model


@dataclass(frozen=True)
class Checked:
    """A text with everything that was made of it; `model` is None where an error was found."""

    source: Source
    tree: syn.Program
    flat: syn.Program
    model: Model | None
    findings: tuple[Diagnostic, ...]

    def require(self) -> Model:
        """The Model, or SsmError with all that was found."""
        if self.model is None:
            raise SsmError(self.findings)
        return self.model


def check_text(
    text: str,
    *,
    name: str = "model",
    stem: str | None = None,
    base: Path | None = None,
    constants: Mapping[str, Any] | None = None,
    augment: Mapping[str, Any] | None = None,
) -> Checked:
    """Parse, expand and elaborate a text.

    `name` is what messages call it, `stem` the model's name where the text gives none; imports of files are found
    beside `base`.
    """
    findings = Findings()
    source = Source(name, text.removeprefix("\ufeff"))
    tree = parse(source, findings)
    flat = expand(tree, base=base, findings=findings)
    stem = stem or (Path(name).stem if name.endswith(".ssm") else name)
    model = elaborate(flat, name=stem, findings=findings, constants=constants, augment=augment)
    if model is not None and any(p.support.kind == "stationary" for p in model.parameters.values()):
        from ssmlang.model.autoregression import check_stationary

        check_stationary(model, findings)
    model = None if findings.has_errors else model
    return _allowed(Checked(source, tree, flat, model, tuple(findings)))


def _allowed(checked: Checked) -> Checked:
    """Without the warnings that comments of the file allow, and with what is wrong with those comments."""
    source = checked.source
    found, spent = silence(checked.findings, checked.flat.parts)
    found += (errors := wrong(source))
    model = None if errors else checked.model
    if model is not None:
        found += unused(source, spent, lambda code: code[1] != ANALYSIS)
    return replace(checked, model=model, findings=tuple(Findings(found)))


def check_file(path: str | Path, **options: Any) -> Checked:
    """`check_text` of a file; imports are found beside it. Raises E701 where it cannot be read."""
    path = Path(path)
    return check_text(read_model_file(path), name=str(path), base=path.parent, **options)


def check(source: str | Path, **options: Any) -> Checked:
    """A text if it has a newline, else a path."""
    if isinstance(source, str) and "\n" in source:
        return check_text(source, **options)
    return check_file(source, **options)
