"""Noises that an observation tells exactly: programs in innovations form, as GARCH and exponential smoothing are.

Where an observation is y = a + b e, with a noise e that it alone reads in its emission, e = (y - a) / b. States that
read e then read y, and y has the law of e, moved by a and scaled by b. `solved` writes the program so; what was an
unobserved noise of the states is a function of what was seen (Cox 1981: observation-driven). No JAX here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ssmlang.language.source import Span
from ssmlang.model import expr, sparse
from ssmlang.model.affine import Affine, Interpreter
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist, Equation, Model, Noise, nodes_of
from ssmlang.model.shared_noises import in_noises_alone
from ssmlang.model.told_noises import told_noises

MOVED = ("Normal", "StudentT", "Laplace", "Cauchy")
"""Families that a + b e stays in for any a and b, being symmetric."""
SCALED = {"Gamma": "rate", "Exponential": "rate", "LogNormal": "loc"}
"""Families that b e stays in for positive b: the argument that changes, a rate or the logarithm of a scale."""
UNTOLD = ("past_sum", "bound", "flow", "flow_law", "augment")


class _Piece(NamedTuple):
    """An emission y = a + b e: entry i of its targets reads entry cols[i] of e."""

    equation: Equation
    a: Node
    b: Node
    cols: np.ndarray
    reach: int
    """how many rows back it reads observations: so many first rows are conditioned on, and tell nothing of e"""


def solved(model: Model) -> Model:
    """The model with each noise that observations tell exactly written as what they tell; itself where none is.

    Noises of `told_noises` have engines as they are; they stay, unless nothing is left by chance without them.
    """
    kept = vars(model)
    if "_solved" not in kept:  # asked for by each engine
        kept["_solved"] = _solved(model)
    return kept["_solved"]  # type: ignore[no-any-return]


def _solved(model: Model) -> Model:
    pieces = {v.name: found for v in model.noises.values() if (found := _pieces(model, v))}
    if not pieces:
        return in_noises_alone(model)
    told = {n for n in told_noises(model) if n in pieces}
    whole = _without(model, pieces)
    if not told or not chances(whole):
        return in_noises_alone(whole)
    rest = {n: found for n, found in pieces.items() if n not in told}
    return in_noises_alone(_without(model, rest) if rest else model)


class Chance(NamedTuple):
    """Something that makes states uncertain given the parameters and earlier observations, and where it stands."""

    span: Span | None
    label: str


def chances(model: Model) -> list[Chance]:
    """What of a (solved) model makes its states more than functions of parameters, inputs and earlier observations."""
    found = [Chance(d.span, f"{d.target.name} is driven in continuous time") for d in model.differentials]
    for e in model.equations:
        if e.role != "transition":
            continue
        names = ", ".join(t.name for t in e.targets)
        noises = sorted(n for s, n, _ in expr.references(nodes_of(e)) if s == "noise")
        if e.law is not None or noises:
            found.append(Chance(e.span, f"{names} is moved by {noises[0] if noises else 'a law of its own'}"))
    for i in model.initials:
        if i.value is None or any(s == "noise" for s, *_ in expr.references([i.value])):
            found.append(Chance(i.span, f"{', '.join(t.name for t in i.targets)} has a law, and no known start"))
    found += [Chance(s.span, f"{s.name} is discrete") for s in model.states.values() if s.values is not None]
    found += [Chance(p.span, f"{p.name} joins the state") for p in model.parameters.values() if p.augment]
    return found


def read_in_own_row(model: Model) -> tuple[str, ...]:
    """Observations that a state of their own row reads."""
    moved = [e for e in model.equations if e.role == "transition"]
    return tuple(dict.fromkeys(n for e in moved for s, n, lag in sorted(expr.references(nodes_of(e)), key=str)
                               if s == "obs" and lag == 0))  # fmt: skip


# ------------------------------------------------------------------------------------------------ what can be told


def _pieces(model: Model, v: Noise) -> list[_Piece]:
    """The emissions that tell a noise, all of its entries once; empty where they do not, or nothing else reads it."""
    law = v.law
    joint = law is not None and law.name == "MvNormal" and len(law.shape) == 1
    if law is None or not (joint or law.name in (*MOVED, *SCALED)) or not _readable(list(law.args.values())):
        return []
    if any(sort != "input" for sort, *_ in expr.references(law.args.values())) or not _readers_fit(model, v.name):
        return []
    found = []
    for e in model.equations:
        if e.role == "emission" and _reads(nodes_of(e), v.name):
            piece = _piece(e, v)
            if piece is None or (law.name in SCALED and not piece.a.is_zero):
                return []
            found.append(piece)
    cols = np.concatenate([p.cols for p in found]) if found else np.zeros(0, int)
    if joint and (len(found) != 1 or (np.diff(cols) != 1).any()):
        return []
    return found if np.array_equal(np.sort(cols), np.arange(v.size)) else []


def _piece(e: Equation, v: Noise) -> _Piece | None:
    if e.value is None or e.guarded or not _readable([e.value]):
        return None
    reads = expr.references([e.value])
    back = [int(lag) for sort, _, lag in reads if sort == "obs"]
    if any(sort == "noise" and name != v.name for sort, name, _ in reads) or 0 in back:
        return None
    form = Interpreter(lambda sort, name, lag: sort == "noise")(e.value)
    if not isinstance(form, Affine) or set(form.terms) != {("noise", v.name, 0)}:
        return None
    size, (_, _, rows, cols, values) = sum(len(t.entries) for t in e.targets), _triples(form.terms["noise", v.name, 0])
    if e.value.size != size or not np.array_equal(np.sort(rows), np.arange(size)) or len(set(cols)) != size:
        return None
    order = np.argsort(rows)
    return _Piece(e, sparse.flat(form.constant), sparse.gather(values, order), cols[order], max(back, default=0))


def _triples(m: sparse.Sparse) -> tuple[int, int, np.ndarray, np.ndarray, Node]:
    return (*m.shape, m.rows, m.cols, m.values)


def _readers_fit(model: Model, name: str) -> bool:
    """Whether states read a noise, definitions in its row alone, and no first value nor an observation of a later row;
    and whether an observation that tells it reads nothing that it moves."""
    moved = False
    for e in model.equations:
        lags = {lag for s, n, lag in expr.references(nodes_of(e)) if s == "noise" and n == name}
        moved |= bool(lags) and e.role == "transition"
        if (e.role == "emission" and lags - {0}) or (lags and not _readable(nodes_of(e))):
            return False
    for d in model.definitions.values():
        own = [d.value] if d.value is not None else []
        if _reads(own, name) and (_reads(own, name, 1) or not d.series or not _readable(own)):
            return False
    first = [n for i in model.initials for n in nodes_of(i)]
    laws = [a for w in model.noises.values() if w.law is not None for a in w.law.args.values()]
    others = [*first, *laws, *(d.value for d in model.differentials)]
    return moved and not _reads(others, name) and not _in_a_circle(model, name)


def _in_a_circle(model: Model, name: str) -> bool:
    """Whether an observation reads what its own noise moves in that row."""
    moved = {t.name for e in model.equations if e.role == "transition" and _reads(nodes_of(e), name, 0)
             for t in e.targets}  # fmt: skip
    now = lambda e: {n for s, n, lag in expr.references(nodes_of(e)) if s == "state" and lag == 0}
    while more := {t.name for e in model.equations if e.role == "transition" and now(e) & moved
                   for t in e.targets} - moved:  # fmt: skip
        moved |= more
    return any(now(e) & moved for e in model.equations if e.role == "emission" and _reads(nodes_of(e), name))


def _reads(nodes: Sequence[Node], name: str, lag: int | None = None) -> bool:
    return any(s == "noise" and n == name and lag in (None, k) for s, n, k in expr.references(nodes))


def _readable(nodes: Sequence[Node]) -> bool:
    return not any(n.op in UNTOLD for n in expr.walk(nodes))


# -------------------------------------------------------------------------------------------------- what is written


def _without(model: Model, pieces: Mapping[str, Sequence[_Piece]]) -> Model:
    """The model without some noises; with them where they are read of rows that tell nothing of them: there a fresh one
    stands for the one that was not seen. A noise that would be read so in two rows stays as it is."""
    writer = _Writer(model, pieces)
    emitted = {id(p.equation): _emission(p, model.noises[n]) for n, own in pieces.items() for p in own}
    equations = _in_order([emitted.get(id(e)) or writer.equation(e) for e in model.equations])
    twice = {n for n, lags in writer.unseen.items() if lags not in (set(), {0}, {1})}
    if twice:
        rest = {n: own for n, own in pieces.items() if n not in twice}
        return _without(model, rest) if rest else model
    lets = {n: d if d.value is None else replace(d, value=writer.known(d.value)) for n, d in model.definitions.items()}
    noises = {n: v for n, v in model.noises.items() if n not in pieces or writer.unseen[n]}
    return replace(model, equations=equations, definitions=lets, noises=noises)


class _Writer:
    """Expressions with what observations tell in place of noises; `unseen`: at which lags they are still read."""

    def __init__(self, model: Model, pieces: Mapping[str, Sequence[_Piece]]) -> None:
        self.model, self.pieces = model, pieces
        self.unseen: dict[str, set[int]] = {n: set() for n in pieces}
        self.given = {(t.name, i) for q in model.initials for t in q.targets if t.row == 0 for i in t.entries}
        self._told: dict[tuple[str, int], Node] = {}

    def equation(self, e: Equation) -> Equation:
        """From row 1 on, where row 0 is given."""
        if not any(_reads(nodes_of(e), n) for n in self.pieces):
            return e
        leaf = self._leaf(int(all((t.name, i) in self.given for t in e.targets for i in t.entries)), False)
        law = e.law and replace(e.law, args={k: self._fresh(expr.transform(a, leaf)) for k, a in e.law.args.items()})
        return replace(e, law=law, value=None if e.value is None else self._fresh(expr.transform(e.value, leaf)))

    def known(self, node: Node) -> Node:
        """NaN in rows that tell nothing."""
        return expr.transform(node, self._leaf(0, True)) if any(_reads([node], n) for n in self.pieces) else node

    def _fresh(self, node: Node) -> Node:
        """With a noise of the row for each that is still read."""
        left = {(n, lag) for s, n, lag in expr.references([node]) if s == "noise" and n in self.pieces}
        for name, lag in left:
            self.unseen[name].add(int(lag))
        of_row = lambda n: replace(n, attrs=("noise", n.attrs[1], 0)) if n.op == "ref" and n.attrs[1:] in left else None
        return expr.transform(node, of_row) if left else node

    def _leaf(self, since: int, blank: bool) -> Callable[[Node], Node | None]:
        def leaf(node: Node) -> Node | None:
            if node.op == "where" and (later := _since(node.args[0])) is not None:
                then = expr.transform(node.args[1], self._leaf(max(since, later), blank))
                other = expr.transform(node.args[2], leaf)
                return expr.where(node.args[0], then, other, node.span).with_axes(node.axes)
            if node.op != "ref" or node.attrs[0] != "noise" or node.attrs[1] not in self.pieces:
                return None
            _, name, lag = node.attrs
            first = lag + max(p.reach for p in self.pieces[name])
            told = self._of(name, lag)
            if since < first:
                other = expr.const(np.full(node.shape, np.nan)) if blank else node
                told = expr.where(expr.binary("ge", expr.time(), expr.const(first)), told, other)
            return told.with_axes(node.axes).at(node.span)

        return leaf

    def _of(self, name: str, lag: int) -> Node:
        if (name, lag) not in self._told:
            self._told[name, lag] = _told(self.model, self.model.noises[name], self.pieces[name], lag)
        return self._told[name, lag]


def _since(test: Node) -> int | None:
    """The first row in which a test of the row's number holds, as `t > 1` or `1 < t`."""
    if test.op not in ("gt", "ge", "lt", "le"):
        return None
    late, early = test.args if test.op in ("gt", "ge") else test.args[::-1]
    if late.op != "time" or early.value is None or early.size != 1:
        return None
    return int(np.floor(early.value.item())) + 1 if test.op in ("gt", "lt") else int(np.ceil(early.value.item()))


