"""Parameter values given by a caller."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from handmade import model, parameter

from ssmlang.inference.parameters import validate
from ssmlang.inference.priors import Priors
from ssmlang.language.diagnostics import SsmError
from ssmlang.model.expr import Axis

PLANE, LAG = Axis("plane", ("east", "north")), Axis("lag", (1, 2))
MODEL = model(
    parameter("s", ("HalfNormal", {"scale": 1.0})),
    parameter("a", ("Normal", {"loc": 0.0, "scale": 1.0}), (2,), axes=(PLANE,), between=(-1, 1)),
    parameter("B", ("Normal", {"loc": 0.0, "scale": 1.0}), (2, 2), axes=(LAG, PLANE)),
    parameter("w", ("Dirichlet", {"concentration": [1.0, 1.0]}), (2,)),
    parameter("phi", ("Normal", {"loc": 0.0, "scale": 1.0}), (2,), stationary=True),
    parameter("theta", ("Normal", {"loc": 0.0, "scale": 1.0}), augment=True),
)
GOOD: dict[str, Any] = {"s": 1.0, "a": [0.5, -0.5], "B": [[1, 2], [3, 4]], "w": [0.25, 0.75], "phi": [0.5, 0.3]}


def test_values_come_in_the_order_of_the_labels() -> None:
    given = {**GOOD, "a": {"north": -0.5, "east": 0.5}, "B": {"2": [3, 4], 1: {"north": 2, "east": 1}}}
    found = validate(MODEL, Priors(MODEL), given)
    for name, value in GOOD.items():
        np.testing.assert_array_equal(found[name], value)
    assert list(found) == list(GOOD)
    # A density that is finite at the end of its support allows the end.
    assert validate(MODEL, Priors(MODEL), {**GOOD, "s": 0.0})["s"] == 0.0


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"s": None}, "E441", "'s'"),
        ({"sigma": 1.0}, "E442", "sigma"),
        ({"theta": 1.0}, "E442", "augmented"),
        ({"a": [0.1, 0.2, 0.3]}, "E443", "(3,)"),
        ({"s": -1.0}, "E444", "'s'"),
        ({"a": [0.5, 1.0]}, "E444", "a[north]"),
        ({"w": [0.5, 0.6]}, "E444", "'w'"),
        ({"phi": [0.5, 0.6]}, "E444", "'phi'"),
        ({"a": {"east": 0.1, "nort": 0.2}}, "E445", "nort"),
        ({"s": "one"}, "E446", "'s'"),
        ({"B": [[1, 2], [3, np.nan]]}, "E446", "B[2,north]"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], code: str, words: str) -> None:
    given = {k: v for k, v in {**GOOD, **change}.items() if v is not None}
    with pytest.raises(SsmError) as caught:
        validate(MODEL, Priors(MODEL), given)
    assert code in [d.code for d in caught.value.diagnostics]
    assert any(words in d.message for d in caught.value.diagnostics)


def test_everything_is_said_at_once() -> None:
    with pytest.raises(SsmError) as caught:
        validate(MODEL, Priors(MODEL), {"a": [1], "B": "x", "zeta": 1})
    assert {d.code for d in caught.value.diagnostics} == {"E441", "E442", "E443", "E446"}


def test_values_met_again_are_checked_by_what_they_hold() -> None:
    priors = Priors(MODEL)
    arrays = {name: np.array(value, float) for name, value in GOOD.items()}
    held = {name: jax.numpy.asarray(value, "float32") for name, value in GOOD.items()}
    with jax.enable_x64(True):
        doubles = {name: jax.numpy.asarray(value) for name, value in arrays.items()}
    for given in (GOOD, arrays, held, doubles, GOOD):
        for _ in range(2):
            found = validate(MODEL, priors, given)
            for name, value in GOOD.items():
                np.testing.assert_allclose(found[name], value, rtol=1e-6)
            found.pop("s")  # what comes back is the caller's own
    arrays["a"][1] = 1.0
    for given in (arrays, {**doubles, "a": jax.numpy.asarray([0.1, 2.0])}, {**doubles, "w": [0.5, 0.6]}):
        with pytest.raises(SsmError) as caught:
            validate(MODEL, priors, given)
        assert [d.code for d in caught.value.diagnostics] == ["E444"]
    with pytest.raises(SsmError):
        validate(MODEL, priors, {name: v for name, v in doubles.items() if name != "s"})
    with pytest.raises(SsmError):
        validate(MODEL, priors, {**doubles, "zeta": 1.0})
