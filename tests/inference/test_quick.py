"""What is compiled hastily first, and well once that pays."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssmlang.inference import quick
from ssmlang.inference.quick import quickly_compiled


def _cumulated(x: Any) -> Any:
    return jax.lax.scan(lambda s, v: (s + jnp.sin(v), s * v), 0.0 * x[0], x)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which of the two programs each call ran."""
    real, calls = jax.jit, []

    def jit(function: Any, **options: Any) -> Any:
        made = real(function, **options)

        def call(*args: Any) -> Any:
            calls.append("hasty" if options else "well")
            return made(*args)

        return call

    monkeypatch.setattr(quick.jax, "jit", jit)
    return calls


def test_hasty_until_it_has_run_for_as_long_as_compiling_took(
    ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([0.0, 2.0, 2.0, 3.0, 3.0, 4.5, 9.0, 9.0])
    monkeypatch.setattr(quick.time, "perf_counter", lambda: next(seconds))
    call = quickly_compiled(_cumulated)
    x = np.linspace(0.0, 1.0, 7)
    found = [call(x) for _ in range(4)]
    assert ran == ["hasty", "hasty", "hasty", "well"]  # compiled in 2 s, ran for 1 s and 1.5 s
    for later in found[1:]:
        for a, b in zip(later, found[0]):
            np.testing.assert_allclose(a, b, rtol=1e-6)
    call(np.linspace(0.0, 1.0, 8))  # another shape is another program
    assert ran[-1] == "hasty"


def test_what_lasts_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 2.0, 2.0, 5.0])
    monkeypatch.setattr(quick.time, "perf_counter", lambda: next(seconds))
    call = quickly_compiled(_cumulated)
    x = np.linspace(0.0, 1.0, 7)
    for _ in range(2):
        assert call.lasting(x) is None
        first = call(x)
    lasting = call.lasting(x)
    assert lasting is not None and call.lasting(x[:5]) is None
    for a, b in zip(lasting(x), first):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_short_runs_are_never_worth_compiling_again(ran: list[str]) -> None:
    call = quickly_compiled(_cumulated)
    for _ in range(5):
        call(np.ones(3))
    assert ran == ["hasty"] * 5


def test_what_is_large_is_compiled_well_at_once(ran: list[str]) -> None:
    quickly_compiled(_cumulated, work=1e7)(np.ones(3))
    assert ran == ["well"]


def test_what_is_traced_is_part_of_another_program() -> None:
    call = quickly_compiled(lambda x: (x**2).sum())
    np.testing.assert_allclose(jax.jit(jax.grad(call))(jnp.arange(3.0)), [0.0, 2.0, 4.0])
    np.testing.assert_allclose(jax.vmap(call)(jnp.arange(3.0)[:, None]), [0.0, 1.0, 4.0])


@pytest.mark.parametrize("options", [None, {"xla_no_such_option": True}])
def test_the_same_numbers_with_and_without_the_options(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, bool] | None
) -> None:
    if options is not None:
        monkeypatch.setattr(quick, "_HASTY", options)
        monkeypatch.setattr(quick, "_OLD_EMITTERS", options)
    work = lambda x: jnp.cumsum(jnp.sin(x)) + 2.0
    x, wanted = jnp.arange(5.0), np.cumsum(np.sin(np.arange(5.0))) + 2.0
    made = quickly_compiled(work)
    for _ in range(2):
        np.testing.assert_allclose(made(x), wanted, rtol=1e-6)
    np.testing.assert_allclose(quick.compiled_of_many_small(jax.jit(work).lower(x))(x), wanted, rtol=1e-6)


def test_what_goes_wrong_otherwise_is_not_hidden() -> None:
    with pytest.raises(TypeError):
        quickly_compiled(lambda x: jnp.sin(x, x))(1.0)


def test_precisions_are_programs_of_their_own() -> None:
    call = quickly_compiled(lambda x: x / 3.0)
    assert call(np.float64(1.0)).dtype == np.float32
    with jax.enable_x64(True):
        assert float(call(np.float64(1.0))) == 1.0 / 3.0