def _emission(piece: _Piece, v: Noise) -> Equation:
    """The law of y = a + b e."""
    assert v.law is not None and piece.equation.value is not None
    shape, law = piece.equation.value.shape, v.law
    if law.name == "MvNormal":
        return replace(piece.equation, value=None, law=_jointly(piece, law))
    given = {k: sparse.gather(expr.broadcast(a, v.shape), piece.cols) for k, a in law.args.items()}
    if law.name in SCALED:
        name = SCALED[law.name]
        rate = given.get(name, expr.const(np.zeros(1) if name == "loc" else np.ones(1)))
        new = expr.add(rate, expr.unary("log", piece.b)) if name == "loc" else expr.div(rate, piece.b)
        args = given | {name: new}
    else:
        loc, scale = given.get("loc", expr.zeros((1,))), given.get("scale", expr.const(np.ones(1)))
        args = given | {"loc": expr.add(piece.a, expr.mul(piece.b, loc)),
                        "scale": expr.mul(_size(piece.b), scale)}  # fmt: skip
    whole = {k: expr.reshape(expr.broadcast(a, piece.a.shape), shape) for k, a in args.items()}
    return replace(piece.equation, value=None, law=Dist(law.name, whole, shape, 0, piece.equation.span))


def _jointly(piece: _Piece, law: Dist) -> Dist:
    """The law of y = a + b e, all entries of e together."""
    n, b = len(piece.cols), piece.b
    column, row = expr.reshape(b, (n, 1)), expr.reshape(b, (1, n))
    factors = {"cov": expr.mul(column, row), "scale_tril": column}
    args = {k: expr.mul(factors[k], a) for k, a in law.args.items() if k in factors}
    loc = expr.add(piece.a, expr.mul(b, expr.broadcast(law.args["loc"], (n,))))
    return replace(law, args={"loc": loc, **args}, span=piece.equation.span)


