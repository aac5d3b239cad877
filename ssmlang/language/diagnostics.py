"""Diagnostics as values: what is wrong, where, why and what would mend it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from ssmlang.language.source import Span

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Edit:
    """Replace the text of `span` by `text`."""

    span: Span
    text: str


@dataclass(frozen=True)
class Fix:
    """Edits that mend a finding; `safe` ones keep the meaning of everything else."""

    message: str
    edits: tuple[Edit, ...]
    safe: bool = False


@dataclass(frozen=True)
class Label:
    """A further place that matters, with its own few words."""

    span: Span
    text: str


@dataclass(frozen=True)
class Diagnostic:
    """One finding.

    `message` is one sentence in the user's terms (the headline); `label` stands beside the carets under `span`;
    `why` and `help` are the reason and the mend. A finding about data or a call has no `span`.
    """

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    why: tuple[str, ...] = ()
    help: tuple[str, ...] = ()
    others: tuple[Label, ...] = ()
    fix: Fix | None = None

    @property
    def severity(self) -> Severity:
        """E codes are errors, W codes warnings, N codes notes."""
        return {"E": "error", "W": "warning", "N": "note"}[self.code[0]]  # type: ignore[return-value]


class SsmError(Exception):
    """The one exception of ssmlang: at least one diagnostic is an error. `diagnostics` holds all of them."""

    def __init__(self, diagnostics: Iterable[Diagnostic] | Diagnostic) -> None:
        if isinstance(diagnostics, Diagnostic):
            diagnostics = (diagnostics,)
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        from ssmlang.language.render import render_text

        return "\n" + render_text(self.diagnostics)

    def _render_traceback_(self) -> list[str]:
        # IPython shows these lines instead of a traceback and still counts the cell as failed.
        from ssmlang.language.render import render_text

        return render_text(self.diagnostics).splitlines()


class SsmWarning(UserWarning):
    """What is given by `warnings.warn` where a result is computed and may mislead. `diagnostic` has the code."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        self.diagnostic = diagnostic
        super().__init__(diagnostic)

    def __str__(self) -> str:
        from ssmlang.language.render import render_text

        return "\n" + render_text((self.diagnostic,))


@dataclass
class Findings:
    """A growing list of diagnostics, shared by the stages of one compilation."""

    items: list[Diagnostic] = field(default_factory=list)
    _seen: dict[tuple[str, Span], Diagnostic] = field(default_factory=dict, repr=False)

    def add(
        self,
        code: str,
        message: str,
        span: Span | None = None,
        label: str = "",
        *,
        why: str | tuple[str, ...] = (),
        help: str | tuple[str, ...] = (),
        others: tuple[Label, ...] = (),
        fix: Fix | None = None,
    ) -> Diagnostic:
        """Record a finding (once: the same code at the same span is not repeated)."""
        if span is not None and (old := self._seen.get((code, span))) is not None:
            return old
        whys, helps = ((text,) if isinstance(text, str) else tuple(text) for text in (why, help))
        found = Diagnostic(code, message, span, label, whys, helps, others, fix)
        self.items.append(found)
        if span is not None:
            self._seen[code, span] = found
        return found

    def mark(self) -> int:
        """Where the list stands now, for `rewind`."""
        return len(self.items)

    def rewind(self, mark: int) -> None:
        """Forget what was found since `mark`: it was a trial."""
        for d in self.items[mark:]:
            if d.span is not None:
                self._seen.pop((d.code, d.span), None)
        del self.items[mark:]

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self.sorted())

    @property
    def has_errors(self) -> bool:
        return any(d.severity == "error" for d in self.items)

    def sorted(self) -> list[Diagnostic]:
        """In the order of the text, findings without a place last."""

        def key(d: Diagnostic) -> tuple[int, str, int]:
            return (1, "", 0) if d.span is None else (0, d.span.source.name, d.span.start)

        return sorted(self.items, key=key)

    def raise_errors(self) -> None:
        """Raise SsmError with everything found if any of it is an error."""
        if self.has_errors:
            raise SsmError(self.sorted())
