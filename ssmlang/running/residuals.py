"""`model.residuals`: innovations one step ahead, and the noises themselves given all data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ssmlang.analysis.choice import Task
from ssmlang.data import Bound
from ssmlang.engines import engine_class
from ssmlang.inference.quick import quickly_compiled
from ssmlang.language.diagnostics import SsmError
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.lowering.gaussian import GaussianLowering
from ssmlang.model.linear import LinearForm, linear_form
from ssmlang.model.noises import NoiseLaw, with_noises
from ssmlang.results.provenance import noted, provenance
from ssmlang.results.residuals import residuals as dataset
from ssmlang.results.residuals import standardized
from ssmlang.running.covariances import no_covariance
from ssmlang.running.execution import Execution, floats, not_a_number, running
from ssmlang.running.gaps import absent, blanked
from ssmlang.running.moments import Moments
from ssmlang.running.on_data import OnData

if TYPE_CHECKING:
    import xarray as xr

    from ssmlang.compiled import Model

LEAST = 1e-9
"""Where the data tell less than this share of a noise's variance, there is no auxiliary residual."""


class NoiseMoments(NamedTuple):
    """Of each entry of each noise at each row: mean and sd given all data, and the auxiliary residual."""

    mean: Float[np.ndarray, "T r"]
    sd: Float[np.ndarray, "T r"]
    auxiliary: Float[np.ndarray, "T r"]


def residuals(
    model: Model, engine: Any, task: Task, bounds: Sequence[Bound], params: Mapping[str, Any], dtype: str,
    device: str | None, seed: int = 0,
) -> list[xr.Dataset]:  # fmt: skip
    """The Dataset of each series; see `Model.residuals`."""
    execution = model.execution(engine, task)
    with running(dtype, device):
        if not execution.engine.requires.linear:
            from ssmlang.running.quantiles import quantile_residuals

            return [quantile_residuals(model, execution, b, params, seed, i) for i, b in enumerate(bounds)]
        return [_residuals(model, execution, bound, params) for bound in bounds]


def _residuals(model: Model, execution: Execution, bound: Bound, params: Mapping[str, Any]) -> xr.Dataset:
    ready = Moments(model, execution, "filter", bound)
    found = ready.arrays(params)
    with jax.enable_x64(True):
        seen = {name: jnp.asarray(values) for name, values in bound.observations.items()}
        y = np.asarray(ready.lowering.data(seen, bound.steps))
    spread = found.get("observed_cov")
    innovations = standardized(y, found["observed_mean"], found["observed_sd"] if spread is None else spread)
    noises = _noises(execution)
    smoothed = noises.moments(ready.setting.latent, ready.series, bound, params)
    given = {k: np.asarray(v).tolist() for k, v in params.items()}
    attrs = provenance(model=model.name, source=model.source_text, engine=execution.engine.name, verb="residuals",
                       params=given, **noted([bound]))  # fmt: skip
    if noises.engine.name != execution.engine.name:
        attrs["noise_engine"] = noises.engine.name
    if spread is None:
        attrs["standardized"] = "each entry by its own sd, for the engine holds no full covariance"
    return dataset(innovations, smoothed, observations=ready.lowering.observations, noises=noises.entries,
                   time=bound.time, attrs=attrs)  # fmt: skip


def _noises(execution: Execution) -> Noises:
    """The noises of an execution, made once."""
    kept: Noises | None = execution.__dict__.get("_noises")
    if kept is None:
        kept = Noises(execution)
        execution.__dict__["_noises"] = kept
    return kept


