"""What every engine offers, what it returns, and the engines by name."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float


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


class Requirements(NamedTuple):
    """What an engine needs of a program; checked by the compiler before anything runs."""

    linear: bool
    gaussian: bool
    finite_order: bool
    discrete: bool = False
    gradients: bool = True
    exact: bool = True


@runtime_checkable
class Engine(Protocol):
    """One inference algorithm over a kind of program: pure functions of arrays, jit-, grad- and vmap-able.

    Double precision is the caller's business (`jax.enable_x64`). An engine object holds options only, and is hashable.
    """

    name: str
    requires: Requirements

    def log_likelihood(self, program: Any, y: Float[Array, "T m"]) -> Float[Array, ""]:
        """Log-density of what was observed."""
        ...


_REGISTRY: dict[str, type] = {}


def register(cls: type) -> type:
    """Enter an engine class under its `name`."""
    _REGISTRY[cls.name] = cls  # type: ignore[attr-defined]
    return cls


def engine_class(name: str) -> type:
    """The engine class of that name; KeyError where there is none."""
    return _REGISTRY[name]


def engine_names() -> tuple[str, ...]:
    """Names of the engines there are."""
    return tuple(sorted(_REGISTRY))
