"""Random syntax trees: every form of the language, with names that are legal where they stand."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ssmlang.language import syntax as s
from ssmlang.language.source import Source, Span
from ssmlang.language.words import RESERVED

NOWHERE = Span(Source("made", ""), 0, 0)


def node(kind: type[s.Node], *parts: Any, **named: Any) -> Any:
    """A strategy for a node from strategies for its fields."""
    return st.builds(kind, *parts, span=st.just(NOWHERE), **named)


def several(strategy: st.SearchStrategy[Any], least: int = 1, most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, min_size=least, max_size=most).map(tuple)


_IDS = st.one_of(
    st.sampled_from(
        ["x", "y", "sd_level", "d", "walk", "exact", "fitted", "stationary", "gamma", "σ", "模型", "iff", "_"]
    ),
    st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True),
).filter(lambda word: word not in RESERVED and word != "dt")
names = node(s.Name, _IDS)
any_names = node(s.Name, st.one_of(_IDS, st.sampled_from(["t", "pi", "inf", "dW", "dt"])))
numbers = node(s.Number, st.sampled_from(["0", "1", "12", "0.5", "3.25", "1e-3", "2.5E+10", "007"]))


def _grow(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    binary = node(s.Binary, st.sampled_from([*"+-*/@%^<>", "<=", ">=", "==", "!=", "and", "or"]), inner, inner)
    domains = st.one_of(inner, node(s.Range, inner, inner))
    loops = several(node(s.Loop, names, domains), most=2)
    positional = several(node(s.Argument, st.none(), inner), 0, 2)
    named = several(node(s.Argument, names, inner), 0, 2)
    arguments = st.tuples(positional, named).map(lambda both: both[0] + both[1])
    return st.one_of(
        node(s.Unary, st.sampled_from(["-", "not"]), inner),
        binary,
        binary,
        node(s.Conditional, inner, inner, inner),
        node(s.Transpose, inner),
        node(s.Member, inner, names),
        node(s.Subscript, inner, several(inner)),
        node(s.Call, inner, arguments),
        node(s.Array, several(inner)),
        node(s.Comprehension, inner, loops),
        node(s.Reduction, names, inner, loops),
    )


exprs = st.recursive(st.one_of(any_names, numbers), _grow, max_leaves=10)
ranges = node(s.Range, exprs, exprs)
domains = st.one_of(exprs, ranges)
loops = several(node(s.Loop, names, domains), 0, 2)
arguments = st.tuples(
    several(node(s.Argument, st.none(), exprs), 0, 2), several(node(s.Argument, names, exprs), 0, 2)
).map(lambda both: both[0] + both[1])
decls = several(node(s.Decl, names, several(exprs, 0, 2)))
targets = several(node(s.Target, names, several(exprs, 0, 2)))
docs = st.none() | st.lists(
    st.text(st.characters(exclude_categories=("C", "Zl", "Zp", "Zs"), include_characters=" "), max_size=20).map(
        str.rstrip
    ),
    min_size=1,
    max_size=3,
).map("\n".join)


def statement(kind: type[s.Node], *parts: Any, **named: Any) -> st.SearchStrategy[Any]:
    return node(kind, *parts, doc=docs, **named)


def _import(module: str, is_path: bool, items: Any, doc: Any) -> s.Import:
    return s.Import(module, is_path, items, NOWHERE, doc=doc, span=NOWHERE)


_items = several(node(s.ImportItem, names, st.none() | names))
_imports = st.one_of(
    st.builds(_import, several(_IDS, 1, 2).map(".".join), st.just(False), _items, docs),
    st.builds(_import, st.sampled_from(["./mine.ssm", "a b/c.ssm", ""]), st.just(True), _items, docs),
)
_supports = st.one_of(st.none(), node(s.Interval, exprs, exprs), names)
_targets_and_joint = st.one_of(
    st.tuples(targets, st.just(True)), node(s.Target, names, several(exprs, 0, 2)).map(lambda one: ((one,), False))
)


@st.composite
def _equations(draw: st.DrawFn) -> s.Equation:
    several_targets, joint = draw(_targets_and_joint)
    relation = draw(st.sampled_from(["~", "="]))
    return s.Equation(several_targets, joint, relation, draw(exprs), draw(loops), doc=draw(docs), span=NOWHERE)


def _param(declared: Any, support: Any, prior: Any, walk: Any, doc: Any) -> s.Param:
    return s.Param(declared, support, prior, walk is not None, walk, doc=doc, span=NOWHERE)


inner_statements = st.one_of(
    statement(s.Const, node(s.Decl, names, several(exprs, 0, 2)), st.none() | exprs),
    statement(s.AxisDecl, names, st.one_of(ranges, node(s.LabelSet, several(names)))),
    st.builds(_param, decls, _supports, st.none() | exprs, st.none() | exprs, docs),
    statement(s.Param, decls, _supports, st.none() | exprs, st.just(True), st.none()),
    statement(s.Input, decls),
    statement(s.State, decls, st.none() | domains),
    statement(s.Noise, decls, exprs),
    statement(s.Obs, decls, st.none() | domains),
    statement(s.Let, node(s.Target, names, several(exprs, 0, 2)), exprs, loops),
    statement(s.Def, names, several(names, 0, 2), exprs),
    statement(s.Part, names, names, arguments),
    statement(s.Init, targets, st.booleans(), st.sampled_from(["~", "="]), exprs, loops),
    _equations(),
    statement(s.Sde, node(s.Target, names, several(exprs, 0, 2)), exprs, loops),
)


def _component(name: Any, params: Any, before: Any, out: Any, after: Any, doc: Any) -> s.Component:
    return s.Component(name, params, (*before, out, *after), doc=doc, span=NOWHERE)


statements = st.one_of(
    inner_statements,
    inner_statements,
    _imports,
    statement(s.Lift, node(s.Target, names, several(exprs, 0, 2)), exprs, st.sampled_from(["exact", "fitted"])),
    statement(s.Assert, several(exprs)),
    st.builds(
        _component,
        names,
        several(names, 0, 2),
        several(inner_statements, 0, 2),
        statement(s.Out, exprs),
        several(inner_statements, 0, 1),
        docs,
    ),
)


@st.composite
def programs(draw: st.DrawFn) -> s.Program:
    """A file: where the model has no text of its own, neither has its header (that text would be the model's)."""
    body = list(draw(st.lists(statements, max_size=5)))
    doc = draw(docs)
    if draw(st.booleans()):
        header = s.Header(draw(names), doc=draw(docs) if doc is not None else None, span=NOWHERE)
        body.insert(draw(st.integers(0, len(body))), header)
    return s.Program(tuple(body), doc=doc, span=NOWHERE)
