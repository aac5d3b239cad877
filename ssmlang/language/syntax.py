"""The syntax tree: frozen dataclasses, each with the span it was read from.

Two trees are equal when they say the same; spans, comments and redundant parentheses do not count.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field, fields
from typing import Literal, Union

from ssmlang.language.source import Span


@dataclass(kw_only=True, eq=False, repr=False)
class Node:
    span: Span = field(compare=False, repr=False)

    # Without a docstring `dataclass` makes one from the signature, for each of the many classes: a tenth of the time in
    # which a file is formatted.
    def __init_subclass__(cls) -> None:
        if cls.__doc__ is None:
            cls.__doc__ = cls.__name__

    # Frozen, compared and shown by what is written once here, and not by what `dataclass` would make for each of the
    # many classes: that would be a quarter of the time in which a file is formatted.
    def __setattr__(self, name: str, value: object) -> None:
        if name in self.__dict__ or name not in self.__dataclass_fields__:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        self.__dict__[name] = value

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    # Without recursion: trees may be as deep as the parser's bound.
    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        stack: list[tuple[object, object]] = [(self, other)]
        while stack:
            one, two = stack.pop()
            if one is two:
                continue
            if one.__class__ is not two.__class__:
                return False
            if isinstance(one, Node):
                stack.extend((getattr(one, name), getattr(two, name)) for name in _compared(type(one)))
            elif isinstance(one, tuple) and isinstance(two, tuple):
                if len(one) != len(two):
                    return False
                stack.extend(zip(one, two, strict=True))
            elif one != two:
                return False
        return True

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in _compared(type(self)))))

    def __repr__(self) -> str:
        shown = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.repr)
        return f"{type(self).__name__}({', '.join(shown)})"


_COMPARED: dict[type, tuple[str, ...]] = {}


def _compared(kind: type[Node]) -> tuple[str, ...]:
    if kind not in _COMPARED:
        _COMPARED[kind] = tuple(f.name for f in fields(kind) if f.compare)
    return _COMPARED[kind]


# ---------------------------------------------------------------------------------------------- expressions


@dataclass(eq=False, repr=False)
class Number(Node):
    """A literal as written: `text` is `12`, `0.5` or `1e-3`."""

    text: str

    @property
    def value(self) -> int | float:
        return int(self.text) if self.text.isdigit() else float(self.text)


@dataclass(eq=False, repr=False)
class Name(Node):
    """A name; after expansion of components it may be dotted (`trend.level`)."""

    id: str


@dataclass(eq=False, repr=False)
class Unary(Node):
    op: Literal["-", "not"]
    operand: Expr


@dataclass(eq=False, repr=False)
class Binary(Node):
    """`+ - * / ^ @ %`, the comparisons `< <= > >= == !=`, and `and`, `or`."""

    op: str
    left: Expr
    right: Expr


@dataclass(eq=False, repr=False)
class Conditional(Node):
    test: Expr
    then: Expr
    otherwise: Expr


@dataclass(eq=False, repr=False)
class Transpose(Node):
    operand: Expr


@dataclass(eq=False, repr=False)
class Member(Node):
    """`trend.slope`, before the expansion of components."""

    value: Expr
    name: Name


@dataclass(eq=False, repr=False)
class Subscript(Node):
    value: Expr
    indices: tuple[Expr, ...]


@dataclass(eq=False, repr=False)
class Argument(Node):
    name: Name | None
    value: Expr


@dataclass(eq=False, repr=False)
class Call(Node):
    function: Expr
    arguments: tuple[Argument, ...]


@dataclass(eq=False, repr=False)
class Array(Node):
    items: tuple[Expr, ...]


@dataclass(eq=False, repr=False)
class Range(Node):
    """`first..last`, both ends included."""

    first: Expr
    last: Expr


@dataclass(eq=False, repr=False)
class Loop(Node):
    """`for variable in domain`; the domain is a range or the name of an axis."""

    variable: Name
    domain: Expr | Range


@dataclass(eq=False, repr=False)
class Comprehension(Node):
    """`[body for i in a for j in b]`."""

    body: Expr
    loops: tuple[Loop, ...]


@dataclass(eq=False, repr=False)
class Reduction(Node):
    """`sum(body for k in lag)`; also prod, max, min."""

    function: Name
    body: Expr
    loops: tuple[Loop, ...]


Expr = Union[
    Number, Name, Unary, Binary, Conditional, Transpose, Member, Subscript, Call, Array, Comprehension, Reduction
]

# ----------------------------------------------------------------------------------------------- statements


@dataclass(kw_only=True, eq=False, repr=False)
class Statement(Node):
    doc: str | None = None
    """The text of the `##` lines just above, without the marks."""


@dataclass(eq=False, repr=False)
class Decl(Node):
    """A declared name with its dimensions: `loading[m, r]`."""

    name: Name
    dims: tuple[Expr, ...] = ()


@dataclass(eq=False, repr=False)
class Target(Node):
    """The left side of an equation, `init` or `let`: `x[t, i]`, with `indices` as written (the row first)."""

    name: Name
    indices: tuple[Expr, ...] = ()


@dataclass(eq=False, repr=False)
class Header(Statement):
    name: Name


@dataclass(eq=False, repr=False)
class ImportItem(Node):
    name: Name
    alias: Name | None


@dataclass(eq=False, repr=False)
class Import(Statement):
    """`from structural import ...` (a dotted name of the standard library) or `from "./mine.ssm" import ...`."""

    module: str
    is_path: bool
    items: tuple[ImportItem, ...]
    module_span: Span = field(compare=False, repr=False)


@dataclass(eq=False, repr=False)
class Const(Statement):
    decl: Decl
    value: Expr | None


@dataclass(eq=False, repr=False)
class LabelSet(Node):
    labels: tuple[Name, ...]


@dataclass(eq=False, repr=False)
class AxisDecl(Statement):
    name: Name
    labels: LabelSet | Range


@dataclass(eq=False, repr=False)
class Interval(Node):
    lower: Expr
    upper: Expr


@dataclass(eq=False, repr=False)
class Param(Statement):
    """`support` is an interval or a name (`stationary`)."""

    decls: tuple[Decl, ...]
    support: Interval | Name | None
    prior: Expr | None
    augment: bool
    walk: Expr | None


@dataclass(eq=False, repr=False)
class Input(Statement):
    decls: tuple[Decl, ...]


@dataclass(eq=False, repr=False)
class State(Statement):
    """`domain`: None for a real state; the name of an axis, or a range, for a discrete one."""

    decls: tuple[Decl, ...]
    domain: Expr | Range | None


@dataclass(eq=False, repr=False)
class Noise(Statement):
    decls: tuple[Decl, ...]
    law: Expr


@dataclass(eq=False, repr=False)
class Obs(Statement):
    decls: tuple[Decl, ...]
    domain: Expr | Range | None


@dataclass(eq=False, repr=False)
class Let(Statement):
    """`target` has the row as its first index for a series; else its indices declare the axes of the value."""

    target: Target
    value: Expr
    loops: tuple[Loop, ...]


@dataclass(eq=False, repr=False)
class Def(Statement):
    name: Name
    params: tuple[Name, ...]
    body: Expr


@dataclass(eq=False, repr=False)
class Part(Statement):
    name: Name
    component: Name
    arguments: tuple[Argument, ...]


@dataclass(eq=False, repr=False)
class Component(Statement):
    name: Name
    params: tuple[Name, ...]
    body: tuple[Statement, ...]


@dataclass(eq=False, repr=False)
class Out(Statement):
    value: Expr


@dataclass(eq=False, repr=False)
class Init(Statement):
    """`joint`: the targets were in parentheses, one law for all of them stacked."""

    targets: tuple[Target, ...]
    joint: bool
    relation: Literal["~", "="]
    law: Expr
    loops: tuple[Loop, ...]


@dataclass(eq=False, repr=False)
class Lift(Statement):
    target: Target
    value: Expr
    mode: Literal["exact", "fitted"]


@dataclass(eq=False, repr=False)
class Assert(Statement):
    claims: tuple[Expr, ...]


@dataclass(eq=False, repr=False)
class Equation(Statement):
    """A transition or an emission; `joint` as in Init."""

    targets: tuple[Target, ...]
    joint: bool
    relation: Literal["~", "="]
    value: Expr
    loops: tuple[Loop, ...]


@dataclass(eq=False, repr=False)
class Sde(Statement):
    """`d(x) = value`."""

    target: Target
    value: Expr
    loops: tuple[Loop, ...]


@dataclass(eq=False, repr=False)
class Comment(Node):
    """A `#` comment; `text` without the mark."""

    text: str


@dataclass(eq=False, repr=False)
class Program(Node):
    """A file: its statements in the order written, the model's own `##` text, and the comments for the formatter."""

    statements: tuple[Statement, ...]
    doc: str | None = None
    comments: tuple[Comment, ...] = field(default=(), compare=False, repr=False)
    broken: tuple[Span, ...] = field(default=(), compare=False, repr=False)
    """Statements left out because of syntax errors; every word in them may be a name that they would have declared."""
    parts: tuple[tuple[Span, Span], ...] = field(default=(), compare=False, repr=False)
    """Of a flat program: each `part` of the file itself with each component that was written out for it."""
