"""States and parameters together: the states as a map of standard normal numbers, one posterior over all of it.

    p(theta, e | y)  ~  p(theta) N(e; 0, I) prod_t p(y_t | s_t(theta, e))

The noises e, not the states, are what a sampler moves (the non-centred form: Papaspiliopoulos, Roberts & Skold 2007),
so that the law of what moves does not depend on the parameters. No likelihood of the parameters alone comes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines.base import Known, register
from ssmlang.engines.nonlinear import Facts, Nonlinear
from ssmlang.engines.requirements import Requirements


@register
@dataclass(frozen=True)
class Latent:
    """For `fit` and `numpyro`: the noises of all rows are unknowns beside the parameters."""

    name: ClassVar[str] = "latent"
    requires: ClassVar[Requirements] = Requirements(
        linear=False, gaussian=False, finite_order=True, continuous=True, emission_density=True, normal_noise=True,
        joint=True,
    )  # fmt: skip

    def for_data(self, known: Known, *, adjoint: bool = False) -> Self:
        """This engine as it is."""
        del known, adjoint
        return self

    @staticmethod
    def size(facts: Facts, steps: int) -> int:
        """How many standard normal numbers the states of so many rows are made of."""
        return facts.first_noises + max(steps - 1, 0) * facts.noises

    @staticmethod
    def path(program: Nonlinear, noise: Float[Array, " size"], steps: int) -> Float[Array, "T N"]:
        """The memories of all rows."""
        facts = program.facts
        first = program.first(noise[: facts.first_noises])
        rest = noise[facts.first_noises :].reshape(steps - 1, facts.noises)

        def body(s: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
            after = program.transition(*row[:1], s, row[1])
            return after, after

        _, later = jax.lax.scan(body, first, (jnp.arange(1, steps), rest))
        return jnp.concatenate([first[None], later])

    @staticmethod
    def log_density(program: Nonlinear, path: Float[Array, "T N"], y: Float[Array, "T m"]) -> Float[Array, ""]:
        """The log-density of what is there in y given the states."""
        terms = jax.vmap(program.log_emission)(jnp.arange(len(y)), path, y)
        return jnp.where(program.exists, jnp.sum(terms), -jnp.inf)

    def log_likelihood(self, program: Any, y: Any) -> NoReturn:
        """There is none: raises TypeError."""
        raise TypeError("engine 'latent' has no likelihood of the parameters alone; use fit or numpyro")

    log_likelihood_terms = filter = smooth = log_likelihood
