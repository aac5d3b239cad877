"""The equations of a model as linear rows over stacked states, observations and standard-normal noises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ssmlang.language.source import Span
from ssmlang.model import expr, loading, sparse
from ssmlang.model.affine import PAST, Affine, Interpreter, NotAffine, spoken
from ssmlang.model.expr import ExprError, Node
from ssmlang.model.model import Dist, Equation, InitialEquation, Model, Variable
from ssmlang.model.obstacles import Obstacle, not_affine, not_gaussian, past_noise
from ssmlang.model.rows import Rows, matvec, total
from ssmlang.model.sparse import Sparse

_ARGUMENT = {"scale": "the scale", "cov": "the covariance", "scale_tril": "the factor", "loc": "the location"}


@dataclass(frozen=True)
class Stacking:
    """Where each series stands in the stacked vectors. States come in the order of the file, then the observations
    that are part of the state (`latent`), then the `definitions` that are; entries in C order."""

    x: dict[str, int]
    y: dict[str, int]
    e: dict[str, int]
    n: int
    m: int
    r: int
    latent: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()

    @property
    def widths(self) -> dict[str, int]:
        return {"x": self.n, "y": self.m, "e": self.r, "past": self.n, "ypast": self.m}


@dataclass
class Reader:
    """Reads equations as rows. What cannot be is added to `obstacles`."""

    model: Model
    latent: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()
    obstacles: list[Obstacle] = field(default_factory=list)
    roots: list[Span | None] = field(default_factory=list)
    """Where a covariance has to be factored by Cholesky inside the program."""
    data_reads: dict[tuple[str, int], Span | None] = field(default_factory=dict)
    """(observation, lag) read in a way that is not affine: exact where it was seen, impossible where it is missing."""

    def __post_init__(self) -> None:
        self._linear = Interpreter(lambda sort, *_: sort in ("state", "noise", "obs", "augment"))
        self._given_data = Interpreter(lambda sort, *_: sort in ("state", "noise", "augment"))
        self._noise: dict[str, tuple[Node, Sparse]] = {}
        self._fresh: dict[int, tuple[int, Sparse]] = {}
        model = self.model
        x, n = _offsets(self.stacked)
        y, m = _offsets(list(model.observations.values()))
        e: dict[str, int] = {}
        names: list[str] = []
        r = 0
        for noise in model.noises.values():
            law = self._gaussian(noise.law, "noise") if noise.law is not None else None
            if law is None:
                continue
            self._noise[noise.name], e[noise.name] = law, r
            r += law[1].shape[1]
            names += _numbered(noise.entry_names(), noise.name, law[1].shape[1])
        equations: list[Equation | InitialEquation] = [*model.equations, *model.initials]
        for equation in equations:
            if equation.law is None:
                continue
            law = self._gaussian(equation.law, equation.role if isinstance(equation, Equation) else "init")
            if law is None:
                continue
            if isinstance(equation, Equation) or equation.targets[0].name not in x:
                self._fresh[id(equation)] = (r, law[1])
                steady = equation.steady if isinstance(equation, Equation) else None
                if steady is not None and steady.law is not None:
                    again = self._gaussian(steady.law, "transition")
                    assert again is not None
                    self._fresh[id(steady)] = (r, again[1])
                r += law[1].shape[1]
                given = {v.name: v.entry_names() for v in (*self.stacked, *model.observations.values())}
                entries = [given[t.name][i] for t in equation.targets for i in t.entries]
                own = _numbered(entries, equation.targets[0].name, law[1].shape[1])
                names += [f"own noise of {name}" for name in own]
            else:
                self._fresh[id(equation)] = (-1, law[1])
        self.noises = tuple(names)
        self.stacking = Stacking(x, y, e, n, m, r, self.latent, self.definitions)

    @property
    def stacked(self) -> list[Variable]:
        """What the state vector is made of, in order."""
        model = self.model
        latent = [model.observations[n] for n in self.latent]
        return [*model.states.values(), *latent, *(model.definitions[n] for n in self.definitions)]

    # ------------------------------------------------------------------------------------------------------ laws

    def _gaussian(self, law: Dist, role: str) -> tuple[Node, Sparse] | None:
        """Location (as a vector) and loading of a Gaussian law; None where it is not one."""
        if law.name not in ("Normal", "MvNormal"):
            self.obstacles.append(not_gaussian(law.name, law.span))
            return None
        size = int(np.prod(law.shape, dtype=np.int64))
        for name, node in law.args.items():
            if name == "loc" and role != "noise":
                continue
            read = [n for s, n, _ in expr.references([node]) if s in ("state", "noise", "augment")]
            if read:
                label = f"{_ARGUMENT[name]} depends on {spoken(list(dict.fromkeys(read)))}"
                self.obstacles.append(not_affine(role, node.span or law.span, label))
                return None
            self._note_data(node)
        try:
            loc = sparse.flat(expr.broadcast(law.args["loc"], law.shape))
            if law.name == "Normal":
                return loc, sparse.diagonal(sparse.flat(expr.broadcast(law.args["scale"], law.shape)))
            return loc, self._multivariate(law, size)
        except ExprError as trouble:
            self.obstacles.append(Obstacle("E308", trouble.message, law.span, trouble.label, trouble.help))
            return None

    def _multivariate(self, law: Dist, size: int) -> Sparse:
        d = law.shape[-1]
        name = "cov" if "cov" in law.args else "scale_tril"
        matrix = law.args[name]
        one = (lambda node: loading.factor(node, self._root)) if name == "cov" else sparse.from_matrix
        if matrix.ndim == 2 or int(np.prod(matrix.shape[:-2])) == 1:
            block = one(expr.reshape(matrix, (d, d)))
            blocks = [block] * (size // d)
        else:
            whole = expr.broadcast(matrix, (*law.shape[:-1], d, d))
            batch = expr.reshape(whole, (size // d, d, d))
            blocks = [one(expr.index(batch, [expr.const(i)])) for i in range(size // d)]
        return blocks[0] if len(blocks) == 1 else loading.block_diagonal(blocks)

    def _root(self, cov: Node) -> None:
        self.roots.append(cov.span)

    def _note_data(self, node: Node) -> None:
        for n in expr.walk([node]):
            if n.op == "ref" and n.attrs[0] == "obs":
                self.data_reads.setdefault(n.attrs[1:], n.span)

    # ------------------------------------------------------------------------------------------------- equations

    def affine(self, node: Node, role: str) -> Affine | None:
        """The affine form of a location or value; observations that it reads in another way count as data."""
        form = self._linear(node)
        if isinstance(form, NotAffine):
            again = self._given_data(node)
            if isinstance(again, Affine):
                self._note_data(node)
                return again
            form = again
        if isinstance(form, NotAffine):
            self.obstacles.append(not_affine(role, form.span, form.reason))
            return None
        for sort, name, lag in form.terms:
            if lag == PAST and sort == "noise":
                self.obstacles.append(past_noise(node.span, f"the whole past of {name}"))
                return None
        return form

    def equation(self, e: Equation | InitialEquation) -> Rows | None:
        """The rows of an equation's targets, its own fresh noise in slot ("e", 0) or, for the initial law of a state,
        ("xi", 0)."""
        role = e.role if isinstance(e, Equation) else "init"
        if e.law is not None and id(e) not in self._fresh:
            return None
        node = e.law.args["loc"] if e.law is not None else e.value
        assert node is not None
        size = sum(len(t.entries) for t in e.targets)
        shape = e.law.shape if e.law is not None else node.shape
        form = self.affine(expr.broadcast(node, shape), role)
        if form is None:
            return None
        rows = self.rows(form)
        if e.law is None:
            return rows
        first, factor = self._fresh[id(e)]
        if first >= 0:
            r = self.stacking.r
            fresh = factor.place(np.arange(size), first + np.arange(factor.shape[1]), (size, r))
            return total([rows, Rows(expr.zeros((size,)), {("e", 0): fresh})])
        return total([rows, Rows(expr.zeros((size,)), {("xi", 0): factor})])

    def rows(self, form: Affine) -> Rows:
        """An affine form over the stacked vectors."""
        s = self.stacking
        k = form.constant.size
        parts = [Rows(sparse.flat(form.constant))]
        for (sort, name, lag), matrix in form.terms.items():
            here, width = np.arange(k), np.arange(matrix.shape[1])
            if isinstance(lag, str):
                slot, first, total_width = ("past", s.x[name], s.n) if name in s.x else ("ypast", s.y[name], s.m)
                parts.append(_term((slot, 0), matrix.place(here, first + width, (k, total_width))))
            elif name in s.x:
                parts.append(_term(("x", lag), matrix.place(here, s.x[name] + width, (k, s.n))))
            elif sort == "obs":
                parts.append(_term(("y", lag), matrix.place(here, s.y[name] + width, (k, s.m))))
            elif name in self._noise:
                loc, factor = self._noise[name]
                factor = factor.map(lambda v, lag=lag: shifted(v, lag))  # type: ignore[misc]
                spread = sparse.product(matrix, factor)
                spread = spread.place(here, s.e[name] + np.arange(factor.shape[1]), (k, s.r))
                parts += [_term(("e", lag), spread), Rows(matvec(matrix, shifted(loc, lag)))]
        return total(parts)

    def places(self, targets: Sequence[tuple[str, Sequence[int]]]) -> np.ndarray:
        """Positions of entries among the states, or, for observations that are none, among the observations."""
        s = self.stacking
        return np.concatenate([np.asarray(e, int) + s.x.get(n, s.y.get(n, 0)) for n, e in targets])


def _numbered(entries: list[str], name: str, count: int) -> list[str]:
    """A name for each standard normal: that of the entry, where there are as many."""
    return entries if len(entries) == count else [f"{name}, part {i + 1}" for i in range(count)]


def _term(slot: tuple[str, int], matrix: Sparse) -> Rows:
    return Rows(expr.zeros((matrix.shape[0],)), {slot: matrix} if matrix.nnz else {})


def _offsets(variables: Sequence[Variable]) -> tuple[dict[str, int], int]:
    at, found = 0, {}
    for v in variables:
        found[v.name] = at
        at += v.size
    return found, at


def shifted(node: Node, rows: int) -> Node:
    """The expression as it was some rows back."""
    if not rows or not expr.varies([node]):
        return node

    def leaf(n: Node) -> Node | None:
        if n.op == "ref":
            sort, name, lag = n.attrs
            return expr.ref(sort, name, lag + rows, n.shape, n.axes, kind=n.kind, domain=n.domain, span=n.span)
        return expr.sub(n, expr.const(rows)) if n.op == "time" else None

    return expr.transform(node, leaf)
