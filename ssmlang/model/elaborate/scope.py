"""Names: what each one stands for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from ssmlang.language import syntax as syn
from ssmlang.language.diagnostics import Findings, Fix, Label
from ssmlang.language.source import Span
from ssmlang.language.suggest import respelt, suggest
from ssmlang.model import expr
from ssmlang.model.elaborate.values import Val
from ssmlang.model.expr import Axis

Sort = Literal["const", "axis", "param", "input", "state", "noise", "obs", "let", "def", "lift"]
SERIES = ("input", "state", "noise", "obs", "lift")
NOUN = {
    "const": "a constant", "axis": "an axis", "param": "a parameter", "input": "an input", "state": "a state",
    "noise": "a noise", "obs": "an observation", "let": "a definition", "def": "a function", "lift": "a lift",
}  # fmt: skip
MOST_SHOWN = 12
RESERVED_DIMENSIONS = ("time", "chain", "draw", "sample", "pred_id", "state", "state_", "obs", "obs_", "component")
"""Names of dimensions of the results."""


class Problem(Exception):
    """What is being elaborated is broken; a diagnostic says so already."""


@dataclass
class Symbol:
    """A declared name. `shape` and `axes` are known once its declaration has been elaborated."""

    name: str
    sort: Sort
    span: Span
    statement: syn.Statement
    decl: syn.Decl | None = None
    shape: tuple[int, ...] = ()
    axes: tuple[Axis | None, ...] = ()
    sound: bool = True
    used: bool = False
    series: bool = False
    """For a let: it has a value a row."""


@dataclass
class Scope:
    """The names of a file, the loop indices and arguments in force, and where findings go."""

    findings: Findings
    symbols: dict[str, Symbol] = field(default_factory=dict)
    axes: dict[str, Axis] = field(default_factory=dict)
    locals: list[dict[str, Val]] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    """Loops in force, outermost first, under names of their own."""
    past: dict[str, str] = field(default_factory=dict)
    """Indices of sums over the whole past: their name in nodes."""
    expected: list[Axis | None] = field(default_factory=list)
    broken: frozenset[str] = frozenset()
    """Words of statements that could not be read: what they would have declared is not called unknown."""

    def error(
        self,
        code: str,
        message: str,
        span: Span,
        label: str = "",
        *,
        help: str | tuple[str, ...] = (),
        why: str | tuple[str, ...] = (),
        others: tuple[Label, ...] = (),
        fix: Fix | None = None,
    ) -> Problem:
        """Record an error and hand back what to raise."""
        self.findings.add(code, message, span, label, help=help, why=why, others=others, fix=fix)
        return Problem()

    def declare(self, symbol: Symbol) -> None:
        """Enter a name; one that is there already is an error that shows both places."""
        old = self.symbols.get(symbol.name)
        if old is not None:
            self.error(
                "E202",
                f"`{symbol.name}` is declared twice",
                symbol.span,
                "declared again here",
                others=(Label(old.span, f"first declared here, as {NOUN[old.sort]}"),),
                help="give one of them another name",
            )
            old.sound = old.sound and symbol.sort == old.sort
            return
        if symbol.name in RESERVED_DIMENSIONS and symbol.sort not in ("const", "def"):
            self.error(
                "E217",
                f"`{symbol.name}` is the name of a dimension of the results",
                symbol.span,
                "cannot be used here",
                help="choose another name",
            )
        self.symbols[symbol.name] = symbol

    def local(self, name: str) -> Val | None:
        for frame in reversed(self.locals):
            if name in frame:
                return frame[name]
        return None

    def axis_of_label(self, label: str) -> Axis | None:
        return next((a for a in self.axes.values() if label in a.labels), None)

    def unknown(self, name: str, span: Span, *, what: str = "name") -> Problem:
        """The error for a name that stands for nothing."""
        if name in self.broken or name.startswith("_."):  # what expansion leaves of a name that it complained of
            return Problem()
        axis = self.axis_of_label(name)
        if axis is not None:
            return self.error(
                "E201",
                f"`{name}` is a label of axis `{axis.name}`, not a value",
                span,
                "a label stands only inside an index",
                help=(
                    "write it inside an index of that axis, or beside a value of that axis (==)",
                    f"a value gets its axis where it is declared: `let v[{axis.name}] = ...`",
                ),
            )
        names = [*self.symbols, *(n for f in self.locals for n in f)]
        close = suggest(name, names)
        return self.error(
            "E201",
            f"unknown {what} `{name}`",
            span,
            "nothing of this name is declared",
            help=f"did you mean `{close}`?" if close else self._declaring(name, what),
            fix=respelt(span, name, names),
        )

    def _declaring(self, name: str, what: str) -> tuple[str, ...]:
        """How a name with none near it comes to stand for something, and what does."""
        if what == "axis":
            ways, known = f"declare it: `axis {name} = {{a, b}}` or `axis {name} = 1..3`", [*self.axes]
        elif what != "name":
            ways, known = f"declare it: `axis {name} = {{a, b}}` or `const {name} = 3`", [*self.axes]
        else:
            ways = f"declare it: `param {name} ~ ...` if unknown, `const {name} = ...` or `input {name}` if known"
            known = [n for n in self.symbols if "." not in n and not n.startswith("_")]
        shown = ", ".join(known[:MOST_SHOWN]) + (", ..." if len(known) > MOST_SHOWN else "")
        return (ways, f"declared {'is' if len(known) == 1 else 'are'}: {shown}") if known else (ways,)

    @contextmanager
    def bind(self, frame: dict[str, Val]) -> Iterator[None]:
        self.locals.append(frame)
        try:
            yield
        finally:
            self.locals.pop()

    @contextmanager
    def expecting(self, axis: Axis | None) -> Iterator[None]:
        """Labels of `axis` may stand as values in what follows."""
        self.expected.append(axis)
        try:
            yield
        finally:
            self.expected.pop()

    @contextmanager
    def isolated(self) -> Iterator[None]:
        """Without the loop indices and arguments of the place of use: a `let` means the same everywhere."""
        kept = self.locals, self.loops, self.past, self.expected
        self.locals, self.loops, self.past, self.expected = [], [], {}, []
        try:
            yield
        finally:
            self.locals, self.loops, self.past, self.expected = kept

    def label_position(self, name: str, axis: Axis) -> Val | None:
        if axis.is_named and name in axis.labels:
            return Val(expr.const(axis.labels.index(name), domain=axis))  # type: ignore[arg-type]
        return None
