"""Runs an engine on a model and data: compiled functions, kept and reused.

A series is padded with missing rows to the next of a few lengths, so that another length seldom compiles again. What
is compiled is a pure function of (params, data); precision and device are entered per call.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.analysis.advice import refuse
from ssmlang.analysis.choice import Task
from ssmlang.data import Bound, check_inputs
from ssmlang.engines._kernel import on_cpu
from ssmlang.engines.base import Engine, Gaps, Known
from ssmlang.inference.quick import quickly_compiled
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.lowering.blocks import BlockLowering
from ssmlang.lowering.gaussian import GaussianLowering
from ssmlang.model import expr
from ssmlang.model.linear import LinearForm, linear_form
from ssmlang.model.model import Model
from ssmlang.running.blocks import asked as in_blocks
from ssmlang.running.blocks import blocks_of, known_of
from ssmlang.running.definitions import with_reads
from ssmlang.running.double import in_double as inside
from ssmlang.running.gaps import check_reach, lacking_of, missing_data, seen_in
from ssmlang.running.heads import known_head, seen
from ssmlang.running.kept import Kept
from ssmlang.running.plain import PlainDefinitions

Series = dict[str, dict[str, Any]]
"""One or several series of one padded length: {"observations": {name: (S, T, *shape)}, "inputs": {...}}."""
Params = Mapping[str, Any]
Verb = Literal["filter", "smooth"]
What = Literal["likelihood", "terms", "terms_of_draws", "filter", "smooth"]


SMALL_STATE = 2
"""Up to so many states a row is a few operations on numbers."""
DRAWS = 1000
"""About how many parameters "terms_of_draws" takes."""


class Setting(NamedTuple):
    """What a data set's pattern of missing entries decides before anything is compiled."""

    latent: tuple[str, ...] = ()
    """Observations that have to be part of the state: those read at a lag that are missing somewhere."""
    known: Known = Known()
    """What engines may make use of."""
    substeps: int = 1
    """Steps from row to row of differential equations that are not linear."""


