"""What every engine offers, what it returns, and the engines by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, Self, TypeVar, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines.requirements import Requirements as Requirements

if TYPE_CHECKING:
    from ssmlang.engines._diffuse_head import DiffuseHead


class Filtered(NamedTuple):
    """Moments of row t given y_0..y_t, and one step ahead.

    An entry that is still diffuse has variance inf, covariance 0 with every other, and the mean that the finite part
    of the law gives it.
    """

    mean: Float[Array, "T n"]
    cov: Float[Array, "T n n"]
    predicted_mean: Float[Array, "T n"]
    """of x_t given y_0..y_{t-1}; row 0: the initial law"""
    predicted_cov: Float[Array, "T n n"]
    observed_mean: Float[Array, "T m"]
    """of y_t given y_0..y_{t-1}, noise included"""
    observed_cov: Float[Array, "T m m"]
    log_likelihood: Float[Array, " T"]
    memory_mean: Float[Array, "T N"] | None = None
    """of the program's memory s_t given y_0..y_t, where asked for"""
    memory_cov: Float[Array, "T N N"] | None = None


class Smoothed(NamedTuple):
    """Moments of row t given all of y; diffuse entries as in `Filtered`.

    The signal is y_t less the noises that only row t's observations read: d_t + H x + the noises in the memory.
    """

    mean: Float[Array, "T n"]
    cov: Float[Array, "T n n"]
    observed_mean: Float[Array, "T m"]
    """of the signal"""
    observed_cov: Float[Array, "T m m"]
    log_likelihood: Float[Array, " T"]
    memory_mean: Float[Array, "T N"] | None = None
    memory_cov: Float[Array, "T N N"] | None = None


class Simulated(NamedTuple):
    """Draws of states, observations and noises; a leading axis of draws."""

    x: Float[Array, "draws T n"]
    y: Float[Array, "draws T m"]
    e: Float[Array, "draws T r"]


Gaps = Literal["none", "rows", "entries"]
"""What is missing in y: nothing but whole rows at its end, whole rows anywhere, or single entries."""


class Known(NamedTuple):
    """What is known of the data before anything is compiled; hashable, and part of what compiled functions are kept by.

    An engine takes from it what it can use (`Engine.for_data`); nothing of it changes a result.
    """

    gaps: Gaps = "entries"
    diffuse: DiffuseHead | None = None
    """How long the diffuse phase lasts, where that depends on no parameter."""
    alike: bool = False
    """Whether there are several series and those of one length have the same entries missing."""


@runtime_checkable
class Engine(Protocol):
    """One inference algorithm over a kind of program: pure functions of arrays, jit-, grad- and vmap-able.

    Double precision is the caller's business (`jax.enable_x64`). An engine object holds options only, and is hashable.
    """

    name: ClassVar[str]
    requires: ClassVar[Requirements]

    def for_data(self, known: Known, *, adjoint: bool = False) -> Self:
        """This engine, made ready for data of which so much is known.

        `adjoint`: the log-likelihood will be differentiated once and in reverse mode (`jax.grad`), nothing else.
        """
        ...

    def log_likelihood(self, program: Any, y: Float[Array, "T m"]) -> Float[Array, ""]:
        """Log-density of what was observed."""
        ...

    def log_likelihood_terms(self, program: Any, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it."""
        ...

    def filter(self, program: Any, y: Float[Array, "T m"]) -> Filtered:
        """Filtered and one-step-ahead moments of each row."""
        ...

    def smooth(self, program: Any, y: Float[Array, "T m"]) -> Smoothed:
        """Moments of each row given all of y."""
        ...


class EngineBase(ABC):
    """What an engine need not write itself."""

    def for_data(self, known: Known, *, adjoint: bool = False) -> Self:
        """This engine as it is: it has no use for what is known of the data."""
        del known, adjoint
        return self

    @abstractmethod
    def log_likelihood_terms(self, program: Any, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it."""

    def log_likelihood(self, program: Any, y: Float[Array, "T m"]) -> Float[Array, ""]:
        """Log-density of what was observed: the sum of `log_likelihood_terms`."""
        return jnp.sum(self.log_likelihood_terms(program, y))


MODULES = {
    name: f"ssmlang.engines.{name}"
    for name in (
        "kalman", "square_root", "parallel", "dual", "growing", "batch", "wiener_hopf", "banded", "ekf",
        "iekf", "ukf", "cubature", "gauss_hermite", "ipls",
        "laplace",
        "importance",
        "recursion",
        "discrete", "imm",
        "particle", "rao_blackwell",
        "latent",
        "dual_ekf",
    )
}
"""Engine by name -> the module whose import registers it."""
_REGISTRY: dict[str, type[Any]] = {}
_Class = TypeVar("_Class", bound=type[Any])


def register(cls: _Class) -> _Class:
    """Enter an engine class under its `name`."""
    _REGISTRY[cls.name] = cls
    return cls


def engine_class(name: str) -> type[Any]:
    """The engine class of that name; KeyError where there is none."""
    if name not in _REGISTRY and name in MODULES:
        import_module(MODULES[name])
    return _REGISTRY[name]


def engine_names() -> tuple[str, ...]:
    """Names of the engines there are."""
    return tuple(sorted({*_REGISTRY, *(n for n, m in MODULES.items() if find_spec(m) is not None)}))
