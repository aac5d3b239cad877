"""Runs the engine `imm` on a model and data."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from ssmlang.data import Bound
from ssmlang.engines.base import Engine, Known
from ssmlang.engines.switching import SwitchingFiltered
from ssmlang.inference.quick import quickly_compiled
from ssmlang.language.diagnostics import SsmError
from ssmlang.lowering.chain_moments import Observed, state_moments, state_probabilities
from ssmlang.lowering.switching import SwitchingLowering
from ssmlang.model import expr
from ssmlang.model.model import Model, Variable, nodes_of
from ssmlang.model.switching import SwitchingForm, switching_form
from ssmlang.results.chains import chain_dataset
from ssmlang.running.chains import ChainExecution, ChainMoments, rows_from
from ssmlang.running.execution import Params, Series, Setting, floats, not_a_number, steps_of
from ssmlang.running.gaps import check_reach, seen_in
from ssmlang.running.kept import Kept
from ssmlang.running.particles import warn_of_few_proposals


class SwitchingExecution(ChainExecution):
    """The functions of one switching model, compiled when first used."""

    moments: ClassVar[str] = "ssmlang.running.switching:SwitchingMoments"

    def __init__(self, model: Model, engine: Engine) -> None:
        self.model, self.engine = model, engine
        self._lowered: dict[tuple[tuple[str, ...], bool], SwitchingLowering] = {}
        self._places: dict[SwitchingLowering, tuple[_Places, Observed]] = {}
        self._compiled = {}
        self.kept = Kept()
        self.form: Any = self.switching().form.linear

    def switching(self, latent: tuple[str, ...] = (), definitions: bool = False) -> SwitchingLowering:
        """The lowering with some observations, or the definitions, as part of the real state."""
        key = (latent, definitions)
        if key not in self._lowered:
            form = switching_form(self.model, latent, definitions, getattr(self.engine, "history", 1))
            if not isinstance(form, SwitchingForm):
                raise SsmError([o.diagnostic(self.engine.name) for o in form])
            self._lowered[key] = SwitchingLowering(self.model, form)
        return self._lowered[key]

    def takes(self, latent: tuple[str, ...]) -> bool:
        """Whether observations can be part of the real state: those that are read linearly."""
        form = switching_form(self.model, latent, True, getattr(self.engine, "history", 1))
        return isinstance(form, SwitchingForm) and set(latent) <= set(form.linear.stacking.latent)

    @property
    def small(self) -> bool:
        return False

    # --------------------------------------------------------------------------------------------------- data

    def setting(self, bounds: Sequence[Bound], *, ahead: bool = False) -> Setting:
        missing = lambda name: any(np.isnan(b.observations[name][:-1]).any() for b in bounds)
        latent = tuple(n for n in self.form.read_back if ahead or missing(n))
        if ahead:
            self._check_feedback(latent)
        return Setting(latent, Known())

    def _check_rows(self, bound: Bound) -> None:
        """Observations in the first rows that read a state or a regime without a value there (E205)."""
        form = self.switching().form
        observations = form.linear_model.observations
        seen = seen_in(observations, bound.observations, bound.steps)
        seen[: len(form.linear.conditioned)] &= ~form.linear.conditioned[: bound.steps]
        for mark in (form.unavailable, form.linear.unavailable):
            check_reach(observations, mark, seen)

    def _undefined(self, params: Params, seen: Any, given: Any, bound: Bound) -> np.ndarray:
        return self.switching(self.setting([bound]).latent).undefined(params, seen, given, bound.steps)

    def _as_state(self, latent: Sequence[str]) -> list[tuple[str, str, int]]:
        """Reads of observations that the real state holds; what the regimes read is a number that was seen."""
        chain = expr.references([n for e in self.switching().form.chain_model.equations for n in nodes_of(e)])
        return [r for r in self._read if r[0] == "obs" and r[1] in latent and r not in chain]

    # ---------------------------------------------------------------------------------------------- functions

    def _lowering_for(self, setting: Setting) -> SwitchingLowering:
        return self.switching(setting.latent)

    def _whole(self, setting: Setting) -> SwitchingLowering:
        return self.switching(setting.latent, True)

    def key(self, setting: Setting) -> Hashable:
        return setting.latent, self.engine

    def _cumulative(self, setting: Setting) -> Callable[[Params, Series, Array, Any], Array]:
        lowering, engine = self._whole(setting), self.engine
        observed, linear = Observed(lowering.chains), lowering.form.linear.stacking
        order = _order(self.model.observations, linear.y, lowering.form.chain.first_seen)
        parts = [np.flatnonzero(order[0] == of)[np.argsort(order[1][order[0] == of])] for of in (False, True)]

        def found(params: Params, series: Series, values: Array, first: Any) -> Array:
            data, steps = (series["observations"], series["inputs"]), steps_of(series)
            program, y = lowering.program(params, *data, steps)
            p = engine.filter(program, y).predicted_probability  # type: ignore[attr-defined]
            ahead = [p[None] if g.entries.size else jnp.ones((len(g.entries), len(p), 1))
                     for g in lowering.chains.groups]  # fmt: skip
            ahead, (own, other) = rows_from(ahead, first, len(values)), (values[:, at] for at in parts)
            alone = observed.cumulative(params, *data, ahead, other, first)
            real = engine.cumulative(program, y, own, first)  # type: ignore[attr-defined]
            both = jnp.concatenate([jnp.repeat(real[:, None], 2, axis=1), alone], axis=2)
            return both[..., np.where(order[0], real.shape[1] + order[1], order[1])]

        return found

    def cumulative_states(self, setting: Setting) -> Callable[..., Array]:
        """Of (params, series, values, first), values (K, R, n) for the rows from `first` on, (K, R, n): how probable
        values of the real states up to these are given the rows so far."""
        key = ("cumulative_states", self.key(setting))
        if key not in self._compiled:
            lowering, engine = self._whole(setting), self.engine

            def found(params: Params, series: Series, values: Array, first: Any) -> Array:
                program, y = lowering.program(params, series["observations"], series["inputs"], steps_of(series))
                return engine.cumulative_states(program, y, values, first)  # type: ignore[attr-defined, no-any-return]

            self._compiled[key] = quickly_compiled(jax.vmap(found, in_axes=(None, None, 0, None)), self.work)
        return self._compiled[key]

    def told_by(self, lowering: Any, params: Params, data: tuple[Any, Any], found: Any, first: Any = 0
                ) -> dict[str, Any]:  # fmt: skip
        """What the engine finds of rows from `first` on, by name; `data`: observations and inputs."""
        chains, smooth = lowering.chains, not isinstance(found, SwitchingFiltered)
        if lowering not in self._places:
            self._places[lowering] = (_Places(self.model, lowering), Observed(chains))
        places, observed = self._places[lowering]
        # Components without a regime hold observations alone.
        of = lambda p: [p[None] if g.entries.size else jnp.ones((len(g.entries), len(p), 1)) for g in chains.groups]
        now = of(found.probability)
        ahead = now if smooth else of(found.predicted_probability)
        out: dict[str, Any] = {"log_likelihood": found.log_likelihood}
        out |= {f"{n}_probability": p for n, p in state_probabilities(chains, now).items()}
        regimes, alone = state_moments(chains, now), observed.moments(params, *data, ahead, not smooth, first)
        out["mean"], out["cov"] = places.states((found.mean, found.cov), regimes)
        real = (found.observed_mean, found.observed_cov)
        out["observed_mean"], out["observed_cov"] = places.observations(real, alone)
        if not smooth:
            out |= {f"{n}_predicted_probability": p for n, p in state_probabilities(chains, ahead).items()}
            out["predicted_mean"], out["predicted_cov"] = places.states(
                (found.predicted_mean, found.predicted_cov), state_moments(chains, ahead)
            )
        for name, (start, stop) in lowering.form.linear.definitions.items():
            shape = (len(found.mean), *self.model.definitions[name].shape)
            variance = jnp.diagonal(found.cov, axis1=1, axis2=2)[:, start:stop]
            out[name] = found.mean[:, start:stop].reshape(shape)
            out[f"{name}_sd"] = jnp.sqrt(jnp.maximum(variance, 0.0)).reshape(shape)
        return out


class _Places:
    """Moments of the linear part and of the regimes, side by side in the order of the file."""

    def __init__(self, model: Model, lowering: SwitchingLowering) -> None:
        linear = lowering.linear.form.stacking
        self._states = _order(model.states, linear.x, lowering.form.chain.first)
        self._seen = _order(model.observations, linear.y, lowering.form.chain.first_seen)

    def states(self, real: tuple[Any, Any], regimes: Any) -> tuple[Any, Any]:
        return _together(self._states, real, regimes)

    def observations(self, real: tuple[Any, Any], alone: Any) -> tuple[Any, Any]:
        return _together(self._seen, real, alone)


def _order(
    variables: Mapping[str, Variable], first: Mapping[str, int], second: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each entry whether it is of the second part, and its place in its part."""
    of: list[bool] = []
    at: list[int] = []
    for v in variables.values():
        later = v.name not in first
        start = second[v.name] if later else first[v.name]
        of += [later] * v.size
        at += range(start, start + v.size)
    apart = np.array(of, bool)
    return apart, np.array(at, np.int32), apart[:, None] == apart[None, :]


