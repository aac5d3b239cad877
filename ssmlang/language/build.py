"""From lark's parse tree of one statement to the syntax tree."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Literal, cast

from lark import Token, Tree, v_args
from lark.tree import Meta
from lark.visitors import Transformer_NonRecursive

from ssmlang.language import syntax as s
from ssmlang.language.diagnostics import Edit, Findings, Fix
from ssmlang.language.source import Source, Span
from ssmlang.language.words import RESERVED

MAX_DEPTH = 200
MAX_DIGITS = 100


def depth(tree: Tree[Token]) -> int:
    """The depth of a parse tree, found without recursion."""
    deepest, stack = 0, [(tree, 1)]
    while stack:
        node, level = stack.pop()
        deepest = max(deepest, level)
        stack.extend((child, level + 1) for child in node.children if isinstance(child, Tree))
    return deepest


@v_args(meta=True)
class Builder(Transformer_NonRecursive):  # type: ignore[type-arg]
    """Builds the nodes of one statement; `offset` is where its text begins in the source."""

    def __init__(self, source: Source, offset: int, findings: Findings) -> None:
        super().__init__(visit_tokens=False)
        self.source = source
        self.offset = offset
        self.findings = findings
        self.sound = True

    # ------------------------------------------------------------------------------------------------ helpers

    def span(self, at: Meta | Token) -> Span:
        start, end = at.start_pos, at.end_pos
        assert start is not None and end is not None
        return Span(self.source, self.offset + start, self.offset + end)

    def error(
        self, code: str, message: str, span: Span, label: str = "", help: str | tuple[str, ...] = (),
        fix: Fix | None = None,
    ) -> None:  # fmt: skip
        self.findings.add(code, message, span, label, help=help, fix=fix)
        self.sound = False

    def declare(self, *names: s.Name, dt: bool = False) -> None:
        """Complain of names that the language keeps for itself."""
        for name in names:
            if RESERVED & set(name.id.split(".")) or (name.id == "dt" and not dt):
                why = "`dt` may only be a const or an input" if name.id == "dt" else "a word of the language"
                help_ = (f"choose another name, such as `{name.id}_`",)
                self.error("E104", f"`{name.id}` cannot be used as a name", name.span, why, help_)

    # ------------------------------------------------------------------------------------------------ expressions

    def name(self, meta: Meta, children: list[Any]) -> s.Name:
        """A name; where one is declared or given an equation it may be dotted, as expansion makes them."""
        return s.Name(".".join(self.word(c) for c in children if c.type == "NAME"), span=self.span(meta))

    def word(self, token: Token) -> str:
        span, text = self.span(token), str(token)
        id = unicodedata.normalize("NFKC", text)
        if not (text.isidentifier() and id.isidentifier()):
            odd = next((ch for ch in text if not ("a" + ch).isidentifier()), text)
            help_ = f"a power is written `^{unicodedata.normalize('NFKC', odd)}`" if odd in "²³⁴" else ""
            help_ = help_ or "names are made of letters, digits and underscores"
            self.error("E103", f"`{odd}` cannot be part of a name", span, help=help_, fix=self.power(span))
        return id

    def power(self, span: Span) -> Fix | None:
        """`sd²` is `sd^2`; with an index or arguments behind it the power would stand elsewhere."""
        plain = {"²": "^2", "³": "^3", "⁴": "^4"}.get(span.text[-1])
        if (
            plain is None
            or not span.text[:-1].isidentifier()
            or self.source.text[span.end :].lstrip()[:1] in ("[", "(")
        ):
            return None
        return Fix(f"write `{plain}`", (Edit(Span(self.source, span.end - 1, span.end), plain),), safe=True)

    def number(self, meta: Meta, children: list[Any]) -> s.Number:
        span, text = self.span(meta), str(children[0])
        if len(text) > MAX_DIGITS:
            self.error("E108", f"a number of more than {MAX_DIGITS} characters", span)
            text = "0"
        elif math.isinf(float(text)):
            self.error("E108", "a number too large for double precision", span, "the largest is about 1.8e308")
            text = "0"
        return s.Number(text, span=span)

    def group(self, meta: Meta, children: list[Any]) -> s.Expr:
        return cast(s.Expr, nodes(children)[0])

    def conditional(self, meta: Meta, children: list[Any]) -> s.Conditional:
        test, then, otherwise = nodes(children)
        return s.Conditional(test, then, otherwise, span=self.span(meta))

    def binary(self, meta: Meta, children: list[Any]) -> s.Binary:
        left, op, right = children
        return s.Binary(str(op), left, right, span=self.span(meta))

    def unary(self, meta: Meta, children: list[Any]) -> s.Unary:
        op, operand = children
        return s.Unary(cast(Literal["-", "not"], str(op)), operand, span=self.span(meta))

    def member(self, meta: Meta, children: list[Any]) -> s.Member:
        value, name = nodes(children)
        return s.Member(value, name, span=self.span(meta))

    def subscript(self, meta: Meta, children: list[Any]) -> s.Subscript:
        value, *indices = nodes(children)
        return s.Subscript(value, tuple(indices), span=self.span(meta))

    def call(self, meta: Meta, children: list[Any]) -> s.Call:
        function, *rest = [c for c in children if not isinstance(c, Token)]
        return s.Call(function, rest[0] if rest else (), span=self.span(meta))

    def reduction(self, meta: Meta, children: list[Any]) -> s.Expr:
        function, body, loops = [c for c in children if not isinstance(c, Token)]
        if not isinstance(function, s.Name):
            self.error("E101", "only sum, prod, max and min take a `for`", function.span, "not the name of a function")
            function = s.Name("sum", span=function.span)
        return s.Reduction(function, body, loops, span=self.span(meta))

    def transpose(self, meta: Meta, children: list[Any]) -> s.Transpose:
        return s.Transpose(nodes(children)[0], span=self.span(meta))

    def arguments(self, meta: Meta, children: list[Any]) -> tuple[s.Argument, ...]:
        arguments = tuple(nodes(children))
        named = False
        for argument in arguments:
            if named and argument.name is None:
                self.error("E101", "an argument without a name follows one with a name", argument.span, "name it too")
                break
            named = argument.name is not None
        return arguments

    def argument(self, meta: Meta, children: list[Any]) -> s.Argument:
        *name, value = nodes(children)
        return s.Argument(name[0] if name else None, value, span=self.span(meta))

    def array(self, meta: Meta, children: list[Any]) -> s.Array:
        return s.Array(tuple(nodes(children)), span=self.span(meta))

    def comprehension(self, meta: Meta, children: list[Any]) -> s.Comprehension:
        body, loops = [c for c in children if not isinstance(c, Token)]
        return s.Comprehension(body, loops, span=self.span(meta))

    def range(self, meta: Meta, children: list[Any]) -> s.Range:
        first, last = nodes(children)
        return s.Range(first, last, span=self.span(meta))

    def loop(self, meta: Meta, children: list[Any]) -> s.Loop:
        variable, domain = nodes(children)
        self.declare(variable)
        return s.Loop(variable, domain, span=self.span(meta))

    def loops(self, meta: Meta, children: list[Any]) -> tuple[s.Loop, ...]:
        return tuple(children)

    # ---------------------------------------------------------------------------------------- parts of statements

    def module(self, meta: Meta, children: list[Any]) -> tuple[str, Span]:
        return "".join(str(c) for c in children), self.span(meta)

    def import_item(self, meta: Meta, children: list[Any]) -> s.ImportItem:
        name, *alias = nodes(children)
        self.declare(alias[0] if alias else name)
        return s.ImportItem(name, alias[0] if alias else None, span=self.span(meta))

    def label_set(self, meta: Meta, children: list[Any]) -> s.LabelSet:
        labels = tuple(nodes(children))
        self.declare(*labels)
        return s.LabelSet(labels, span=self.span(meta))

    def interval(self, meta: Meta, children: list[Any]) -> s.Interval:
        lower, upper = nodes(children)
        return s.Interval(lower, upper, span=self.span(meta))

    def names(self, meta: Meta, children: list[Any]) -> tuple[s.Name, ...]:
        return tuple(nodes(children))

    def decls(self, meta: Meta, children: list[Any]) -> tuple[s.Decl, ...]:
        return tuple(nodes(children))

    def decl(self, meta: Meta, children: list[Any]) -> s.Decl:
        name, *dims = nodes(children)
        return s.Decl(name, tuple(dims), span=self.span(meta))

    def targets(self, meta: Meta, children: list[Any]) -> tuple[s.Target, ...]:
        return tuple(nodes(children))

    def target(self, meta: Meta, children: list[Any]) -> s.Target:
        name, *indices = nodes(children)
        return s.Target(name, tuple(indices), span=self.span(meta))

    # ------------------------------------------------------------------------------------------------ statements

    def header(self, meta: Meta, children: list[Any]) -> s.Header:
        return s.Header(nodes(children)[0], span=self.span(meta))

    def import_(self, meta: Meta, children: list[Any]) -> s.Import:
        _, module, _, *rest = children
        items = tuple(nodes(rest))
        if isinstance(module, Token):
            return s.Import(str(module)[1:-1], True, items, self.span(module), span=self.span(meta))
        name, where = module
        return s.Import(name, False, items, where, span=self.span(meta))

    def const(self, meta: Meta, children: list[Any]) -> s.Const:
        decl, *value = nodes(children)
        self.declare(decl.name, dt=True)
        return s.Const(decl, value[0] if value else None, span=self.span(meta))

    def axis(self, meta: Meta, children: list[Any]) -> s.AxisDecl:
        name, labels = nodes(children)
        self.declare(name)
        return s.AxisDecl(name, labels, span=self.span(meta))

    def param(self, meta: Meta, children: list[Any]) -> s.Param:
        return self._param(meta, children, augment=False)

    def augment(self, meta: Meta, children: list[Any]) -> s.Param:
        return self._param(meta, children, augment=True)

    def _param(self, meta: Meta, children: list[Any], augment: bool) -> s.Param:
        parts = marked(children)
        decls = parts["PARAM"]
        self.declare(*(d.name for d in decls))
        support, prior, walk = parts.get("IN"), parts.get("TILDE"), parts.get("WALK")
        return s.Param(decls, support, prior, augment, walk, span=self.span(meta))

    def input(self, meta: Meta, children: list[Any]) -> s.Input:
        decls = children[1]
        self.declare(*(d.name for d in decls), dt=True)
        return s.Input(decls, span=self.span(meta))

    def state(self, meta: Meta, children: list[Any]) -> s.State:
        parts = marked(children)
        self.declare(*(d.name for d in parts["STATE"]))
        return s.State(parts["STATE"], parts.get("IN"), span=self.span(meta))

    def noise(self, meta: Meta, children: list[Any]) -> s.Noise:
        parts = marked(children)
        self.declare(*(d.name for d in parts["NOISE"]))
        return s.Noise(parts["NOISE"], parts["TILDE"], span=self.span(meta))

    def obs(self, meta: Meta, children: list[Any]) -> s.Obs:
        parts = marked(children)
        self.declare(*(d.name for d in parts["OBS"]))
        return s.Obs(parts["OBS"], parts.get("IN"), span=self.span(meta))

    def let(self, meta: Meta, children: list[Any]) -> s.Let:
        _, target, _, value, *loops = children
        self.declare(target.name)
        return s.Let(target, value, loops[0] if loops else (), span=self.span(meta))

    def def_(self, meta: Meta, children: list[Any]) -> s.Def:
        _, name, *names, body = [c for c in children if not isinstance(c, Token) or c.type == "DEF"]
        self.declare(name, *(names[0] if names else ()), dt=True)
        return s.Def(name, names[0] if names else (), body, span=self.span(meta))

    def part(self, meta: Meta, children: list[Any]) -> s.Part:
        name, component, *arguments = [c for c in children if not isinstance(c, Token)]
        self.declare(name)
        return s.Part(name, component, arguments[0] if arguments else (), span=self.span(meta))

    def component_head(self, meta: Meta, children: list[Any]) -> s.Component:
        name, *names = [c for c in children if not isinstance(c, Token)]
        self.declare(name)
        self.declare(*(names[0] if names else ()), dt=True)
        return s.Component(name, names[0] if names else (), (), span=self.span(meta))

    def out(self, meta: Meta, children: list[Any]) -> s.Out:
        return s.Out(nodes(children)[0], span=self.span(meta))

    def init(self, meta: Meta, children: list[Any], joint: bool = False) -> s.Init:
        relation = next(c for c in children if isinstance(c, Token) and c.type in ("TILDE", "EQUALS"))
        targets, law, *loops = [c for c in children if not isinstance(c, Token)]
        how = cast(Literal["~", "="], str(relation))
        return s.Init(targets, joint, how, law, loops[0] if loops else (), span=self.span(meta))

    def init_joint(self, meta: Meta, children: list[Any]) -> s.Init:
        return self.init(meta, children, joint=True)

    def lift(self, meta: Meta, children: list[Any]) -> s.Lift:
        target, value = nodes(children)
        self.declare(target.name)
        return s.Lift(target, value, cast(Literal["exact", "fitted"], str(children[-1])), span=self.span(meta))

    def assert_(self, meta: Meta, children: list[Any]) -> s.Assert:
        return s.Assert(tuple(nodes(children)), span=self.span(meta))

    def sde(self, meta: Meta, children: list[Any]) -> s.Sde:
        target, value, *loops = [c for c in children if not isinstance(c, Token)]
        return s.Sde(target, value, loops[0] if loops else (), span=self.span(meta))

    def equation(self, meta: Meta, children: list[Any], joint: bool = False) -> s.Equation:
        relation = next(c for c in children if isinstance(c, Token) and c.type in ("TILDE", "EQUALS"))
        targets, value, *loops = [c for c in children if not isinstance(c, Token)]
        how = cast(Literal["~", "="], str(relation))
        many = targets if joint else (targets,)
        return s.Equation(many, joint, how, value, loops[0] if loops else (), span=self.span(meta))

    def equation_joint(self, meta: Meta, children: list[Any]) -> s.Equation:
        return self.equation(meta, children, joint=True)


def nodes(children: Iterable[Any]) -> list[Any]:
    """The children that are nodes, without the marks and words between them."""
    return [child for child in children if isinstance(child, s.Node)]


def marked(children: list[Any]) -> dict[str, Any]:
    """What follows each word or mark, by the name of its terminal."""
    pairs = pairwise(children)
    return {str(mark.type): value for mark, value in pairs if isinstance(mark, Token) and not isinstance(value, Token)}
