"""Streams of discrete and switching programs: probabilities, and mixtures of Gaussians, a row at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from ssmlang.language.diagnostics import SsmError
from ssmlang.results.chains import chain_dataset
from ssmlang.running.by_row import ByRow, stacked
from ssmlang.running.chains import ChainExecution, impossible
from ssmlang.running.rows import At, Moments, Windows, one_row, time_of
from ssmlang.running.switching import SwitchingExecution


def stepper_of(execution: Any) -> ByRow:
    """The stepper of a discrete or a switching program."""
    return (SwitchingStepper if isinstance(execution, SwitchingExecution) else ChainStepper)(execution)


class _Regimes(ByRow):
    """What both kinds share."""

    def __init__(self, execution: Any) -> None:
        super().__init__(execution.model, execution.engine)
        self._execution = execution
        run = lambda *given: self._row(*given)
        first = jax.jit(lambda params, windows, t, y, carried, words: run(params, windows, t, y, None))
        later = jax.jit(lambda params, windows, t, y, carried, words: run(params, windows, t, y, carried))
        self._both = (first, later)

    def _functions(self, at: At) -> tuple[Callable[..., Any], Callable[..., Any]]:
        del at
        return self._both

    @abstractmethod
    def _row(self, params: Any, windows: Any, t: Array, y: Any, before: Any) -> Any:
        """What is carried on, and what is told by name."""

    def _ready(self, params: Mapping[str, np.ndarray], at: At, windows: Windows, values: Mapping[str, np.ndarray],
               t: int) -> At:  # fmt: skip
        del params, windows, values, t
        return at

    def _check(self, told: Moments, params: Mapping[str, np.ndarray], t: int) -> None:
        if np.isneginf(told["log_likelihood"]):
            raise SsmError(impossible(f"row {t}"))
        # Between labels and numbers, and of what reads its own row, no covariance is worked out.
        super()._check({"log_likelihood": told["log_likelihood"]}, params, t)

    def _named(self, told: Moments, params: Mapping[str, np.ndarray], t: int) -> Moments:
        del params
        found = dict(told)
        at = 0
        for s in self.model.states.values():
            gone = self._absent(s.name, t)
            for name in (f"{s.name}_probability", f"{s.name}_predicted_probability"):
                if gone.any() and name in found:
                    found[name] = np.where(gone[:, None], np.nan, found[name])
            for side in ("", "predicted_"):
                if gone.any() and f"{side}mean" in found:
                    mask = np.zeros(len(self.states), bool)
                    mask[at : at + s.size] = gone
                    found[f"{side}mean"] = np.where(mask, np.nan, found[f"{side}mean"])
                    found[f"{side}cov"] = np.where(mask[:, None] | mask, np.nan, found[f"{side}cov"])
            labels = s.values is not None and s.values.axis is not None
            if labels and "mean" in found:  # labels are no numbers
                mask = np.zeros(len(self.states), bool)
                mask[at : at + s.size] = True
                found["mean"] = np.where(mask, np.nan, found["mean"])
                found["cov"] = np.where(mask[:, None] | mask, np.nan, found["cov"])
            at += s.size
        return found

    @abstractmethod
    def _absent(self, name: str, t: int) -> np.ndarray:
        """(size,): entries of a state that have no value in this row."""

    def dataset(self, moments: Moments, t: int) -> xr.Dataset:
        arrays = {k: v[None] for k, v in moments.items()}
        return one_row(chain_dataset(self.model, arrays, {}, time=time_of(t), attrs={}))


class ChainStepper(_Regimes):
    """A stream by the engine `discrete`."""

    def __init__(self, execution: ChainExecution) -> None:
        super().__init__(execution)
        self._lowering = execution.wide

    def _other(self, name: str) -> str | None:
        return "imm" if self._execution.linear([name]) is not None else None

    def _row(self, params: Any, windows: Any, t: Array, y: Any, before: Any) -> Any:
        data = self.data(windows, t)
        program = self._lowering.over(params, *data, y[None], t[None])
        carried, found = self._execution.engine.step(program, before)
        told = self._execution.told_by(self._lowering, params, data, found, t)
        return carried, {k: v[0] for k, v in told.items()}

    def _scored(self, values: Mapping[str, np.ndarray], t: int) -> Any:
        form = self._lowering.form
        self._unavailable(form.unavailable, values, t, self.model)
        return stacked(self.model.observations, values, form.conditioned | form.unavailable, t)

    def _absent(self, name: str, t: int) -> np.ndarray:
        form, size = self._lowering.form, self.model.states[name].size
        first = form.first[name]
        return form.absent[t, first : first + size] if 0 <= t < len(form.absent) else np.zeros(size, bool)


class SwitchingStepper(_Regimes):
    """A stream by the engine `imm`. What equations read back linearly is part of the real state, missing or not."""

    def __init__(self, execution: SwitchingExecution) -> None:
        super().__init__(execution)
        whole = tuple(execution.form.read_back)
        self._latent = whole if whole and execution.takes(whole) else ()
        self._lowering = execution.switching(self._latent, True)
        self._as_state = set(execution._as_state(self._latent))

    def _held(self, at: At, sort: str, name: str, lag: int) -> bool:
        return (sort, name, lag) in self._as_state

    def _row(self, params: Any, windows: Any, t: Array, y: Any, before: Any) -> Any:
        data, (scored, real) = self.data(windows, t), y
        program = self._lowering.over(params, *data, scored[None], t[None])
        carried, found = self._execution.engine.step(program, real, before)
        found = jax.tree.map(lambda a: a[None], found)
        told = self._execution.told_by(self._lowering, params, data, found, t)
        return carried, {k: jnp.asarray(v)[0] for k, v in told.items()}

    def _scored(self, values: Mapping[str, np.ndarray], t: int) -> Any:
        form, chains, real = self._lowering.form, self._lowering.chains, self._lowering.linear
        lacking = _joined(form.unavailable, form.linear.unavailable)
        early = _joined(form.linear.conditioned, np.zeros_like(lacking))
        self._unavailable(_joined(lacking, np.zeros_like(early)) & ~early, values, t, real.model)
        self._unavailable(form.chain.unavailable, values, t, chains.model)
        unscored = form.chain.conditioned | form.chain.unavailable
        return (stacked(chains.model.observations, values, unscored, t),
                stacked(real.model.observations, values, _joined(lacking, early), t))  # fmt: skip

    def _absent(self, name: str, t: int) -> np.ndarray:
        form, size = self._lowering.form, self.model.states[name].size
        of = form.chain if name in form.chain.first else form.linear
        first = of.first[name] if of is form.chain else form.linear.stacking.x[name]
        return of.absent[t, first : first + size] if 0 <= t < len(of.absent) else np.zeros(size, bool)


def _joined(*marks: np.ndarray) -> np.ndarray:
    out = np.zeros((max(len(m) for m in marks), marks[0].shape[1]), bool)
    for m in marks:
        out[: len(m)] |= m
    return out
