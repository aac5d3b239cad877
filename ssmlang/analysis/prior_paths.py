"""Draws of a whole model from its prior in NumPy: a look at what a prior says of the observations, without JAX.

Made for a check that must start in milliseconds: a few dozen draws of a few dozen rows. `simulate` of a compiled model
is what gives draws to work with. States that start diffuse start where `start` says; stationary ones after a while
of their own transition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ssmlang.analysis.draws import between
from ssmlang.analysis.values import Unreadable, one
from ssmlang.model import expr
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist, Equation, InitialEquation, Model

Array = np.ndarray
SUBSTEPS = 4
"""Steps of a differential equation from row to row, where these are not too long for it."""
SHORTEST = 64
"""Into so many a row is cut at most."""
STIFF = 0.5
"""How far the slopes within a step may bend: half of a step times the rate at which the drift answers its state."""
WARM = 60
"""Rows of their own transition that stationary states have before row 0."""


Left = tuple[str, str, str]
"""What an equation gives, its law, and an argument that is negative, or no probability, in some row"""


class NotDrawn(Exception):
    """The model cannot be drawn here; the reason in a few words."""


def paths(model: Model, params: Mapping[str, Array], rows: int, random: np.random.Generator,
          inputs: Mapping[str, Array], start: float = 0.0, left: set[Left] | None = None
          ) -> dict[str, Array]:  # fmt: skip
    """One draw of the observations, by name (rows, *shape), at parameter values; NaN from where a law has no value.

    `inputs`: by name, with as many rows. `left` collects the arguments that leave what their law takes. Raises
    NotDrawn.
    """
    draw = _run(model, params, rows, random, inputs, start)
    if left is not None:
        left |= draw.left
    return {name: np.stack([draw.known["obs", name, t] for t in range(rows)]).reshape(rows, *v.shape)
            for name, v in model.observations.items()}  # fmt: skip


def state_paths(model: Model, params: Mapping[str, Array], rows: int, random: np.random.Generator) -> dict[str, Array]:
    """One draw of the states of a model without inputs, by name (rows, entries). Raises NotDrawn."""
    if model.inputs:
        raise NotDrawn("with inputs")
    if model.differentials:
        raise NotDrawn("in continuous time")
    draw = _run(model, params, rows, random, {}, 0.0)
    return {name: np.stack([draw.known["state", name, t] for t in range(rows)]) for name in model.states}


def _run(model: Model, params: Mapping[str, Array], rows: int, random: np.random.Generator,
         inputs: Mapping[str, Array], start: float) -> _Draw:  # fmt: skip
    if model.missing_constants:
        raise NotDrawn(f"the constant {model.missing_constants[0]} has no value")
    draw = _Draw(model, params, random, inputs, start)
    draw.first()
    with np.errstate(all="ignore"):
        for t in range(rows):
            draw.row(t)
    return draw


@dataclass
class _Draw:
    model: Model
    params: Mapping[str, Array]
    random: np.random.Generator
    inputs: Mapping[str, Array]
    start: float
    known: dict[tuple[str, str, int], Array] = field(default_factory=dict)
    left: set[Left] = field(default_factory=set)
    _by_lag: dict[tuple[int, int], Array] = field(default_factory=dict)
    _plans: dict[tuple[int, ...], tuple[list[Node], dict[int, Array]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        m = self.model
        self.transitions = _in_order([e for e in m.equations if e.role == "transition"], "state")
        self.emissions = _in_order([e for e in m.equations if e.role == "emission"], "obs")
        self.depth = max([1, *(lag for n in self._all_nodes() for _, _, lag in expr.references([n])
                               if isinstance(lag, int))])  # fmt: skip

    def _all_nodes(self) -> list[Node]:
        items: Sequence[Equation | InitialEquation] = [*self.model.equations, *self.model.initials]
        return [n for e in items for n in (*(e.law.args.values() if e.law is not None else ()),
                                           *([e.value] if e.value is not None else []))]  # fmt: skip

    # ------------------------------------------------------------------------------------------------- first rows

    def first(self) -> None:
        """Rows 0, -1, ... from the initial laws."""
        warm = {t.name for i in self.model.initials if i.special == "stationary" for t in i.targets}
        waiting = list(self.model.initials)
        for _ in range(len(waiting) + 1):
            later = []
            for i in waiting:
                try:
                    self._initial(i)
                except (Unreadable, KeyError):
                    later.append(i)
            waiting = later
        if waiting:
            raise NotDrawn("an initial law that reads what comes later")
        if warm:
            self._warm(warm)

    def _initial(self, i: InitialEquation) -> None:
        m = self.model
        size = sum(len(t.entries) for t in i.targets)
        if i.special == "diffuse":
            values = np.full(size, self.start)
        elif i.special == "stationary":
            values = np.zeros(size)
        elif i.law is not None:
            values = self._drawn(i.law, 0)
        else:
            assert i.value is not None
            values = self._values([i.value], 0)[0]
        values = np.broadcast_to(np.asarray(values, float).reshape(-1), (size,)) if np.size(values) == 1 else (
            np.asarray(values, float).reshape(-1))  # fmt: skip
        at = 0
        for t in i.targets:
            sort = "state" if t.name in m.states else "obs"
            # A stationary or diffuse start is that of every row that anything reads.
            for row in range(0, -self.depth, -1) if i.special else (t.row,):
                own = self.known.setdefault((sort, t.name, row), self._blank(sort, t.name)).copy()
                own[list(t.entries)] = values[at : at + len(t.entries)]
                self.known[sort, t.name, row] = own
            at += len(t.entries)

    def _blank(self, sort: str, name: str) -> Array:
        variable = self.model.states[name] if sort == "state" else self.model.observations[name]
        return np.full(variable.size, np.nan)

    def _warm(self, names: set[str]) -> None:
        """The last rows of a while become rows 0, -1, ..., for the stationary states alone."""
        own = [e for e in self.transitions if any(t.name in names for t in e.targets)]
        kept = dict(self.known)
        flowing = any(d.target.name in names for d in self.model.differentials)
        for t in range(1, WARM + 1):
            if flowing:
                self._flow(t, self._usual_step())
            for e in own:
                self._equation(e, t)
        for name in names:
            for k in range(self.depth):
                kept["state", name, -k] = self.known["state", name, WARM - k]
        self.known = kept

    # -------------------------------------------------------------------------------------------------------- rows

    def row(self, t: int) -> None:
        if self.model.differentials and t > 0:
            self._flow(t, float(np.asarray(self.inputs["dt"]).reshape(-1)[t]) if "dt" in self.model.inputs
                       else self._usual_step())  # fmt: skip
        for e in (*self.transitions, *self.emissions):
            if t > 0 or not self._given(e):
                self._equation(e, t)

    def _usual_step(self) -> float:
        """The time from row to row: that of the model, or the usual one of the data."""
        if "dt" in self.model.inputs:
            return float(np.median(np.asarray(self.inputs["dt"], float).reshape(-1)[1:]))
        return float(np.asarray(self.model.constants["dt"]))

    def _flow(self, t: int, time: float) -> None:
        """Differential equations over one row, in short steps: Runge and Kutta's of the drift, Euler's of the noise.

        A step in which the slopes bend too far is halved (Hairer, Norsett & Wanner 1993, section II.4): what would
        explode then is the rule, not the model.
        """
        equations, states = self.model.differentials, self.model.states
        base, h, left = self._read(t), time / SUBSTEPS, time
        within = {d.target.name: self.known["state", d.target.name, t - 1].copy() for d in equations}
        shapes = [{n.attrs[1]: n.shape for n in expr.walk([d.value]) if n.op == "ref" and n.attrs[0] == "increment"
                   and n.attrs[1] != "dt"} for d in equations]  # fmt: skip

        def moves(at: Mapping[str, Array], noises: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
            """What a step adds to the states."""
            found = {name: np.zeros_like(v) for name, v in at.items()}
            for d, noise in zip(equations, noises):

                def read(sort: str, name: str, lag: int, noise: Mapping[str, Array] = noise) -> Array:
                    if sort == "increment":
                        return np.asarray(h) if name == "dt" else noise[name]
                    return (
                        at[name].reshape(states[name].shape)
                        if sort == "state" and name in at
                        else (base(sort, name, lag))
                    )

                found[d.target.name][list(d.target.entries)] += self._values([d.value], t, read)[0].reshape(-1)
            return found

        ahead = lambda k, by: {name: v + by * k[name] for name, v in within.items()}
        still = [{name: np.zeros(shape) for name, shape in own.items()} for own in shapes]
        while left > 1e-9 * time:
            h = min(h, left)
            k1 = moves(within, still)
            k2 = moves(ahead(k1, 0.5), still)
            k3 = moves(ahead(k2, 0.5), still)
            bent, moved = _apart(k3, k2), _apart(k2, k1)
            if h > 1.5 * time / SHORTEST and not bent <= STIFF * moved:
                h /= 2
                continue
            left -= h
            # A noise of its own for each equation, but for those that bear a name.
            named = {n: np.sqrt(h) * self.random.standard_normal(shape) for own in shapes for n, shape in own.items()
                     if n != "dW"}  # fmt: skip
            drawn = [{n: named[n] if n in named else np.sqrt(h) * self.random.standard_normal(shape)
                      for n, shape in own.items()} for own in shapes]  # fmt: skip
            k4 = moves(ahead(k3, 1.0), still)
            shaken = moves(within, drawn) if any(shapes) else k1
            for name, value in within.items():
                value += (k1[name] + 2 * k2[name] + 2 * k3[name] + k4[name]) / 6 + shaken[name] - k1[name]
        for name, value in within.items():
            self.known["state", name, t] = value

    def _given(self, e: Equation) -> bool:
        """Whether initial laws give all that an equation would in row 0."""
        sort = "state" if e.role == "transition" else "obs"
        own = lambda x: self.known.get((sort, x.name, 0), self._blank(sort, x.name))[list(x.entries)]
        return not any(np.isnan(own(x)).any() for x in e.targets)

    def _equation(self, e: Equation, t: int) -> None:
        try:
            if e.law is not None:
                values = self._drawn(e.law, t, e.targets[0].name)
            else:
                assert e.value is not None
                values = self._values([e.value], t)[0]
        except KeyError:  # a value before the first row that nothing gives
            values = np.full(sum(len(x.entries) for x in e.targets), np.nan)
        flat = np.asarray(values, float).reshape(-1)
        at = 0
        for x in e.targets:
            sort = "state" if e.role == "transition" else "obs"
            own = self.known.setdefault((sort, x.name, t), self._blank(sort, x.name))
            part = flat if flat.size == 1 else flat[at : at + len(x.entries)]
            if (sort, x.name, t) in self.known and t == 0:
                own = own.copy()
                self.known[sort, x.name, t] = own
            own[list(x.entries)] = part
            at += len(x.entries)

    def _values(self, nodes: list[Node], t: int, read: Callable[[str, str, int], Array] | None = None) -> list[Array]:
        """Values in row t, series by `read`; what no row changes is worked out once."""
        key = tuple(map(id, nodes))
        if key not in self._plans:
            self._plans[key] = self._plan(nodes)
        order, fixed = self._plans[key]
        done = dict(fixed)
        read = read or self._read(t)
        for n in order:
            if n.op == "past_sum":
                done[id(n)] = self._past(n, t, done)
            elif n.op == "ref":
                done[id(n)] = read(*n.attrs)
            else:
                done[id(n)] = one(n, [done[id(a)] for a in n.args], self.params, t, read)
        return [np.broadcast_to(done[id(n)], n.shape) if np.shape(done[id(n)]) != n.shape else done[id(n)]
                for n in nodes]  # fmt: skip

    def _plan(self, nodes: list[Node]) -> tuple[list[Node], dict[int, Array]]:
        """The nodes that a row changes, in order, and the values of the others."""
        moving: list[Node] = []
        fixed: dict[int, Array] = {}
        within = {i for n in expr.walk(nodes) if n.op == "past_sum" for i in _bound(n)}
        for n in expr.walk(nodes):
            if id(n) in within:
                continue
            if n.op in ("time", "ref", "past_sum") or any(id(a) not in fixed for a in n.args):
                moving.append(n)
            else:
                fixed[id(n)] = one(n, [fixed[id(a)] for a in n.args], self.params, None, None)
        return moving, fixed

    def _past(self, node: Node, t: int, done: Mapping[int, Array]) -> Array:
        """A sum over k = 1..t. What of a term depends on k alone is worked out once."""
        (name,), (body,) = node.attrs, node.args
        own = _bound(node)
        inner = [n for n in expr.walk([body]) if id(n) in own]
        still = {id(n) for n in inner if not any(m.op in ("time", "ref") for m in expr.walk([n]))}
        if any(n.op == "past_sum" for n in inner):
            raise NotDrawn("a sum over the whole past within another")
        base, total = self._read(t), np.zeros(node.shape)
        for k in range(1, t + 1):
            known = dict(done)
            read = lambda sort, series, lag, k=k: base(sort, series, k if isinstance(lag, str) else lag)
            for n in inner:
                key = (id(n), k)
                if key in self._by_lag:
                    known[id(n)] = self._by_lag[key]
                    continue
                value = (np.asarray(k) if n.op == "bound" and n.attrs == (name,)
                         else one(n, [known[id(a)] for a in n.args], self.params, t, read))  # fmt: skip
                known[id(n)] = value
                if id(n) in still:
                    self._by_lag[key] = value
            total = total + known[id(body)]
        return total

    def _read(self, t: int) -> Callable[[str, str, int], Array]:
        m = self.model

        def value_of(sort: str, name: str, lag: int) -> Array:
            if not isinstance(lag, int):
                raise NotDrawn("a sum over the whole past")
            row = t - lag
            if sort == "input":
                return self.inputs[name][max(row, 0)]
            if sort == "noise":
                key = ("noise", name, row)
                if key not in self.known:
                    law = m.noises[name].law
                    assert law is not None
                    self.known[key] = np.asarray(self._drawn(law, row), float).reshape(-1)
                return self.known[key].reshape(m.noises[name].shape)
            variable = m.states[name] if sort == "state" else m.observations[name]
            value = self.known[sort, name, row].reshape(variable.shape)
            return value.astype(np.int64) if variable.values is not None and np.isfinite(value).all() else value

        return value_of

    def _drawn(self, law: Dist, t: int, owner: str = "") -> Array:
        args = dict(zip(law.args, self._values(list(law.args.values()), t)))
        if owner:
            support = DISTRIBUTIONS[law.name].argument_support
            for name, value in args.items():
                over = support[name] == "unit" and (value > 1).any()
                if over or (support[name] in ("positive", "unit") and (value < 0).any()):
                    self.left.add((owner, law.name, name))
        return draw_law(law, args, self.random)


def _apart(a: Mapping[str, Array], b: Mapping[str, Array]) -> float:
    """The distance of two slopes."""
    return float(np.sqrt(sum(np.sum((a[n] - b[n]) ** 2) for n in a)))


def _bound(node: Node) -> set[int]:
    """Of the term of a sum over the past, the nodes that depend on its index."""
    (name,), found = node.attrs, set()
    for n in expr.walk(list(node.args)):
        own = (n.op == "bound" and n.attrs == (name,)) or (n.op == "ref" and n.attrs[2] == name)
        if own or any(id(a) in found for a in n.args):
            found.add(id(n))
    if not found:  # the same term for each k
        found.add(id(node.args[0]))
    return found


_MEANS = frozenset({("Poisson", "rate"), ("NegativeBinomial", "mean")})


def draw_law(law: Dist, args: Mapping[str, Array], random: np.random.Generator) -> Array:
    """One draw of the law's shape; NaN where an argument is outside of what the law takes."""
    shape, name = law.shape, law.name

    def spread(a: str) -> Array:
        value = np.asarray(args[a], float)
        return value if value.shape == shape else np.broadcast_to(value, shape)

    probs = lambda: spread("probs") if "probs" in args else 1 / (1 + np.exp(-spread("logits")))
    signature = DISTRIBUTIONS[name]
    bad = np.zeros(shape, bool)
    for a in args:
        if signature.event_ndim == 0 and signature.argument_support.get(a) == "positive":
            # A count with the mean zero is zero: what a difference of two rows comes to when nothing happens.
            bad |= ~((spread(a) >= 0) if (name, a) in _MEANS else (spread(a) > 0))
    with np.errstate(all="ignore"):
        match name:
            case "Normal":
                found = spread("loc") + spread("scale") * random.standard_normal(shape)
            case "MvNormal":
                try:
                    root = args["scale_tril"] if "scale_tril" in args else np.linalg.cholesky(args["cov"])
                except np.linalg.LinAlgError:
                    return np.full(shape, np.nan)
                z = random.standard_normal(shape)
                found = np.broadcast_to(args["loc"], shape) + np.einsum("...ij,...j->...i", root, z)
            case "VonMises":
                found = random.vonmises(spread("loc"), np.where(bad, 1.0, spread("concentration")))
            case "Poisson" | "NegativeBinomial" | "Bernoulli" | "Binomial":
                found = _counted(name, spread, probs, args, random, shape)
            case "Categorical":
                p = np.asarray(args["probs"] if "probs" in args else _softmax(np.asarray(args["logits"])), float)
                p = np.broadcast_to(p, (*shape, p.shape[-1]))
                found = (random.uniform(size=(*shape, 1)) > np.cumsum(p, axis=-1)).sum(-1).clip(0, p.shape[-1] - 1)
            case _ if signature.event_ndim:
                raise NotDrawn(f"a draw of {name}")
            case _:
                found = between(name, args, -np.inf, np.inf, random.uniform(size=shape))
    return np.where(bad, np.nan, found)