def _size(b: Node) -> Node:
    """|b|, as it stands where it is positive."""
    inner = b
    while inner.op in ("broadcast", "reshape"):
        inner = inner.args[0]
    return b if inner.op in ("exp", "sqrt", "abs", "softplus", "sigmoid") else expr.unary("abs", b)


def _told(model: Model, v: Noise, pieces: Sequence[_Piece], lag: int) -> Node:
    """e, so many rows back, from y."""
    parts = []
    for p in pieces:
        y = [sparse.gather(_observed(model, t.name, lag), np.asarray(t.entries)) for t in p.equation.targets]
        seen = y[0] if len(y) == 1 else expr.concat(y)
        parts.append(expr.div(expr.sub(seen, _back(p.a, lag)), _back(p.b, lag)))
    whole = parts[0] if len(parts) == 1 else expr.concat(parts)
    cols = np.concatenate([p.cols for p in pieces])
    return expr.reshape(sparse.gather(whole, np.argsort(cols)), v.shape)


def _observed(model: Model, name: str, lag: int) -> Node:
    o = model.observations[name]
    return expr.ref("obs", name, lag, o.shape, o.axes)


def _back(node: Node, lag: int) -> Node:
    """What an expression was so many rows before."""
    if not lag:
        return node

    def leaf(n: Node) -> Node | None:
        if n.op == "ref":
            return replace(n, attrs=(*n.attrs[:2], n.attrs[2] + lag))
        return expr.sub(expr.time(n.span), expr.const(lag)) if n.op == "time" else None

    return expr.transform(node, leaf)


def _in_order(equations: Sequence[Equation]) -> tuple[Equation, ...]:
    """Each after those whose values of the row it reads: an observation before a state that reads it."""
    done: list[Equation] = []
    waiting = list(equations)
    own = lambda e: {("state" if e.role == "transition" else "obs", t.name) for t in e.targets}
    now = lambda e: {(s, n) for s, n, lag in expr.references(nodes_of(e)) if lag == 0} - own(e)
    while waiting:
        ahead = {key for e in waiting for key in own(e)}
        ready = next((e for e in waiting if not now(e) & ahead), waiting[0])
        done.append(ready)
        waiting.remove(ready)
    return tuple(done)
