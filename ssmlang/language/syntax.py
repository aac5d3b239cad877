"""The syntax tree: frozen dataclasses, each with the span it was read from.

Two trees are equal when they say the same; spans, comments and redundant parentheses do not count.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Union

from ssmlang.language.source import Span


@dataclass(frozen=True, kw_only=True)
class Node:
    span: Span = field(compare=False, repr=False)


# ---------------------------------------------------------------------------------------------- expressions


@dataclass(frozen=True)
class Number(Node):
    """A literal as written: `text` is `12`, `0.5` or `1e-3`."""

    text: str

    @property
    def value(self) -> int | float:
        return int(self.text) if self.text.isdigit() else float(self.text)


@dataclass(frozen=True)
class Name(Node):
    """A name; after expansion of components it may be dotted (`trend.level`)."""

    id: str


@dataclass(frozen=True)
class Unary(Node):
    op: Literal["-", "not"]
    operand: Expr


@dataclass(frozen=True)
class Binary(Node):
    """`+ - * / ^ @ %`, the comparisons `< <= > >= == !=`, and `and`, `or`."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Conditional(Node):
    test: Expr
    then: Expr
    otherwise: Expr


@dataclass(frozen=True)
class Transpose(Node):
    operand: Expr


@dataclass(frozen=True)
class Member(Node):
    """`trend.slope`, before the expansion of components."""

    value: Expr
    name: Name


@dataclass(frozen=True)
class Subscript(Node):
    value: Expr
    indices: tuple[Expr, ...]


@dataclass(frozen=True)
class Argument(Node):
    name: Name | None
    value: Expr


@dataclass(frozen=True)
class Call(Node):
    function: Expr
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class Array(Node):
    items: tuple[Expr, ...]


@dataclass(frozen=True)
class Range(Node):
    """`first..last`, both ends included."""

    first: Expr
    last: Expr


@dataclass(frozen=True)
class Loop(Node):
    """`for variable in domain`; the domain is a range or the name of an axis."""

    variable: Name
    domain: Expr | Range


@dataclass(frozen=True)
class Comprehension(Node):
    """`[body for i in a for j in b]`."""

    body: Expr
    loops: tuple[Loop, ...]


@dataclass(frozen=True)
class Reduction(Node):
    """`sum(body for k in lag)`; also prod, max, min."""

    function: Name
    body: Expr
    loops: tuple[Loop, ...]


Expr = Union[
    Number, Name, Unary, Binary, Conditional, Transpose, Member, Subscript, Call, Array, Comprehension, Reduction
]

# ----------------------------------------------------------------------------------------------- statements


@dataclass(frozen=True, kw_only=True)
class Statement(Node):
    doc: str | None = None
    """The text of the `##` lines just above, without the marks."""


@dataclass(frozen=True)
class Decl(Node):
    """A declared name with its dimensions: `loading[m, r]`."""

    name: Name
    dims: tuple[Expr, ...] = ()


@dataclass(frozen=True)
class Target(Node):
    """The left side of an equation, `init` or `let`: `x[t, i]`, with `indices` as written (the row first)."""

    name: Name
    indices: tuple[Expr, ...] = ()


@dataclass(frozen=True)
class Header(Statement):
    name: Name


@dataclass(frozen=True)
class ImportItem(Node):
    name: Name
    alias: Name | None


@dataclass(frozen=True)
class Import(Statement):
    """`from structural import ...` (a dotted name of the standard library) or `from "./mine.ssm" import ...`."""

    module: str
    is_path: bool
    items: tuple[ImportItem, ...]
    module_span: Span = field(compare=False, repr=False)


@dataclass(frozen=True)
class Const(Statement):
    decl: Decl
    value: Expr | None


@dataclass(frozen=True)
class LabelSet(Node):
    labels: tuple[Name, ...]


@dataclass(frozen=True)
class AxisDecl(Statement):
    name: Name
    labels: LabelSet | Range


@dataclass(frozen=True)
class Interval(Node):
    lower: Expr
    upper: Expr


@dataclass(frozen=True)
class Param(Statement):
    """`support` is an interval or a name (`stationary`)."""

    decls: tuple[Decl, ...]
    support: Interval | Name | None
    prior: Expr | None
    augment: bool
    walk: Expr | None


@dataclass(frozen=True)
class Input(Statement):
    decls: tuple[Decl, ...]


@dataclass(frozen=True)
class State(Statement):
    """`domain`: None for a real state; the name of an axis, or a range, for a discrete one."""

    decls: tuple[Decl, ...]
    domain: Expr | Range | None


@dataclass(frozen=True)
class Noise(Statement):
    decls: tuple[Decl, ...]
    law: Expr


@dataclass(frozen=True)
class Obs(Statement):
    decls: tuple[Decl, ...]
    domain: Expr | Range | None


@dataclass(frozen=True)
class Let(Statement):
    """`target` has the row as its first index for a series; else its indices declare the axes of the value."""

    target: Target
    value: Expr
    loops: tuple[Loop, ...]


@dataclass(frozen=True)
class Def(Statement):
    name: Name
    params: tuple[Name, ...]
    body: Expr


@dataclass(frozen=True)
class Part(Statement):
    name: Name
    component: Name
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class Component(Statement):
    name: Name
    params: tuple[Name, ...]
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class Out(Statement):
    value: Expr


@dataclass(frozen=True)
class Init(Statement):
    """`joint`: the targets were in parentheses, one law for all of them stacked."""

    targets: tuple[Target, ...]
    joint: bool
    relation: Literal["~", "="]
    law: Expr
    loops: tuple[Loop, ...]


@dataclass(frozen=True)
class Lift(Statement):
    target: Target
    value: Expr
    mode: Literal["exact", "fitted"]


@dataclass(frozen=True)
class Assert(Statement):
    claims: tuple[Expr, ...]


@dataclass(frozen=True)
class Equation(Statement):
    """A transition or an emission; `joint` as in Init."""

    targets: tuple[Target, ...]
    joint: bool
    relation: Literal["~", "="]
    value: Expr
    loops: tuple[Loop, ...]


@dataclass(frozen=True)
class Sde(Statement):
    """`d(x) = value`."""

    target: Target
    value: Expr
    loops: tuple[Loop, ...]


@dataclass(frozen=True)
class Comment(Node):
    """A `#` comment; `text` without the mark."""

    text: str


@dataclass(frozen=True)
class Program(Node):
    """A file: its statements in the order written, the model's own `##` text, and the comments for the formatter."""

    statements: tuple[Statement, ...]
    doc: str | None = None
    comments: tuple[Comment, ...] = field(default=(), compare=False, repr=False)
    broken: tuple[Span, ...] = field(default=(), compare=False, repr=False)
    """Statements left out because of syntax errors; every word in them may be a name that they would have declared."""