def padded_length(steps: int) -> int:
    """The length a series is padded to: at most an eighth more."""
    grain = max(8, 2 ** (max(steps, 1).bit_length() - 4))
    return -(-steps // grain) * grain


@contextmanager
def running(dtype: str = "float64", device: str | None = None) -> Iterator[None]:
    """Enter a precision and a device for a call. Raises E711 for a device, E712 for a precision that is not there."""
    if dtype not in ("float64", "float32"):
        raise SsmError(Diagnostic("E712", f"dtype={dtype!r} is not a precision", help=("'float64' or 'float32'",)))
    with jax.enable_x64(dtype == "float64"):
        if device is None:
            yield
            return
        with jax.default_device(_device(device)):
            yield


def in_double(function: Callable[[Params], Array], quick: Callable[[Params], Array]) -> Callable[[Params], Array]:
    """A scalar function of parameters, computed in double precision whatever the precision of its caller.

    `quick` is the same function with a first derivative of its own. Where the caller's world is single, values and
    gradients are cast at the border: the derivative is computed inside and enters as a rule of its own, for the
    transposed operations of a double-precision program cannot run outside.
    """
    widened = lambda params: {n: jnp.asarray(v, "float64") for n, v in params.items()}

    @jax.custom_jvp
    def bordered(params: Params) -> Array:
        return cast(Array, inside(lambda p: function(widened(p)).astype("float32"), params))

    @bordered.defjvp
    def _rule(primals: Any, tangents: Any) -> tuple[Array, Array]:
        (params,), (moves,) = primals, tangents
        single = lambda found: jax.tree.map(lambda a: a.astype("float32"), found)
        value, slope = inside(lambda p: single(jax.value_and_grad(quick)(widened(p))), params)
        parts = [jnp.sum(slope[n] * jnp.asarray(moves[n], "float32")) for n in slope]
        return value, sum(parts, jnp.zeros((), "float32"))

    def called(params: Params) -> Array:
        if jax.config.jax_enable_x64:  # type: ignore[attr-defined]
            return function(widened(params))
        return bordered({n: jnp.asarray(v, "float32") for n, v in params.items()})

    return called


def on_gpu(device: str | None) -> bool:
    """Whether a call with this `device` runs on a GPU; None: where JAX computes."""
    return device == "gpu" or (device is None and not on_cpu())


def _device(name: str) -> jax.Device:
    if name not in ("cpu", "gpu"):
        raise SsmError(Diagnostic("E711", f"device={name!r} is not understood", help=("'cpu', 'gpu' or None",)))
    try:
        return jax.devices(name)[0]
    except RuntimeError:
        found = ", ".join(sorted({f"{d.platform} ({d.device_kind})" for d in jax.devices()}))
        why, help = (f"JAX found: {found}",), ("leave device= out, or install JAX for that device",)
        raise SsmError(Diagnostic("E711", f"there is no {name} here", why=why, help=help)) from None


class Execution:
    """The functions of one model and one engine, compiled when first used."""

    moments: ClassVar[str] = "ssmlang.running.moments:Moments"
    """What makes filtered, smoothed and forecast moments ready: module and class, imported when first used"""

    remarks: Mapping[str, str] = MappingProxyType({})
    """What results say of how they were computed, in their attributes"""

    def __init__(self, model: Model, form: LinearForm, engine: Engine) -> None:
        self.model, self.form, self.engine = model, form, engine
        self._lowerings: dict[tuple[tuple[str, ...], bool], GaussianLowering] = {}
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._blocks: dict[GaussianLowering, BlockLowering | None] = {}
        self.kept = Kept()
        """What the verbs made ready for data bound lately."""

    # --------------------------------------------------------------------------------------------------- data

    def setting(self, bounds: Sequence[Bound], *, ahead: bool = False) -> Setting:
        """The setting for these data; `ahead`: rows without observations follow."""
        missing = lambda name: any(np.isnan(b.observations[name][:-1]).any() for b in bounds)
        latent = tuple(n for n in self.form.read_back if ahead or missing(n))
        lowering = self.lowering(latent, False)
        if latent:
            # What is missing and read back is part of the state, which an engine may not be able to take.
            refuse(self.model, self.engine.name, lowering.form, Task(steps=max(b.steps for b in bounds)))
        blocks = self.blocks(lowering)
        if blocks is not None:
            return Setting(latent, known_of(blocks, [seen(lowering, b, b.steps) for b in bounds]))
        return Setting(latent, Known(gaps_of(lowering, bounds), known_head(lowering, bounds), alike(bounds)))

    def series(self, bounds: Sequence[Bound], seed: int = 0) -> tuple[Series, ...]:
        """Data as arrays for the compiled functions: series of one padded length stacked together."""
        del seed  # these engines draw nothing
        groups: dict[int, list[Bound]] = {}
        for b in bounds:
            self._check_rows(b)
            self._check_inputs(b)
            self._check_steps(b)
            lacking = missing_data(self.lowering(self.setting([b]).latent, False), b)
            if lacking is not None:
                raise SsmError(lacking)
            groups.setdefault(padded_length(b.steps), []).append(b)
        return tuple(self._stacked(group, length) for length, group in groups.items())

    def _stacked(self, bounds: Sequence[Bound], length: int) -> Series:
        observations = {n: np.stack([_extend(b.observations[n], length, np.nan) for b in bounds])
                        for n in self.model.observations}  # fmt: skip
        # The last row of an input stands in the padding, where any legal value will do.
        inputs = {n: np.stack([_extend(b.inputs[n], length, None) for b in bounds]) for n in self.model.inputs}
        return {"observations": observations, "inputs": inputs}

    def _check_rows(self, bound: Bound) -> None:
        """Observations in the first rows that read a state without a value there (E205)."""
        seen = seen_in(self.model.observations, bound.observations, bound.steps)
        check_reach(self.model.observations, self.form.unavailable, seen)

    def _check_steps(self, bound: Bound) -> None:
        """E306: no time passes to a row, and the engine needs noise in its states."""
        if not (self.engine.requires.process_noise and self.model.differentials and "dt" in bound.inputs):
            return
        still = np.flatnonzero(bound.inputs["dt"][1:] == 0)
        if len(still):
            row = bound.time.label(int(still[0]) + 1)
            raise SsmError(Diagnostic(
                "E306", f"engine '{self.engine.name}' needs noise in the states of every row",
                why=(f"dt is 0 at {row}: no time passes, and the states are those of the row before",),
                help=('engine="kalman" takes rows of the same time',),
            ))  # fmt: skip

    def _check_inputs(self, bound: Bound) -> None:
        """An input that is missing in a row that needs it (E407)."""
        gaps = {n: np.isnan(v).reshape(bound.steps, -1).any(axis=1) for n, v in bound.inputs.items()}
        if not any(g.any() for g in gaps.values()):
            return
        lowering = self.lowering((), False)
        if not any(g[1:].any() for g in gaps.values()) and not self._first_row_reads(lowering):
            return
        with jax.ensure_compile_time_eval():
            lacking = lacking_of(lowering, bound.observations, bound.inputs, bound.steps)
        rows = np.asarray(lacking["transition"].any(axis=1) | lacking["emission"].any(axis=1))
        rows[0] |= bool(lacking["initial"])
        reads = expr.references([
            *(n for d in lowering.plans.values() for n in (d.fixed, d.varying)),
            *(m.values for m in lowering.past.terms.values()),
        ])  # fmt: skip
        needed = {}
        for name, missing in gaps.items():
            lags = [lag for sort, n, lag in reads if sort == "input" and n == name]
            reached = np.zeros(bound.steps, bool)
            for lag in lags or [0]:
                if isinstance(lag, int):
                    reached[: bound.steps - lag] |= rows[lag:]
                else:  # the whole past
                    reached[: rows.nonzero()[0].max(initial=0)] = True
            needed[name] = reached & missing
        check_inputs(bound, needed, self.model.inputs)

    @staticmethod
    def _first_row_reads(lowering: GaussianLowering) -> bool:
        """Whether anything may need an input of row 0; a transition that reads it in its own row does not."""
        plans = lowering.plans
        reads = lambda names: expr.references(n for k in names for n in (plans[k].fixed, plans[k].varying))
        first = [r for r in reads("HdJ") if r[0] == "input"]
        first += [r for r in reads("FcG") if r[0] == "input" and r[2] != 0]
        return bool(lowering.past or first) or any(s == "input" for s, *_ in expr.references(lowering.start.nodes))

    # ---------------------------------------------------------------------------------------------- functions

    @cached_property
    def plain(self) -> PlainDefinitions:
        """The definitions that follow from parameters alone."""
        return PlainDefinitions(self.model)

    def lowering(self, latent: tuple[str, ...], definitions: bool) -> GaussianLowering:
        # As states, definitions have no noise of their own.
        definitions = definitions and not self.engine.requires.process_noise
        key = (latent, definitions)
        if key not in self._lowerings:
            model = with_reads(self.model) if definitions else self.model
            form = linear_form(model, latent, definitions)
            if not isinstance(form, LinearForm):
                raise SsmError([o.diagnostic() for o in form])
            self._lowerings[key] = GaussianLowering(model, form)
        return self._lowerings[key]

    def blocks(self, lowering: GaussianLowering) -> BlockLowering | None:
        """The independent blocks of a lowered form, each run as a program of its own; None where it is of one piece."""
        if lowering not in self._blocks:
            self._blocks[lowering] = blocks_of(lowering)
        return self._blocks[lowering]

    def likelihood(self, setting: Setting = Setting(), *, adjoint: bool = False  # noqa: B008
                   ) -> Callable[[Params, tuple[Series, ...]], Array]:  # fmt: skip
        """log p(data | params), a pure function: the sum over all series.

        `adjoint`: with the engine's own derivative, quicker, for reverse mode and first order only.
        """
        lowering = self.lowering(setting.latent, False)
        one_series = self._asked("log_likelihood", lowering, setting, adjoint)
        together = getattr(self.engine, "log_likelihood_of_all", None)
        shared = setting.known.alike and not lowering.form.initial.delta and not lowering.reads_data
        shared = shared and self.blocks(lowering) is None

        def total(params: Params, data: tuple[Series, ...]) -> Array:
            one = lambda series: one_series(params, series)
            if together is not None and shared:
                return sum((together(*self._program_of_all(lowering, params, group)) for group in data), jnp.zeros(()))
            return sum((_over_series(one, group).sum() for group in data), jnp.zeros(()))

        return total

    @staticmethod
    def _program_of_all(lowering: GaussianLowering, params: Params, group: Series) -> tuple[Any, Array]:
        """The one program of a group's series, and their data, (S, T, m)."""
        first = jax.tree.map(lambda a: a[0], group)
        steps = steps_of(first)
        program, _ = lowering.program(params, first["observations"], first["inputs"], steps)
        return program, jax.vmap(lambda seen: lowering.data(seen, steps))(group["observations"])

    def _asked(self, method: str, lowering: GaussianLowering, setting: Setting, adjoint: bool = False,
               often: bool = False) -> Callable[[Params, Series], Any]:  # fmt: skip
        """What a method of the engine gives for one series; `often`: of an engine that has a way which takes longer to
        compile."""
        engine: Any = replace(cast(Any, self.engine), often=True) if often else self.engine
        ask = getattr(engine.for_data(setting.known, adjoint=adjoint), method)
        blocks = self.blocks(lowering)

        def asked(params: Params, series: Series) -> Any:
            if blocks is not None:
                return in_blocks(self.engine, method, blocks, setting.known, adjoint, steps_of(series))(params, series)
            program, y = lowering.program(params, series["observations"], series["inputs"], steps_of(series))
            return ask(program, y)

        return asked

    def key(self, setting: Setting) -> Hashable:
        """What functions for a setting are kept by: no more of it than the engine makes use of."""
        return setting.latent, self.engine.for_data(setting.known), setting.known.alike

    def compiled(self, what: What, setting: Setting) -> Callable[..., Any]:
        """One of the functions, compiled and kept: of (params, data) for "likelihood", else of (params, one series);
        "terms_of_draws" takes stacked parameters."""
        key = (what, self.key(setting))
        if key not in self._compiled:
            if what == "likelihood":
                function: Callable[..., Any] = self.likelihood(setting)
            elif what == "terms":
                function = self._asked("log_likelihood_terms", self.lowering(setting.latent, False), setting)
            elif what == "terms_of_draws":
                one = self._asked("log_likelihood_terms", self.lowering(setting.latent, False), setting)
                function = lambda draws, series: jax.lax.map(lambda params: one(params, series), draws)
            else:
                function = self._asked(what, self.lowering(setting.latent, True), setting)
            lasting = None
            if what == "smooth" and hasattr(self.engine, "often"):
                whole = self.lowering(setting.latent, True)
                lasting = self._asked(what, whole, setting, often=True) if self.blocks(whole) is None else None
            work = self.work * (DRAWS if what == "terms_of_draws" else 1)
            self._compiled[key] = quickly_compiled(function, work, lasting)
        return self._compiled[key]

    @property
    def work(self) -> float:
        """Numbers gone through for each number of the data, about: a covariance of the states, by every particle."""
        entries = sum(s.size * max(1, s.depth) for s in self.model.states.values())
        return float(getattr(self.engine, "particles", getattr(self.engine, "samples", 1)) * max(1, entries) ** 2)

    @property
    def small(self) -> bool:
        """Whether a row costs next to nothing."""
        return self.form.stacking.n <= SMALL_STATE

    def seeded(self, data: Any, seed: int, number: int = 0) -> Any:
        """Data for the compiled functions with the keys of a seed; `number` is that of a single series. These engines
        draw nothing."""
        del seed, number
        return data

    def single(self, bound: Bound, seed: int = 0) -> Series:
        """The arrays of one series, without the leading axis."""
        (series,) = self.series([bound], seed)
        return jax.tree.map(lambda a: jnp.asarray(a[0]), series)


def not_a_number(what: str, row: str, engine: Engine | None = None) -> Diagnostic:
    """E721: a result that is not a number."""
    if engine is not None and engine.name in ("laplace", "importance"):
        steps = getattr(engine, "iterations", 0)
        return Diagnostic("E721", f"engine '{engine.name}' found no most probable path in {steps} steps",
                          why=("the data are far from what these parameters let expect, or a coefficient or a scale "
                               "cannot be computed",),
                          help=("look at the parameters, and at values of the data that stick out",
                                f'engine="particle" needs no such path; "{engine.name}:iterations={10 * steps}" on the '
                                "command line looks for longer"))  # fmt: skip
    factored: tuple[str, ...] = ()
    if engine is not None and engine.name == "kalman":
        factored = ('where sizes are very far apart engine="square_root", on factors of the covariances, keeps digits '
                    "that differences of covariances lose",)  # fmt: skip
    words = {"log_likelihood": "the log-likelihood", "mean": "a state", "cov": "the covariance of the states"}
    return Diagnostic("E721", f"{words.get(what, what.replace('_', ' '))} is not a number at {row}",
                      why=("a coefficient or a scale cannot be computed there, or the numbers grew beyond bounds",),
                      help=("look at the parameters, and at the inputs of this row", *factored))  # fmt: skip


def without_noise(engine: Engine) -> Diagnostic:
    """E721: the numbers are sound, and an engine that needs noise of full rank has found none."""
    return Diagnostic("E721", f"engine '{engine.name}' needs noise in every state and every observation of a row",
                      why=("it factors the precision of all rows together, and there is none where something is known "
                           "exactly: by a scale of zero, say",),
                      help=('engine="kalman" takes noise of any rank',))  # fmt: skip


def gaps_of(lowering: GaussianLowering, bounds: Sequence[Bound]) -> Gaps:
    """The kind of what is missing or not scored: nothing but rows after the data, whole rows, or single entries."""
    kinds: tuple[Gaps, ...] = ("none", "rows", "entries")
    worst = 0
    for b in bounds:
        scored = seen(lowering, b, b.steps)
        whole = np.array(~scored.any(axis=1))
        if (~scored[~whole]).any():
            return "entries"
        rows = np.flatnonzero(~whole)
        worst = max(worst, int(whole[: rows[-1] + 1 if rows.size else 0].any()))
    return kinds[worst]


def alike(bounds: Sequence[Bound]) -> bool:
    """Whether there are several series, and all that are stacked together lack the same entries."""
    masks: dict[int, list[np.ndarray]] = {}
    for b in bounds:
        missing = [np.isnan(v).reshape(b.steps, -1) for v in b.observations.values()]
        masks.setdefault(padded_length(b.steps), []).append(np.concatenate(missing, axis=1) if missing else np.zeros(0))
    return len(bounds) > 1 and all(np.array_equal(m, group[0]) for group in masks.values() for m in group)


def _over_series(one: Callable[[Series], Array], group: Series) -> Array:
    """`one` for each series of a group; a loop, for batched small matrices are slow on a CPU."""
    count = next(iter(group["observations"].values())).shape[0]
    if count == 1:
        return one(jax.tree.map(lambda a: a[0], group))[None]
    return jax.lax.map(one, group)


def steps_of(series: Series) -> int:
    """The padded length of one series."""
    return int(next(iter(series["observations"].values())).shape[0])


def _extend(values: np.ndarray, length: int, fill: float | None) -> np.ndarray:
    extra = length - len(values)
    if extra <= 0:
        return values
    last = values[-1:] if fill is None else np.full((1, *values.shape[1:]), fill)
    return np.concatenate([values, np.repeat(last, extra, axis=0)])


def floats(params: Params) -> dict[str, np.ndarray]:
    """Values as arrays of numbers; what is compiled takes them over in the precision of the call."""
    return {name: np.asarray(value, float) for name, value in params.items()}