def _together(order: tuple[np.ndarray, np.ndarray, np.ndarray], real: tuple[Any, Any], other: Any) -> tuple[Any, Any]:
    """Mean and covariance; between the parts no covariance is worked out: NaN."""
    apart, at, same = order
    pad = lambda v, ndim: jnp.pad(v, [(0, 0)] + [(0, 1)] * ndim)
    pick = lambda v, here: jnp.where(here, at, v.shape[1] - 1)
    first, second = pad(real[0], 1), pad(other[0], 1)
    mean = jnp.where(apart, second[:, pick(second, apart)], first[:, pick(first, ~apart)])
    first, second = pad(real[1], 2), pad(other[1], 2)
    one, two = pick(first, ~apart), pick(second, apart)
    cov = jnp.where(apart[:, None], second[:, two[:, None], two[None, :]], first[:, one[:, None], one[None, :]])
    return mean, jnp.where(same, cov, jnp.nan)


class SwitchingMoments(ChainMoments):
    """One verb on one series by the engine `imm`, made ready for any parameters."""

    def _prepare(self) -> None:
        self.own = self.execution
        self._lowering = self.own.switching(self.setting.latent, True)
        self.chain_form = self._lowering.form.chain

    @cached_property
    def _gone(self) -> np.ndarray:
        """(T, n): where a state has no value in the first rows."""
        form, chain = self._lowering.form.linear, self._lowering.form.chain
        names = [n for s in self.model.spec.states.values() for n in s.entry_names()]
        gone = np.zeros((len(self._time), len(names)), bool)
        at = 0
        for s in self.model.spec.states.values():
            own, of = (chain.first, chain.absent) if s.name in chain.first else (form.stacking.x, form.absent)
            rows = min(len(of), len(gone))
            gone[:rows, at : at + s.size] = of[:rows, own[s.name] : own[s.name] + s.size]
            at += s.size
        return gone

    def _blanked(self, out: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """NaN where a value does not exist in the first rows."""
        if self.first:
            return out
        gone = self._gone
        for kind in ("", "predicted_"):
            if f"{kind}mean" in out:
                out[f"{kind}mean"] = np.where(gone, np.nan, out[f"{kind}mean"])
                out[f"{kind}cov"] = np.where(gone[:, :, None] | gone[:, None, :], np.nan, out[f"{kind}cov"])
        return out

    def _labelled(self, arrays: Mapping[str, np.ndarray], constant: Mapping[str, np.ndarray], keep: Any,
                  attrs: dict[str, Any]) -> xr.Dataset:  # fmt: skip
        exact = self._lowering.form.memoryless
        said = {"approximation": "none: no real state depends on an earlier row"} if exact else {
            "approximation": f"mixtures over the regimes of {max(self._lowering.memory.rows)} row(s), collapsed to "
            "Gaussians"}  # fmt: skip
        said |= {"forecast_by": self.note} if self.note else {}
        return chain_dataset(self.model.spec, arrays, constant, time=self._time, attrs=attrs | said, keep=keep)

    def draws(self, wanted: Sequence[tuple[Mapping[str, Any], int]], seed: int, first: int = 0) -> np.ndarray:
        """Paths (path, T, n) of all states drawn given the data, labels by their positions. Raises E721; warns W724
        where the regimes of a path were chosen among too few that count."""
        paths, ess = self._draws(wanted, seed, first, bound=False)
        if np.isnan(paths).any():  # data that bind states exactly
            paths, ess = self._draws(wanted, seed, first, bound=True)
        bad = np.isnan(paths).any(axis=(0, 2))
        if bad.any():
            raise SsmError(not_a_number("a path of the states", self.bound.time.label(int(np.flatnonzero(bad)[0]))))
        warn_of_few_proposals(self.own.engine, ess)
        return np.where(self._gone, np.nan, paths)

    def _draws(self, wanted: Sequence[tuple[Mapping[str, Any], int]], seed: int, first: int, *, bound: bool
               ) -> tuple[np.ndarray, float]:  # fmt: skip
        """Such paths, and among how many that count each was chosen on average; see `IMM.draw_paths`."""
        execution, latent = self.own, self.setting.latent
        kept = execution.__dict__.setdefault("_paths", {})
        if (latent, bound) not in kept:
            lowering, engine = execution.switching(latent), execution.engine
            apart, at, _ = _order(self.model.spec.states, lowering.linear.form.stacking.x, lowering.form.chain.first)

            def draw(params: Params, series: Series, keys: Array) -> tuple[Array, Array]:
                data, steps = (series["observations"], series["inputs"]), steps_of(series)
                program, y = lowering.program(params, *data, steps)
                drawn = engine.draw_paths(program, y, keys, bound=bound)  # type: ignore[attr-defined]
                values = jnp.asarray(lowering.chains.memories[0], drawn.x.dtype)[drawn.memory]
                x = jnp.concatenate([drawn.x, values], axis=2)
                return x[..., np.where(apart, at + drawn.x.shape[2], at)], drawn.ess

            kept[latent, bound] = quickly_compiled(draw, execution.work)
        out, ess = [], []
        for params, count in wanted:
            keys = jax.vmap(lambda k: jax.random.fold_in(jax.random.key(seed), k))(np.arange(first, first + count))
            x, own = kept[latent, bound](floats(params), self.series, keys)
            out.append(np.asarray(x)[:, : self.bound.steps])
            ess.append(np.asarray(own))
            first += count
        return np.concatenate(out), float(np.mean(np.concatenate(ess)))
