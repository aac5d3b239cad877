"""Models made by hand for the tests of the inference room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ssmlang.language.source import Source, Span
from ssmlang.model import expr
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.expr import Axis, Node
from ssmlang.model.model import Dist, Model, Parameter, Support

SPAN = Span(Source("test.ssm", "param x"), 0, 7)


def node(value: Any) -> Node:
    return value if isinstance(value, Node) else expr.const(np.asarray(value, float))


def law(name: str, args: Mapping[str, Any], shape: Sequence[int] = ()) -> Dist:
    return Dist(name, {k: node(v) for k, v in args.items()}, tuple(shape), DISTRIBUTIONS[name].event_ndim, SPAN)


def ref(name: str, shape: Sequence[int] = ()) -> Node:
    return expr.param(name, shape, (None,) * len(shape), SPAN)


def parameter(
    name: str,
    prior: tuple[str, Mapping[str, Any]] | None = None,
    shape: Sequence[int] = (),
    *,
    between: tuple[Any, Any] | None = None,
    stationary: bool = False,
    axes: Sequence[Axis | None] | None = None,
    augment: bool = False,
) -> Parameter:
    """A parameter; `between` declares an interval."""
    support = Support("real")
    if stationary:
        support = Support("stationary", declared=True)
    elif between is not None:
        support = Support("interval", node(between[0]), node(between[1]), declared=True)
    elif prior is not None:
        support = _natural(prior)
    return Parameter(
        name, tuple(shape), tuple(axes or (None,) * len(shape)), SPAN,
        prior=None if prior is None else law(*prior, shape), support=support, augment=augment,
    )  # fmt: skip


def _natural(prior: tuple[str, Mapping[str, Any]]) -> Support:
    signature = DISTRIBUTIONS[prior[0]]
    if signature.support in ("simplex", "correlation_cholesky"):
        return Support(signature.support)
    bounds = signature.bounds
    if bounds is None or bounds == (-np.inf, np.inf):
        return Support("real")
    return Support("interval", node(bounds[0]), node(bounds[1]))


def model(*parameters: Parameter, **parts: Any) -> Model:
    empty: dict[str, Any] = dict(
        name="test", doc=None, axes={}, constants={}, states={}, observations={}, inputs={}, noises={}, definitions={},
        equations=(), initials=(),
    )  # fmt: skip
    return Model(**{**empty, **parts, "parameters": {p.name: p for p in parameters}})