class Noises:
    """The smoothed noises of a model: as definitions that are part of the state, by any engine that smooths."""

    def __init__(self, execution: Execution) -> None:
        self.model, self.laws = with_noises(execution.model)
        self.engine, self._execution = _engine(execution), execution
        self.entries = [entry for law in self.laws for entry in law.entries]
        self._lowerings: dict[tuple[str, ...], GaussianLowering] = {}
        self._compiled: dict[Any, Any] = {}
        self._laws = quickly_compiled(self._locations_and_spreads)

    def moments(self, latent: tuple[str, ...], series: Any, bound: Bound, params: Mapping[str, Any]) -> NoiseMoments:
        """Moments of the noises on their own scale; NaN in rows where a noise enters nothing. Raises E721."""
        lowering, given = self._lowering(latent), floats(params)
        on_data = OnData(self._execution, lowering, bound)
        key = (latent, on_data.known)
        if key not in self._compiled:
            self._compiled[key] = quickly_compiled(on_data.smooth(self.engine), self._execution.work)
        found = on_data.arrays(self._compiled[key](given, series))
        for values in found.values():
            bad = np.isnan(values).reshape(len(values), -1).any(axis=1)
            if bad.any():
                trouble = not_a_number("the noises", bound.time.label(int(np.flatnonzero(bad)[0])))
                raise SsmError(no_covariance(self._execution.model, params) or trouble)
        kept = {k: v for k, v in found.items() if k in ("mean", "cov", "sd")}
        arrays = blanked(kept, absent(lowering, bound))
        at = [i for law in self.laws for i in range(*lowering.form.definitions[law.definition])]
        sds = arrays.get("sd")
        variance = np.diagonal(arrays["cov"], axis1=1, axis2=2)[:, at] if sds is None else sds[:, at] ** 2
        mean = arrays["mean"][:, at]
        loc, sd = (np.asarray(a)[: bound.steps] for a in self._laws(given, series))
        told = np.maximum(sd**2 - variance, 0.0)
        # A row whose noise the data do not reach (a missing observation, row 0 of a transition) tells nothing.
        something = told > LEAST * sd**2
        with np.errstate(invalid="ignore"):
            auxiliary = np.where(something, (mean - loc) / np.sqrt(np.where(something, told, 1.0)), np.nan)
        return NoiseMoments(mean, np.sqrt(np.maximum(variance, 0.0)), auxiliary)

    def _lowering(self, latent: tuple[str, ...]) -> GaussianLowering:
        if latent not in self._lowerings:
            form = linear_form(self.model, latent, True)
            if not isinstance(form, LinearForm):
                raise SsmError([o.diagnostic() for o in form])
            self._lowerings[latent] = GaussianLowering(self.model, form)
        return self._lowerings[latent]

    def _locations_and_spreads(self, params: Any, series: Any) -> tuple[jax.Array, jax.Array]:
        """(T, r) each: what the noises are and how far they spread before any data."""
        observations, inputs = series["observations"], series["inputs"]
        steps = next(iter(observations.values())).shape[0]
        sources = {"obs": observations, "input": inputs}
        spreads = [law.spread for law in self.laws]
        nodes = [*(law.loc for law in self.laws), *(node for _, node in spreads)]

        def row(t: Any) -> tuple[jax.Array, jax.Array]:
            def read(sort: str, name: str, lag: int) -> jax.Array:
                values = jnp.asarray(sources[sort][name], float)
                return jnp.where(t >= lag, values[jnp.maximum(t - lag, 0)], jnp.nan)

            values = evaluate(nodes, Environment(params, read, t))
            count = len(self.laws)
            sds = [_sd(kind, value, law) for (kind, _), value, law in zip(spreads, values[count:], self.laws)]
            flat = lambda parts: jnp.concatenate(parts) if parts else jnp.zeros(0)
            return flat(values[:count]), flat(sds)

        return jax.vmap(row)(jnp.arange(steps))


def _sd(kind: str, value: jax.Array, law: NoiseLaw) -> jax.Array:
    """(entries,) from a scale, covariances or factors."""
    if kind == "scale":
        return jnp.abs(value)
    diagonal = jnp.diagonal(value, axis1=1, axis2=2) if kind == "cov" else jnp.sum(value**2, axis=-1)
    return jnp.sqrt(diagonal).reshape(law.size)


def _engine(execution: Execution) -> Any:
    """The engine that smooths the noises: with the noises in the state, one that asks nothing of them."""
    needs = execution.engine.requires
    if needs.process_noise or needs.observation_noise or needs.fresh_noise:
        return engine_class("kalman")()
    return execution.engine
