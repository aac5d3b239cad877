"""A model to a general program: its equations as functions of one row's memory.

What is static (sizes, where things stand) is planned once; `NonlinearLowering.program` is a pure function of
parameters and data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ssmlang.engines.nonlinear import Facts, Nonlinear
from ssmlang.engines.semidefinite import semidefinite_root
from ssmlang.lowering.apart import apart
from ssmlang.lowering.emissions import Emissions
from ssmlang.lowering.evaluate import Environment, Shared, early, evaluate
from ssmlang.lowering.first_density import has_first_density, log_first
from ssmlang.lowering.first_row import noises_before
from ssmlang.lowering.marks import marks, valued
from ssmlang.lowering.memory import Key, memory_of, whole
from ssmlang.lowering.nonlinear_parts import Augmented, Counter, additive, flattened, in_order, with_wide_starts
from ssmlang.lowering.shared_noises import SharedNoises
from ssmlang.lowering.sources import EXACT, Draws, Normals, Source
from ssmlang.lowering.stationary_start import GaussianStart
from ssmlang.lowering.told_noises import ToldNoises
from ssmlang.lowering.window import Series, cleaned, marked
from ssmlang.model import expr
from ssmlang.model.counts import counts_alone
from ssmlang.model.linear_steps import is_linear, is_steady
from ssmlang.model.model import Definition, Equation, InitialEquation, Model, Noise, Values, nodes_of
from ssmlang.model.shared_noises import shared_noises
from ssmlang.model.stationary_chain import started
from ssmlang.model.told_noises import told_noises
from ssmlang.model.truncation import truncation

Numbers = Mapping[str, Array]
Data = Mapping[Key, Series]


@dataclass(frozen=True)
class Walk:
    """An augmented parameter on its unconstrained scale: `size` numbers, the law of row 0, the way to its own scale."""

    size: int
    first: Callable[[Numbers], tuple[Array, Array]]
    """Mean (size,) of row 0 given the other parameters, and covariance (size, size), or variances (size,)"""
    transform: Callable[[Array, Numbers], Array]
    """(size,) to the parameter's own shape"""
    step: Callable[[Numbers], Array] | None
    """Standard deviation of the step from row to row, () or (size,); None: it does not move"""
    sample: Callable[[Array, Numbers], Array]
    """A draw of row 0 from the prior itself, (size,), from a key"""


