"""Runs a method on a model and data, and keeps what it compiled beside the engine that it was compiled for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ssmlang.analysis.methods import OF_WEIGHTS
from ssmlang.data import Bound
from ssmlang.engines._kernel import on_cpu
from ssmlang.inference.optimise import Optimum
from ssmlang.inference.progress import Progress
from ssmlang.language.diagnostics import Diagnostic, SsmError

if TYPE_CHECKING:
    from ssmlang.compiled import Model
    from ssmlang.running.execution import Execution

SMALL_ROWS = 1_000
"""Up to so many states and rows a gradient is little beside the sampler's own work (measured on two cores)."""


@dataclass(frozen=True)
class States:
    """Draws of the states that came with those of the parameters: the memories of a general program.

    `memory`: of each series (chain, kept draw, T, N); the draw kept k-th is number k * `every`.
    """

    memory: list[np.ndarray]
    every: int = 1


@dataclass(frozen=True)
class Estimate:
    """What a method found: draws (chain, draw, *shape) with statistics, or a point with its optimum, or both.

    `states`: draws of the states, where the method makes them. `runner`: the execution of the engine as the method
    set it up, where that is another than the one it was given.
    """

    draws: dict[str, np.ndarray] | None
    stats: dict[str, np.ndarray]
    optimum: Optimum | None = None
    attrs: dict[str, Any] = field(default_factory=dict)
    states: States | None = None
    runner: Any = None


@dataclass(frozen=True)
class Counts:
    """How long a method runs, and the seed."""

    draws: int
    warmup: int
    chains: int
    seed: int
    progress: bool | str | None


def estimate(
    model: Model,
    runner: Execution,
    bounds: Sequence[Bound],
    method: str,
    *,
    draws: int,
    warmup: int,
    chains: int,
    seed: int,
    progress: bool | str | None,
    tuned: bool = True,
) -> Estimate:
    """Fit the parameters of a model. Raises E341, E346, E347 and what the method raises.

    `tuned`: methods with particles choose their number themselves.
    """
    _check_counts(draws=draws, chains=chains, warmup=warmup)
    if not model.priors.parameters:
        raise SsmError(
            Diagnostic(
                "E347",
                f"'{model.name}' has no parameters to fit",
                help=("model.smooth(data, {}) and model.forecast(data, {}, steps=...) need no fit",),
            )
        )
    counts = Counts(draws, warmup, chains, seed, progress)
    if method in OF_WEIGHTS:
        from ssmlang.running.weighted import weighted

        return weighted(model, runner, bounds, method, counts, tuned)
    if method == "pgibbs":
        from ssmlang.running.gibbs import gibbs

        return gibbs(model, runner, bounds, counts, tuned)
    if method in ("nuts", "svi"):
        from ssmlang.running.gradients import by_nuts, by_svi

        return (by_nuts if method == "nuts" else by_svi)(model, runner, bounds, counts)
    return _optimum(model, runner, bounds, method, counts)


def _optimum(model: Model, runner: Execution, bounds: Sequence[Bound], method: str, counts: Counts) -> Estimate:
    # One seed for all parameters: an engine that draws gives a smooth function so, whose maximum can be looked for.
    setting, data = runner.setting(bounds), runner.series(bounds, counts.seed)
    optimiser = optimiser_of(model, runner, setting)
    with Progress(method, 1, counts.progress) as bar:
        bar.say("searching")
        if method == "laplace":
            optimum, drawn, stats = optimiser.laplace(data, draws=counts.draws, chains=counts.chains, seed=counts.seed)
        else:
            drawn, stats = None, {}
            optimum = (optimiser.mle if method == "mle" else optimiser.map)(data, seed=counts.seed)
        bar.advance(1, optimum.message)
    said = {"likelihood": f"estimated by {runner.engine.name}, with the same draws for all parameters"}
    return Estimate(drawn, stats, optimum, _said(optimum) | (said if runner.engine.requires.random else {}))


def optimiser_of(model: Model, runner: Execution, setting: Any) -> Any:
    """The optimiser of a model by an engine, made once."""
    from ssmlang.inference.optimise import Optimiser

    make = lambda: Optimiser(model.priors, runner.likelihood(setting, adjoint=True))
    return kept(runner, ("optimise", runner.key(setting)), make)


def small(runner: Execution, bounds: Sequence[Bound]) -> bool:
    """Whether a gradient is a few dozen microseconds at most, no more than an iteration of the sampler beside it."""
    return runner.small and sum(b.steps for b in bounds) <= SMALL_ROWS


def _said(optimum: Optimum) -> dict[str, Any]:
    return {"converged": optimum.converged, "message": optimum.message, "at_boundary": optimum.at_boundary,
            "log_likelihood": optimum.log_likelihood, "log_density": optimum.log_density, "starts": optimum.starts,
            "agreeing": optimum.agreeing}  # fmt: skip


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        least = 0 if name == "warmup" else 1
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise SsmError(Diagnostic("E346", f"{name}={value!r} is not a whole number from {least} on"))


def kept(runner: Execution, key: Any, make: Callable[[], Any]) -> Any:
    """What was made for this engine and key before, or is made now."""
    # In the runner's own dictionary, so that it goes when the runner goes.
    store = vars(runner).setdefault("_samplers", {})
    key = (key, on_cpu())
    if key not in store:
        store[key] = make()
    return store[key]
