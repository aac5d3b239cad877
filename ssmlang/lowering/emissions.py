"""The observations of a row given its memory: moments, densities and draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr

from ssmlang.engines.nonlinear import Law
from ssmlang.lowering.cumulative import cumulative
from ssmlang.lowering.densities import (
    gaussian_density,
    log_density_rounded,
    moments,
    number_moments,
    statistic,
    statistic_size,
)  # fmt: skip
from ssmlang.lowering.densities import log_density as log_density_of
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.lowering.memory import Memory
from ssmlang.lowering.shared_noises import SharedNoises
from ssmlang.lowering.sources import Draws, Normals, Source
from ssmlang.lowering.window import marked
from ssmlang.model import expr, sparse
from ssmlang.model.affine import Affine, Interpreter
from ssmlang.model.expr import Node
from ssmlang.model.linear_steps import is_linear
from ssmlang.model.model import Dist, Equation, Model, Values, nodes_of
from ssmlang.model.truncation import truncation

Moving = Callable[[str, str, int | str], bool]
"""Whether a series (sort, name, lag) is part of the memory."""


@dataclass(frozen=True)
class _Seen:
    """One equation, where its targets stand in y and its statistic in the stacked one."""

    equation: Equation
    at: np.ndarray
    extent: int
    """classes of a category"""
    first: int
    size: int
    values: Values | None


class Emissions:
    """The emission equations of a model, over the memory of a row.

    `latent` observations are in the memory: they are seen there exactly; or, where they are `drawn`, the memory holds
    what was seen, and a draw of what was not, and they are scored by their laws like others. A named noise that no
    state of its row reads is integrated out, where they are affine in it; of one that states `shared` with them what is
    left given the memory.
    """

    def __init__(self, model: Model, memory: Memory, own_noises: Sequence[str], latent: Sequence[str],
                 drawn: bool = False, shared: SharedNoises | None = None) -> None:  # fmt: skip
        self.shared = shared
        self.own = frozenset(own_noises) | frozenset(shared.held if shared else ())
        self.model, self.memory, self.latent, self.drawn = model, memory, tuple(latent), drawn
        self.noises = [model.noises[n] for n in own_noises]
        offsets, at = {}, 0
        for o in model.observations.values():
            offsets[o.name] = at
            at += o.size
        self.m, self.offsets = at, offsets
        self.seen: list[_Seen] = []
        first = 0
        for e in model.equations:
            if e.role != "emission":
                continue
            places = np.concatenate([offsets[t.name] + np.asarray(t.entries, int) for t in e.targets])
            exact = e.law is None or (not drawn and any(t.name in self.latent for t in e.targets))
            values = truncation(model, e)
            extent = _extent(e)
            size = len(places) if exact or e.law is None else statistic_size(e.law, extent, values)
            self.seen.append(_Seen(e, places, extent, first, size, values))
            first += size
        self.k = first
        self.chained = any(sort == "obs" and lag == 0 and name not in self.latent
                           for s in self.seen for sort, name, lag in expr.references(nodes_of(s.equation)))  # fmt: skip

    @property
    def gaussian(self) -> bool:
        """Whether y given s is Gaussian."""
        return all(s.equation.law is None or s.equation.law.name in ("Normal", "MvNormal") for s in self.seen)

    @property
    def counted(self) -> tuple[int, ...]:
        """Entries of y whose law is not Gaussian; all where some is and observations of a row read each other."""
        laws = [s for s in self.seen if s.equation.law is not None and not self._exact(s)]
        found = [s.at for s in laws if s.equation.law is not None and s.equation.law.name not in ("Normal", "MvNormal")]
        if found and self.chained:
            return tuple(range(self.m))
        return tuple(sorted(int(i) for at in found for i in at))

    @cached_property
    def singular(self) -> list[Equation]:
        """Equations that have no density: exact given the memory."""
        found = []
        for s in self.seen:
            own = self.own
            read = {name for sort, name, lag in expr.references(nodes_of(s.equation)) if sort == "noise" and lag == 0}
            if s.equation.law is None and not read & own:
                found.append(s.equation)
        return found

    @cached_property
    def bent(self) -> list[Equation]:
        """Equations that are not affine in a noise of their own."""
        own = self.own
        is_own = lambda sort, name, lag: sort == "noise" and name in own
        found = []
        for s in self.seen:
            nodes = nodes_of(s.equation)
            if any(is_own(*r) for r in expr.references(nodes)):
                centre = s.equation.value if s.equation.law is None else s.equation.law.args.get("loc")
                rest = [n for n in nodes if n is not centre]
                if centre is None or any(is_own(*r) for r in expr.references(rest)) or not isinstance(
                    Interpreter(is_own)(centre), Affine):  # fmt: skip
                    found.append(s.equation)
        return found

    def steady(self, moving: Moving) -> bool:
        """Whether observations are Gaussian, of scales that do not move with the memory or others of their row."""
        if not self.gaussian or self.bent or (self.own and self.chained):
            return False
        own = Interpreter(lambda sort, name, lag: sort == "noise" and lag == 0 and name in self.own)
        nodes: list[Node] = []
        for law, value in ((s.equation.law, s.equation.value) for s in self.seen):
            nodes += [v for k, v in law.args.items() if k != "loc"] if law is not None else []
            centre = value if law is None else law.args.get("loc")
            form = own(centre) if centre is not None and self.own else None
            nodes += [m.values for m in form.terms.values()] if isinstance(form, Affine) else []
        return not any(moving(*r) or (r[0] == "obs" and r[2] == 0) for r in expr.references(nodes))

    def affine(self, moving: Moving) -> bool:
        """Whether the means of observations are affine in the memory and others of their row."""
        both = lambda sort, name, lag: moving(sort, name, lag) or (sort == "obs" and lag == 0)
        return all(is_linear(s.equation, both) for s in self.seen)

    @cached_property
    def conditioned(self) -> np.ndarray:
        """(rows, m): observations of the first rows whose equation reaches before the data, which are not scored."""
        reach = np.zeros(self.m, int)
        for s in self.seen:
            guarded = {lag for _, lag in s.equation.guarded}
            for k, at in enumerate(s.at):
                lags = [lag for sort, _, lag in expr.references(_entry(s, k)) if sort == "obs" and isinstance(lag, int)]
                reach[at] = max([0, *(lag for lag in lags if lag not in guarded)])
        return np.arange(reach.max(initial=0))[:, None] < reach

    @cached_property
    def unavailable(self) -> np.ndarray:
        """(rows, m): observations of the first rows that read a state in a row before 0 in which it has no value, and
        are not conditioned on."""
        given = {(t.name, -t.row) for i in self.model.initials for t in i.targets}
        settled = {t.name for i in self.model.initials if i.special == "stationary" for t in i.targets}
        found: set[tuple[int, int]] = set()
        for s in self.seen:
            for k, at in enumerate(s.at):
                for sort, name, lag in expr.references(_entry(s, k)):
                    if sort == "state" and isinstance(lag, int) and not {(name, lag)} & s.equation.guarded:
                        found |= {(r, at) for r in range(lag) if name not in settled and (name, lag - r) not in given}
        marks = np.zeros((max((r + 1 for r, _ in found), default=0), self.m), bool)
        for r, at in found:
            marks[r, at] = not (r < len(self.conditioned) and self.conditioned[r, at])
        return marks

    @cached_property
    def lawless(self) -> np.ndarray:
        """(rows, m): observations of the first rows that have no law, for one reason or the other."""
        marks = np.zeros((max(len(self.conditioned), len(self.unavailable)), self.m), bool)
        for own in (self.conditioned, self.unavailable):
            marks[: len(own)] |= own
        return marks

    def statistic(self, y: Array) -> Array:
        """The statistic of a row of data, NaN where missing."""
        parts = [y[s.at.astype(np.int32)] if s.size == len(s.at) and not self._angular(s) else
                 statistic(s.equation.law, y[s.at.astype(np.int32)], s.extent, s.values)  # type: ignore[arg-type]
                 for s in self.seen]  # fmt: skip
        return jnp.concatenate(parts) if parts else jnp.zeros(0)

    def _angular(self, s: _Seen) -> bool:
        law = s.equation.law
        return law is not None and not self._exact(s) and law.name in ("Categorical", "Multinomial", "VonMises")

    def _exact(self, s: _Seen) -> bool:
        return not self.drawn and self._is_latent(s)

    # ---------------------------------------------------------------------------------------------- moments

    def moments(self, env: Environment, y: Array) -> Law:
        """Mean and covariance of the statistic; what equations read of their own row is taken from y where seen."""
        mean, cov = self.given(env, y, self._still(env))
        if self.own:
            J = jax.jacfwd(lambda w: self.given(env, y, self._drawn(env, Normals(w)))[0])(jnp.zeros(self.width))
            cov = cov + J @ J.T
        return Law(mean, cov)

    def given(self, env: Environment, y: Array, noises: Mapping[str, Array]) -> tuple[Array, Array]:
        """Mean and covariance of the statistic given the own noises too."""
        seen = y
        means, covs = [], []
        for s in self.seen:
            now = self._reading(env, seen, noises)
            mean, cov = self._one(s, now)
            if self.chained:
                number, _ = self._numbers(s, now)
                at = s.at.astype(np.int32)
                seen = seen.at[at].set(jnp.where(jnp.isnan(seen[at]), number, seen[at]))
            means.append(mean)
            covs.append(cov if cov.ndim == 2 else jnp.diag(cov))
        if not means:
            return jnp.zeros(0), jnp.zeros((0, 0))
        return jnp.concatenate(means), covs[0] if len(covs) == 1 else jax.scipy.linalg.block_diag(*covs)

    def _one(self, s: _Seen, env: Environment) -> tuple[Array, Array]:
        if self._exact(s):
            return self._in_memory(s, env), jnp.zeros(s.size)
        e = s.equation
        if e.law is None:
            assert e.value is not None
            value = evaluate([e.value], env)[0].astype(float).ravel()
            return jnp.broadcast_to(value, (s.size,)), jnp.zeros(s.size)
        return moments(e.law, _arguments(e.law, env), s.values)

    def _numbers(self, s: _Seen, env: Environment) -> tuple[Array, Array]:
        """Moments of the observations themselves."""
        if self._exact(s) or s.equation.law is None:
            return self._one(s, env)
        return number_moments(s.equation.law, _arguments(s.equation.law, env), s.values)

    def _in_memory(self, s: _Seen, env: Environment) -> Array:
        parts = [env.read("obs", t.name, 0).astype(float).ravel()[np.asarray(t.entries, np.int32)]
                 for t in s.equation.targets]  # fmt: skip
        return jnp.concatenate(parts)

    def observed(self, env: Environment) -> Law:
        """Mean and covariance of y itself, none of it seen."""
        if not self.chained:
            return self._placed(env, self._still(env))
        # What reads others of its row varies with them: standard normal numbers stand for each entry's own part.
        chain = lambda e: self._drawn_row(env, Normals(e))
        size = sum(len(s.at) for s in self.seen) + self.width
        J = jax.jacfwd(chain)(jnp.zeros(size))
        return Law(chain(jnp.zeros(size)), J @ J.T)

    def _placed(self, env: Environment, noises: Mapping[str, Array]) -> Law:
        def means(noises: Mapping[str, Array]) -> tuple[Array, Array]:
            mean, cov = jnp.zeros(self.m), jnp.zeros((self.m, self.m))
            for s in self.seen:
                own, spread = self._numbers(s, self._reading(env, jnp.full(self.m, jnp.nan), noises))
                at = s.at.astype(np.int32)
                mean = mean.at[at].set(own)
                cov = cov.at[at[:, None], at[None, :]].set(spread if spread.ndim == 2 else jnp.diag(spread))
            return mean, cov

        mean, cov = means(noises)
        if self.own:
            J = jax.jacfwd(lambda w: means(self._drawn(env, Normals(w)))[0])(jnp.zeros(self.width))
            cov = cov + J @ J.T
        return Law(mean, cov)

    # ------------------------------------------------------------------------------------ density and draws

    @property
    def kinked(self) -> bool:
        """Whether a density has a corner."""
        return any(s.equation.law is not None and s.equation.law.name == "Laplace" for s in self.seen)

    def log_density(self, env: Environment, y: Array, rounded: bool = False) -> Array:
        """log-density of what is there in y; its corners `rounded` off."""
        log_density = log_density_rounded if rounded else log_density_of
        total, plain, at = jnp.zeros(()), [], []
        for s in self.seen:
            if self._exact(s):  # the memory holds its value, and not always what its law reads
                continue
            own = y[s.at.astype(np.int32)]
            now = self._reading(env, y, self._still(env))
            law = s.equation.law
            if law is not None and law.name == "MvNormal" and self.drawn and self._is_latent(s):
                # What is missing was drawn without regard to what was seen beside it.
                x, args = self._in_memory(s, env), _arguments(law, now)
                x = jnp.where(marked(self.conditioned[:, s.at], jnp.asarray(env.t)), jnp.nan, x)
                total += log_density(law, args, x) - log_density(law, args, jnp.where(jnp.isnan(own), x, jnp.nan))
            elif law is not None and not self._loaded(s):
                total += log_density(law, _arguments(law, now), own, s.values)
            else:
                plain.append(s)
                at.append(s.at)
        if not plain:
            return total
        places = np.concatenate(at).astype(np.int32)
        mean, cov = self.moments(env, y)
        rows = np.concatenate([np.arange(s.first, s.first + s.size) for s in plain]).astype(np.int32)
        return total + gaussian_density(y[places] - mean[rows], cov[rows[:, None], rows[None, :]])

    def cumulative(self, env: Environment, y: Array) -> Array:
        """(2, m): how probable it is that each entry is below what is there in y, and that it is not above; see
        `ssmlang.lowering.cumulative`. Others of their row are read from y."""
        found = jnp.full((2, self.m), jnp.nan)
        whole = self.moments(env, y) if any(s.equation.law is None or self._loaded(s) for s in self.seen) else None
        for s in self.seen:
            at = s.at.astype(np.int32)
            law, now = s.equation.law, self._reading(env, y, self._still(env))
            if whole is None or (law is not None and not self._loaded(s)):
                assert law is not None
                own = jnp.stack(cumulative(law, _arguments(law, now), y[at], s.values))
            else:
                rows = np.arange(s.first, s.first + s.size)
                variance = jnp.diagonal(whole.cov)[rows]
                sd = jnp.sqrt(jnp.where(variance > 0, variance, jnp.nan))
                own = jnp.broadcast_to(ndtr((y[at] - whole.mean[rows]) / sd), (2, len(at)))
            found = found.at[:, at].set(own)
        return found

    def _is_latent(self, s: _Seen) -> bool:
        return any(t.name in self.latent for t in s.equation.targets)

    def _loaded(self, s: _Seen) -> bool:
        own = self.own
        return any(sort == "noise" and name in own for sort, name, _ in expr.references(nodes_of(s.equation)))

    def sample(self, env: Environment, source: Draws) -> Array:
        """A draw of y."""
        return self._drawn_row(env, source)

    def _drawn_row(self, env: Environment, source: Source) -> Array:
        noises, y = self._drawn(env, source), jnp.full(self.m, jnp.nan)
        for s in self.seen:
            now = self._reading(env, y, noises)
            law = s.equation.law
            if law is None or self._exact(s):
                value, _ = self._one(s, now)
            else:
                value = source.law(law, _arguments(law, now), s.values)
            y = y.at[s.at.astype(np.int32)].set(value)
        return y

    # --------------------------------------------------------------------------------------------- reading

    @property
    def width(self) -> int:
        """How many standard normal numbers the own noises take."""
        own = sum(int(np.prod(n.law.shape)) for n in self.noises if n.law is not None)
        return own + (self.shared.width if self.shared else 0)

    def _still(self, env: Environment) -> dict[str, Array]:
        """The own noises at their means."""
        return self._drawn(env, Normals(jnp.zeros(self.width)))

    def noises_at(self, env: Environment, e: Array) -> dict[str, Array]:
        """The own noises that standard normal numbers give, in their shapes."""
        return self._drawn(env, Normals(e))

    def _drawn(self, env: Environment, source: Source) -> dict[str, Array]:
        laws = {n.name: n.law for n in self.noises if n.law is not None}
        own = {name: source.law(law, _arguments(law, env)).reshape(law.shape) for name, law in laws.items()}
        return own | self.shared.completed(env, source) if self.shared else own

    def _reading(self, env: Environment, y: Array, noises: Mapping[str, Array]) -> Environment:
        def read(sort: str, name: str, lag: int) -> Array:
            if sort == "noise" and lag == 0 and name in noises:
                return noises[name]
            if sort == "obs" and lag == 0 and name not in self.latent:
                o, first = self.model.observations[name], self.offsets[name]
                value = y[first : first + o.size].reshape(o.shape)
                return jnp.nan_to_num(value).astype(int) if o.values is not None else value
            return env.read(sort, name, lag)

        return replace(env, read=read)


def _entry(s: _Seen, k: int) -> list[Node]:
    """The expressions that say what an entry is: of a Gaussian law its own location, and all else of the law."""
    law, centre = s.equation.law, s.equation.value
    rest: list[Node] = []
    if law is not None:
        centre = law.args.get("loc") if law.name in ("Normal", "MvNormal") else None
        rest = [v for v in law.args.values() if v is not centre]
    if centre is None:
        return rest
    whole = expr.broadcast(centre, (len(s.at),)) if not centre.shape else centre
    if int(np.prod(whole.shape)) != len(s.at):
        return [centre, *rest]
    return [sparse.gather(sparse.flat(whole), np.array([k])), *rest]


def _arguments(law: Dist, env: Environment) -> dict[str, Array]:
    return dict(zip(law.args, evaluate(list(law.args.values()), env)))


def _extent(e: Equation) -> int:
    """How many classes a category has."""
    if e.law is None or e.law.name != "Categorical":
        return 0
    node = e.law.args["probs"] if "probs" in e.law.args else e.law.args["logits"]
    return node.shape[-1]