def _counted(name: str, spread: Callable[[str], Array], probs: Callable[[], Array], args: Mapping[str, Array],
             random: np.random.Generator, shape: tuple[int, ...]) -> Array:  # fmt: skip
    def safe(v: Array, low: float, high: float) -> Array:
        return np.asarray(np.where(np.isfinite(v) & (v >= low) & (v <= high), v, low))

    if name in ("Poisson", "NegativeBinomial"):
        mean = spread("rate" if name == "Poisson" else "mean")
        rate = mean
        if name == "NegativeBinomial":
            k = safe(spread("concentration"), 1e-12, 1e12)
            rate = random.gamma(k, safe(mean, 0, 1e15) / k)
        found = np.asarray(random.poisson(safe(rate, 0, 1e15)), float)
        return np.where(np.isfinite(mean) & (mean >= 0), np.where(rate > 1e15, rate, found), np.nan)
    p = probs()
    count = spread("total_count") if name == "Binomial" else np.ones(shape)
    found = np.asarray(random.binomial(safe(count, 0, 2**31).astype(np.int64), safe(p, 0, 1)), float)
    return np.where(np.isfinite(p) & (p >= 0) & (p <= 1) & np.isfinite(count) & (count >= 0), found, np.nan)


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def _in_order(equations: list[Equation], sort: str) -> list[Equation]:
    """Equations such that what one reads of its own row comes before it."""
    done: list[Equation] = []
    waiting = list(equations)
    nodes = lambda e: [*(e.law.args.values() if e.law is not None else ()), *([e.value] if e.value is not None else [])]
    while waiting:
        gives = lambda e: {t.name for t in e.targets}
        reads = lambda e: {n for s, n, lag in expr.references(nodes(e)) if s == sort and lag == 0}
        ready = [e for e in waiting if not any(reads(e) & gives(o) for o in waiting if o is not e)]
        if not ready:
            raise NotDrawn("values of one row that read each other in turn")
        done += ready
        waiting = [e for e in waiting if e not in ready]
    return done
