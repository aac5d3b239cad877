"""Programs compiled in a hurry compute what others do, also by an XLA that does not know how to hurry."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.inference import quick

WANTED = np.cumsum(np.sin(np.arange(5.0))) + 2.0


def work(x: jax.Array) -> jax.Array:
    return jnp.cumsum(jnp.sin(x)) + 2.0


@pytest.mark.parametrize("options", [None, {"xla_no_such_option": True}])
def test_the_same_numbers_with_and_without_the_options(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, bool] | None
) -> None:
    if options is not None:
        monkeypatch.setattr(quick, "_HASTY", options)
        monkeypatch.setattr(quick, "_OLD_EMITTERS", options)
    x = jnp.arange(5.0)
    made = quick.quickly_compiled(work)
    for _ in range(2):
        np.testing.assert_allclose(made(x), WANTED, rtol=1e-6)
    np.testing.assert_allclose(quick.compiled_of_many_small(jax.jit(work).lower(x))(x), WANTED, rtol=1e-6)


def test_what_goes_wrong_otherwise_is_not_hidden() -> None:
    with pytest.raises(TypeError):
        quick.quickly_compiled(lambda x: jnp.sin(x, x))(1.0)
