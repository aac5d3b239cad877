"""Fits of states and parameters together, by the engine `latent`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax import Array

from ssmlang.data import Bound
from ssmlang.engines.latent import Latent
from ssmlang.inference.joint import NOISE, Joint, split, thinning
from ssmlang.running.execution import Params, Series, Setting, in_double

if TYPE_CHECKING:
    from ssmlang.compiled import Model
    from ssmlang.running.general import GeneralExecution

Groups = tuple[Series, ...]


class Together:
    """What a model and data say of parameters and noises together."""

    def __init__(self, runner: GeneralExecution, bounds: Sequence[Bound]) -> None:
        self.setting: Setting = runner.setting(bounds)
        self.data: Groups = runner.series(bounds)
        self.lowering = runner.general(self.setting.latent, self.setting.substeps)
        shapes = [next(iter(group["observations"].values())).shape[:2] for group in self.data]
        self.extents = [(int(s), int(t)) for s, t in shapes]
        each = [Latent.size(self.lowering.facts, steps) for _, steps in self.extents]
        self.sizes = [count * size for (count, _), size in zip(self.extents, each)]
        self.key = (runner.key(self.setting), tuple(self.extents))

    @property
    def size(self) -> int:
        """How many noises there are, of all series."""
        return sum(self.sizes)

    def every(self, draws: int, chains: int) -> int:
        """Of how many draws one keeps its states."""
        numbers = sum(s * t for s, t in self.extents) * self.lowering.facts.N
        return thinning(numbers * chains, draws)

    def _of_each(self, params: Params, data: Groups, do: Callable[[Any, Array, Array], Any]) -> list[Any]:
        """`do(program, path, y)` of every series, stacked by group."""
        own = {n: v for n, v in params.items() if n != NOISE}
        found = []
        for (count, steps), group, noise in zip(self.extents, data, split(params[NOISE], self.sizes)):

            def one(each: tuple[Series, Array], steps: int = steps) -> Any:
                series, e = each
                program, y = self.lowering.program(own, series["observations"], series["inputs"], steps)
                return do(program, Latent.path(program, e, steps), y)

            noise = noise.reshape(count, -1)
            if count == 1:
                of_one = one(jax.tree.map(lambda a: a[0], (group, noise)))
                found.append(jax.tree.map(lambda a: jnp.asarray(a)[None], of_one))
            else:
                found.append(jax.lax.map(one, (group, noise)))
        return found

    def log_density(self, params: Params, data: Groups) -> Array:
        """log p(data | states, parameters)."""
        return sum((terms.sum() for terms in self._of_each(params, data, Latent.log_density)), jnp.zeros(()))

    def paths(self, params: Params, data: Groups) -> list[Array]:
        """The memories of all rows, (series, T, N) of each group."""
        return self._of_each(params, data, lambda program, path, y: path)


def by_series(found: Sequence[np.ndarray], bounds: Sequence[Bound], padded: Callable[[int], int]) -> list[np.ndarray]:
    """Paths (chain, draw, series, T, N) of each group as (chain, draw, steps, N) of each series, in their order."""
    groups: dict[int, int] = {}
    for b in bounds:
        groups.setdefault(padded(b.steps), len(groups))
    seen = [0] * len(groups)
    out = []
    for b in bounds:
        g = groups[padded(b.steps)]
        out.append(np.asarray(found[g])[:, :, seen[g], : b.steps])
        seen[g] += 1
    return out


def numpyro_model(model: Model, runner: GeneralExecution, bounds: Sequence[Bound]) -> Callable[[], None]:
    """The NumPyro model of parameters and noises; the states are deterministic sites of their own names.

    The noises are the one site `noise`, a word that no model has as a name. Of several series the states are NAME_0,
    NAME_1, .... The densities are computed in double precision, whatever the caller's.
    """
    from ssmlang.inference.model import parameter_sites

    model.priors.require_proper("a NumPyro model")
    together = Together(runner, bounds)
    density = in_double(lambda p: together.log_density(p, together.data),
                        lambda p: together.log_density(p, together.data))  # fmt: skip

    def build() -> None:
        params = parameter_sites(model.priors)
        noise = numpyro.sample("noise", numpyro.distributions.Normal(0.0, 1.0).expand((together.size,)).to_event(1))
        numpyro.factor("log_likelihood", density({**params, NOISE: noise}))
        for name, values in _states(together, {**params, NOISE: noise}, bounds).items():
            numpyro.deterministic(name, values)

    return build


def _states(together: Together, params: Mapping[str, Array], bounds: Sequence[Bound]) -> dict[str, Array]:
    """Every state by name, (T, *shape), in the caller's precision."""
    from ssmlang.running.execution import padded_length

    outside = jnp.result_type(float)
    fixed = {n: jax.lax.stop_gradient(jnp.asarray(v)) for n, v in params.items()}
    with jax.enable_x64(True):
        groups = together.paths({n: v.astype("float64") for n, v in fixed.items()}, together.data)
        found: dict[str, Array] = {}
        seen: dict[int, int] = {}
        lengths = list(dict.fromkeys(padded_length(b.steps) for b in bounds))
        for i, b in enumerate(bounds):
            length = padded_length(b.steps)
            path = groups[lengths.index(length)][seen.get(length, 0), : b.steps]
            seen[length] = seen.get(length, 0) + 1
            suffix = f"_{i}" if len(bounds) > 1 else ""
            memory = together.lowering.memory
            for name, state in together.lowering.model.states.items():
                first = memory.starts["state", name, 0]
                values = path[:, first : first + state.size].reshape(b.steps, *state.shape)
                found[name + suffix] = values.astype(outside)
    return found


def joint(model: Model, together: Together) -> Joint:
    """The priors of parameters and noises."""
    return Joint(model.priors, together.size)