class NonlinearLowering:
    """The road from parameters and data to a `Nonlinear` program.

    `latent`: observations that are read at a lag and missing somewhere, or still to come: part of the state. For
    engines that ask how dense observations are given the state (`drawn`) it holds what was seen of them as it is, and
    what was not as their laws give it.
    """

    def __init__(self, model: Model, walks: Mapping[str, Walk], latent: Sequence[str] = (), *, drawn: bool = False,
                 told: bool = True) -> None:  # fmt: skip
        model, self.flat = with_wide_starts(started(model))
        self.model, self.walks, self.latent, self.drawn = model, dict(walks), tuple(latent), drawn
        sizes = {n: w.size for n, w in walks.items()}
        shared = told_noises(model) if told else ()
        self.memory, self.own_noises = memory_of(model, sizes, self.latent, scored=drawn, told=shared)
        self.moved = tuple(e for e in model.equations if e.role == "transition" or self._is_latent(e))
        parted = shared_noises(model, self.latent) if told else None
        self.shared = SharedNoises(model, parted, self.memory) if parted else None
        self.emissions = Emissions(model, self.memory, self.own_noises, self.latent, drawn, self.shared)
        self.told = ToldNoises(self.emissions, shared) if shared else None
        read = {n for e in self.moved for sort, n, lag in expr.references(nodes_of(e)) if sort == "noise" and lag == 0}
        self.noises = [v for v in model.noises.values() if v.name in read or ("noise", v.name) in self.memory.places]
        self.valued = valued(model)
        self.lets = [d for d in model.definitions.values() if d.series and d.value is not None]
        names = list(dict.fromkeys(t.name for i in model.initials if i.special == "stationary" for t in i.targets))
        back = max([0, *(-t.row for i in model.initials for t in i.targets), *(k[2] for k in self.memory.starts),
                    *(lag for e in model.equations for _, _, lag in expr.references(nodes_of(e))
                      if isinstance(lag, int))])  # fmt: skip
        self.start = GaussianStart(model, names, back) if names else None
        self.back = back
        self.initials = in_order([i for i in model.initials if i.special is None])
        self._before = noises_before(self, {v.name for v in self._others()})

    def _is_latent(self, e: Equation) -> bool:
        return any(t.name in self.latent for t in e.targets)

    # ----------------------------------------------------------------------------------------------- static

    @property
    def states(self) -> list[str]:
        """Names of the entries of x: the model's states, then augmented parameters."""
        names = [n for v in self.model.states.values() for n in v.entry_names()]
        for name, walk in self.walks.items():
            own = self.model.parameters[name].entry_names()
            names += own if len(own) == walk.size else [f"{name}[{i}]" for i in range(walk.size)]
        return names

    @property
    def observations(self) -> list[str]:
        """Names of the entries of y."""
        return [n for v in self.model.observations.values() for n in v.entry_names()]

    @property
    def definitions(self) -> list[Definition]:
        """What the program's `definitions` are, one after another."""
        return self.lets

    @cached_property
    def facts(self) -> Facts:
        """Sizes, and which engines' short ways are right."""
        laws = [e.law for e in self.moved if e.law is not None] + [v.law for v in self.noises if v.law is not None]
        first = [i.law for i in self.initials if i.law is not None]
        exact = all(law.name in EXACT for law in (*laws, *first)) and not self.memory.whole and not self.walks
        noises = sum(int(np.prod(law.shape)) for law in laws) + sum(w.size for w in self.walks.values() if w.step)
        noises += self.told.count if self.told else 0
        steady = self.emissions.steady(self._moving)
        return Facts(
            n=self.memory.n, N=self.memory.size, first_noises=self._count_first(), noises=noises,
            m=self.emissions.m, k=self.emissions.k,
            definitions=sum(d.size for d in self.lets),
            additive=all(additive(e, self.told.names if self.told else ()) for e in self.moved),
            linear=self.told is None and all(is_linear(e, self._moving) for e in self.moved)
            and all(is_linear(i, self._moving) for i in self.initials)
            and all(is_steady(v.law, self._moving) for v in self.noises if v.law is not None),
            gaussian_transition=exact, gaussian_emission=self.emissions.gaussian,
            counted=self.emissions.counted,
            counts=counts_alone(self.model) and not self.latent,
            gaussian_step=all(law.name in EXACT for law in laws) and not self.memory.whole,
            steady_emission=steady, linear_emission=steady and self.emissions.affine(self._moving),
            density=self._density(),
            apart=apart(self),
            discrete=self.memory.whole, flat=self.flat,
            augmented=tuple(self.memory.starts["augment", n, 0] + i for n, w in self.walks.items()
                            for i in range(w.size)),
        )  # fmt: skip

    def _density(self) -> bool:
        core, _ = memory_of(self.model, {n: w.size for n, w in self.walks.items()}, self.latent, definitions=False,
                            scored=self.drawn)  # fmt: skip
        laws = all(e.law is not None for e in self.moved) and not self.noises and not self.model.differentials
        return not core.deep and laws and self.told is None and all(w.step is not None for w in self.walks.values())

    def _moving(self, sort: str, name: str, lag: int | str) -> bool:
        """Whether a series is part of the memory."""
        del lag
        return sort in ("state", "noise", "augment") or (sort == "obs" and name in self.latent)

    @cached_property
    def first_density(self) -> bool:
        """Whether x_0 has a density."""
        return has_first_density(self)

    def _count_first(self) -> int:
        counter = Counter()
        with jax.ensure_compile_time_eval():
            params: Any = {n: jnp.full(p.shape, 0.5) for n, p in self.model.parameters.items()}
            data: Any = {("input", n): jnp.zeros((1, *v.shape)) for n, v in self.model.inputs.items()}
            data |= {(sort, n): jnp.zeros((1, *v.shape)) for n, v in self.model.observations.items()
                     for sort in ("obs", "seen")}  # fmt: skip
        jax.eval_shape(lambda: self._first(params, data, counter)[0])
        return counter.count

    # ---------------------------------------------------------------------------------------------- program

    def program(self, params: Numbers, observations: Numbers, inputs: Numbers, steps: int
                ) -> tuple[Nonlinear, Float[Array, "T m"]]:  # fmt: skip
        """The program and the stacked data y, NaN where missing; arguments as of `GaussianLowering.program`."""
        return self.over(params, self.series(observations, inputs)), self.data(observations, steps)

    def series(self, observations: Mapping[str, Series], inputs: Mapping[str, Series]) -> Data:
        """What equations read of the data, for `over`: all rows, or a window of them."""
        # What is missing is read by rows after the data alone, else it would be latent: any number will do there.
        data = {("obs", n): cleaned(v, jnp.nan_to_num) for n, v in observations.items()}
        data |= {("input", n): cleaned(v, jnp.nan_to_num) for n, v in inputs.items()}
        read = self.model.observations if self.told else self.latent
        return data | {("seen", n): cleaned(observations[n], lambda v: v) for n in read}

    def over(self, params: Numbers, data: Data) -> Any:
        """The program over some data."""
        exists: Any = True
        if self.start is not None:
            _, exists = self._first(params, data, Normals(jnp.zeros(self.facts.first_noises)))

        def transition(t: Array, s: Array, source: Source) -> Array:
            return self._moved(params, data, t, s, source)

        def first(source: Source) -> Array:
            return self._first(params, data, source)[0]

        row = lambda t, s: self.environment(params, data, t, s)
        E = self.emissions
        density = flattened(lambda t, s, y, *how: E.log_density(row(t, s), y, *how), self.flat)
        return Nonlinear(
            facts=self.facts,
            first=lambda e: first(Normals(e)),
            transition=lambda t, s, e: transition(t, s, Normals(e)),
            emission=lambda t, s, y: E.moments(row(t, s), y),
            statistic=E.statistic,
            observed=lambda t, s: E.observed(row(t, s)),
            log_emission=density,
            log_emission_rounded=(lambda t, s, y: density(t, s, y, True)) if E.kinked else None,
            sample_first=lambda key: first(Draws(key)),
            sample=lambda key, t, s: transition(t, s, Draws(key)),
            sample_observed=lambda key, t, s: E.sample(row(t, s), Draws(key)),
            log_transition=lambda t, s, now: self._log_transition(params, data, t, s, now),
            joined=self._joined,
            definitions=lambda t, s: self._definitions(row(t, s)),
            exists=exists,
            marks=(lambda s: marks(self.valued, self.memory, s)) if self.valued else None,
            log_first=(lambda s: log_first(self, params, data, s)) if self.first_density else None,
        )

    def data(self, observations: Numbers, steps: int) -> Float[Array, "T m"]:
        """The stacked data as they are scored."""
        columns = [jnp.reshape(jnp.asarray(observations[n], float), (steps, -1)) for n in self.model.observations]
        y = jnp.concatenate(columns, axis=1) if columns else jnp.zeros((steps, 0))
        unscored = self.emissions.conditioned[:steps]
        mask = np.zeros((steps, self.emissions.m), bool)
        mask[: len(unscored)] = unscored
        return jnp.where(mask, jnp.nan, y) if mask.any() else y

    # --------------------------------------------------------------------------------------------- equations

    def environment(self, params: Numbers, data: Data, t: Any, s: Array, now: dict[Key, Array] | None
                    = None, told: Mapping[str, Array] | None = None) -> Environment:  # fmt: skip
        """What expressions read at row t, from the memory of that row; or of the row before, where `now` holds what is
        known of row t already, and `told` noises of the row before."""
        base = 0 if now is None else 1

        def series(sort: str, name: str, lag: int) -> Array:
            if now is not None and lag == 0:
                return now[sort, name]
            if sort == "noise" and told is not None and name in told:
                return told[name]
            return self.memory.get(s, sort, name, lag - base)

        return self._environment(params, data, t, series)

    def _environment(self, params: Numbers, data: Data, t: Any, series: Callable[[str, str, int], Array]
                     ) -> Environment:  # fmt: skip
        model = self.model

        def read(sort: str, name: str, lag: Any) -> Array:
            if sort == "input" or (sort == "obs" and name not in self.latent):
                values = data[sort, name]
                return values[t] if isinstance(lag, int) and lag == 0 else jnp.where(
                    t >= lag, values[jnp.maximum(t - lag, 0)], 0.0)  # fmt: skip
            of: Any = {"state": model.states, "noise": model.noises, "obs": model.observations}[sort][name]
            value = series(sort, name, lag).reshape(of.shape)
            return value.astype(int) if getattr(of, "values", None) is not None else value

        augmented = Augmented(lambda name, lag: self.walks[name].transform(series("augment", name, lag), params))
        return Environment(params=params, read=read, t=t, augmented=augmented)

    def _moved(self, params: Numbers, data: Data, t: Any, s: Array, source: Source) -> Array:
        """The memory of row t from that of the row before."""
        now: dict[Key, Array] = {}
        shared: dict[str, Array] = {}
        if self.told is not None:
            y = jnp.concatenate([data["seen", n][t - 1].ravel() for n in self.model.observations])
            shared = self.told.drawn(self.environment(params, data, t - 1, s), y, source)
        env = self.environment(params, data, t, s, now, shared)
        for name, walk in self.walks.items():
            before = self.memory.get(s, "augment", name, 0)
            now["augment", name] = before if walk.step is None else before + walk.step(params) * source.normals(
                walk.size)  # fmt: skip
        self._noises(env, source, now)
        held = self._shared(env, source, now)
        self._row(env, source, now, told=self._told(data, t))
        return self.memory.pushed(s, now | held)

    def _told(self, data: Data, t: Any) -> Callable[[str], Array]:
        """What is known of an observation's row beforehand, flat, NaN where nothing is: all that was seen where
        missing values are drawn; else what is seen of rows that are conditioned on."""
        def told(name: str) -> Array:
            values = data["seen", name][t].ravel()
            if self.drawn:
                return values
            first = self.emissions.offsets[name]
            own = self.emissions.conditioned[:, first : first + len(values)]
            return jnp.where(marked(own, jnp.asarray(t)), values, jnp.nan)

        return told

    def _noises(self, env: Environment, source: Source, now: dict[Key, Array]) -> None:
        for v in self._others():
            assert v.law is not None
            now["noise", v.name] = source.law(v.law, _arguments(v.law.args, env))

    def _others(self) -> list[Noise]:
        """The noises of a row but those that its observations share with its states."""
        return [v for v in self.noises if self.shared is None or v.name not in self.shared.names]

    def _shared(self, env: Environment, source: Source, now: dict[Key, Array]) -> dict[Key, Array]:
        """Writes the shared noises of a row into `now`, and gives what the memory is to hold of them."""
        if self.shared is None:
            return {}
        whole, held = self.shared.drawn(env, source)
        now |= {("noise", n): v for n, v in whole.items()}
        return {("noise", n): v for n, v in held.items()}

    def _row(self, env: Environment, source: Source, now: dict[Key, Array],
             given: Mapping[Key, np.ndarray] | None = None, told: Callable[[str], Array] | None = None) -> None:
        """What the equations give at a row, written into `now`; entries that are `given` stay, observations that are
        `told` are what they are."""
        shared = Shared(self._early)
        for e in self.moved:
            if given is not None and all(given[self._key(t.name)][list(t.entries)].all() for t in e.targets):
                continue
            if e.law is not None:
                values = source.law(e.law, _arguments(e.law.args, env, shared), self._values(e))
            else:
                assert e.value is not None
                values = evaluate([e.value], env, shared)[0].astype(float).ravel()
            first = 0
            for target in e.targets:
                key, at = self._key(target.name), np.asarray(target.entries)
                part = jnp.broadcast_to(values, (sum(len(t.entries) for t in e.targets),))[first : first + len(at)]
                first += len(at)
                place = self.memory.places[key]
                if told is not None and key[0] == "obs":
                    known = told(target.name)[at.astype(np.int32)]
                    # Of what is drawn jointly a part means something only where the law can be asked about the rest.
                    parted = e.law is None or not e.law.event_ndim or e.law.name == "MvNormal"
                    lacking = jnp.isnan(known) if parted else jnp.isnan(known).any()
                    part = jnp.where(lacking, part, known)
                old = now.get(key, jnp.zeros(place.size))
                if given is not None and given[key][at].any():
                    part = jnp.where(given[key][at], old[at.astype(np.int32)], part)
                now[key] = part if whole(at, place.size) else old.at[at.astype(np.int32)].set(part)

    @cached_property
    def _early(self) -> frozenset[int]:
        """What several equations of a row read of the rows before: a step whose parts are taken apart, say."""
        return early([nodes_of(e) for e in self.moved])

    def _key(self, name: str) -> Key:
        return ("state", name) if name in self.model.states else ("obs", name)

    def _values(self, e: Equation | InitialEquation) -> Values | None:
        return truncation(self.model, e)

    def _joined(self, before: Array, after: Array) -> Array:
        return self.memory.pushed(before, {key: self.memory.get(after, *key, 0) for key in self.memory.places})

    def _log_transition(self, params: Numbers, data: Data, t: Any, s: Array, after: Array) -> Array:
        from ssmlang.lowering.densities import log_density

        now = {(sort, name): self.memory.get(after, sort, name, 0) for sort, name in self.memory.places}
        env = self.environment(params, data, t, s, now)
        total = jnp.zeros(())
        for name, walk in self.walks.items():
            assert walk.step is not None
            moved = now["augment", name] - self.memory.get(s, "augment", name, 0)
            total += jnp.sum(jax.scipy.stats.norm.logpdf(moved, 0.0, walk.step(params)))
        for e in self.moved:
            assert e.law is not None
            x = jnp.concatenate([now[self._key(g.name)][np.asarray(g.entries, np.int32)] for g in e.targets])
            total += log_density(e.law, _arguments(e.law.args, env), x, self._values(e))
        return total

    def _definitions(self, env: Environment) -> Array:
        found = [v.astype(float).ravel() for v in evaluate([d.value for d in self.lets if d.value is not None], env)]
        return jnp.concatenate(found) if found else jnp.zeros(0)

    # ----------------------------------------------------------------------------------------------- row 0

    def _first(self, params: Numbers, data: Data, source: Source,
               kept: Mapping[tuple[str, str, int], Array] | None = None) -> tuple[Array, Any]:  # fmt: skip
        """The memory of row 0, and whether it has a law; what is `kept` is not drawn."""
        kept = kept or {}
        rows: dict[tuple[str, str, int], Array] = dict(kept)
        given = {key: np.full(p.size, (*key, 0) in kept) for key, p in self.memory.places.items()}
        exists: Any = True
        if self.start is not None:
            law = self.start.first(params)
            root = jnp.concatenate([law.factor, semidefinite_root(law.cov)], axis=1)
            exists = law.exists
            for name, values in self.start.rows(law.mean + root @ source.normals(root.shape[1])).items():
                sort = "state" if name in self.model.states else "noise"
                rows |= {(sort, name, lag): v for lag, v in enumerate(values) if (sort, name, lag) not in kept}
                if (sort, name) in given:
                    given[sort, name][:] = True
        for name, walk in self.walks.items():
            if ("augment", name, 0) in kept:
                continue
            if isinstance(source, Draws):
                z = walk.sample(source.next(), params)
            else:
                mean, cov = walk.first(params)
                e = source.normals(walk.size)
                z = mean + (jnp.sqrt(cov) * e if cov.ndim == 1 else semidefinite_root(cov) @ e)
            rows |= {("augment", name, lag): z for lag in range(self.memory.places["augment", name].depth + 1)}

        def series(sort: str, name: str, lag: int) -> Array:
            key = self._key(name) if sort in ("state", "obs") else (sort, name)
            of = self.memory.places[key] if key in self.memory.places else self.model.noises[name]
            return rows.get((*key, lag), jnp.zeros(of.size))

        env = self._environment(params, data, jnp.asarray(0), series)
        mine: dict[Key, Array] = {}
        held = self._shared(env, source, mine)
        rows |= {(*key, 0): v for key, v in mine.items()}
        for v, lag in self._before:
            if ("noise", v.name, lag) not in rows:
                assert v.law is not None
                rows["noise", v.name, lag] = source.law(v.law, _arguments(v.law.args, env))
        for item in self.initials:
            if kept and all((*self._key(target.name), -target.row) in kept for target in item.targets):
                continue
            if item.law is not None:
                values = source.law(item.law, _arguments(item.law.args, env), self._values(item))
            else:
                assert item.value is not None
                values = evaluate([item.value], env)[0].astype(float).ravel()
            values = jnp.broadcast_to(values, (sum(len(t.entries) for t in item.targets),))
            first = 0
            for target in item.targets:
                key, at = self._key(target.name), np.asarray(target.entries, np.int32)
                old = rows.get((*key, -target.row), jnp.zeros(self.memory.places[key].size))
                rows[(*key, -target.row)] = old.at[at].set(values[first : first + len(at)])
                first += len(at)
                if target.row == 0:
                    given[key][at] = True
        now = {(sort, name): v for (sort, name, lag), v in rows.items() if lag == 0}
        moving = lambda sort, name, lag: now[sort, name] if lag == 0 else series(sort, name, lag)
        told = self._told(data, jnp.asarray(0))
        self._row(self._environment(params, data, jnp.asarray(0), moving), source, now, given, told)
        rows |= {(*key, 0): v for key, v in (now | held).items()}
        return self.memory.made(rows), exists


def _arguments(args: Mapping[str, expr.Node], env: Environment, shared: Shared | None = None) -> dict[str, Array]:
    return dict(zip(args, evaluate(list(args.values()), env, shared)))
