"""Parameter values given by a caller, checked against the Model."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import jax
import numpy as np
import numpyro  # noqa: F401, whole before its parts: see `laws`
from numpyro.distributions import constraints

from ssmlang.inference.priors import Priors, Site, support_of
from ssmlang.language.diagnostics import Findings
from ssmlang.model.contents import KEPT_NUMBERS, Contents, contents_of
from ssmlang.model.expr import Axis
from ssmlang.model.model import Model, Parameter

# Densities that are finite at the end of their support: there a value on the end is a legal one.
_CLOSED = frozenset({"HalfNormal", "HalfCauchy", "Exponential", "Uniform"})
_SUM_TOLERANCE = 1e-6


def validate(
    model: Model, priors: Priors, params: Mapping[str, Any], *, partial: bool = False
) -> dict[str, np.ndarray]:
    """The values of all parameters as arrays in label order, or an SsmError that lists all that is wrong.

    Values may be numbers, nested sequences, arrays, or dicts by label (nested for several axes). `partial`: some may be
    left out. Missing is E441, unknown E442, of another shape E443, outside its support E444, an unknown label E445, not
    a number E446.
    """
    last = _SOUND.get(priors)
    if last is not None and last.given is not None and _same(last.given, params):
        return last.again()
    plain = _plain(priors, params)
    if plain is not None and last is not None and last.contents == plain.contents:
        return plain
    found = Findings()
    values: dict[str, np.ndarray] = {}
    for name in params:
        if name not in priors.parameters:
            _unknown(found, model, priors, name)
    missing = [p for n, p in priors.parameters.items() if n not in params]
    if missing and not partial:
        names = ", ".join(f"'{p.name}'" for p in missing)
        found.add("E441", f"{'a value is' if len(missing) == 1 else 'values are'} missing for {names}", missing[0].span,
                  "declared here", help="give every parameter, as in params={" + ", ".join(
                      f'"{p.name}": ...' for p in missing) + "}"
                  f" (on the command line `--param {missing[0].name}=...`)")  # fmt: skip
    for name, parameter in priors.parameters.items():
        if name in params:
            value = _as_array(found, parameter, params[name])
            if value is not None:
                values[name] = value
    found.raise_errors()
    _check_supports(found, priors, values)
    found.raise_errors()
    if plain is not None:
        _SOUND[priors] = plain.again()
    return values if plain is None else plain


_SOUND: WeakKeyDictionary[Priors, Plain] = WeakKeyDictionary()
"""The values that were found sound last."""


class Plain(dict[str, np.ndarray]):
    """Values as arrays, of few numbers, with what they hold: to know them again by."""

    def __init__(self, values: Mapping[str, np.ndarray], contents: Contents, given: dict[str, Any] | None) -> None:
        super().__init__(values)
        self.contents = contents
        self.given = given
        """The arrays of JAX's that they are views of, which cannot be changed; None where not all are."""

    def again(self) -> Plain:
        """The same values in a dict of its own."""
        return Plain(self, self.contents, self.given)


def _same(given: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    return len(given) == len(params) and all(params.get(name) is value for name, value in given.items())


def _plain(priors: Priors, params: Mapping[str, Any]) -> Plain | None:
    """The values of all parameters as arrays; None where they are not plainly that, or many."""
    if params.keys() != priors.parameters.keys():
        return None
    try:
        values = {name: np.asarray(params[name], dtype=float) for name in priors.parameters}
    except (TypeError, ValueError):
        return None
    if sum(a.size for a in values.values()) > KEPT_NUMBERS:
        return None
    views = all(isinstance(params[name], jax.Array) and not a.flags.writeable for name, a in values.items())
    return Plain(values, contents_of(values), dict(params) if views else None)


def _unknown(found: Findings, model: Model, priors: Priors, name: str) -> None:
    if name in model.parameters:
        found.add("E442", f"'{name}' is an augmented parameter: it is a state, and takes no value here",
                  model.parameters[name].span, "joins the state")  # fmt: skip
        return
    close = difflib.get_close_matches(str(name), list(priors.parameters), n=1)
    known = ", ".join(priors.parameters) or "none"
    found.add("E442", f"there is no parameter '{name}'",
              help=f"did you mean '{close[0]}'?" if close else f"the parameters are: {known}")  # fmt: skip


def _as_array(found: Findings, parameter: Parameter, value: Any) -> np.ndarray | None:
    before = len(found.items)
    try:
        plain = _by_label(found, parameter, value, parameter.axes)
        array = np.asarray(plain, dtype=float) if len(found.items) == before else None
    except (TypeError, ValueError):
        found.add("E446", f"the value of '{parameter.name}' is not a number or an array of numbers", parameter.span,
                  f"has shape {parameter.shape}" if parameter.shape else "is a number")  # fmt: skip
        return None
    if array is None:
        return None
    if array.shape != parameter.shape:
        found.add("E443", f"the value of '{parameter.name}' has shape {array.shape}, not {parameter.shape}",
                  parameter.span, "declared here", help=_shape_help(parameter))  # fmt: skip
        return None
    if not np.isfinite(array).all():
        entry = parameter.entry_names()[int(np.flatnonzero(~np.isfinite(array.ravel()))[0])]
        found.add("E446", f"the value of '{entry}' is {array.ravel()[~np.isfinite(array.ravel())][0]}", parameter.span,
                  "must be finite")  # fmt: skip
        return None
    return array


def _shape_help(parameter: Parameter) -> str:
    if not parameter.shape:
        return "it is a single number"
    sizes = []
    for axis, n in zip(parameter.axes, parameter.shape):
        labels = "" if axis is None else f" ({', '.join(map(str, axis.labels[:6]))}{', ...' if axis.size > 6 else ''})"
        sizes.append((axis.name if axis is not None else str(n)) + labels)
    return "its axes are " + " x ".join(sizes)


def _by_label(found: Findings, parameter: Parameter, value: Any, axes: tuple[Axis | None, ...]) -> Any:
    if not isinstance(value, Mapping):
        return value
    if not axes:
        raise TypeError
    size = parameter.shape[len(parameter.shape) - len(axes)]
    labels: tuple[Any, ...] = axes[0].labels if axes[0] is not None else tuple(range(size))
    given = {_label(k, labels): v for k, v in value.items()}
    for label in given:
        if label not in labels:
            close = difflib.get_close_matches(str(label), [str(x) for x in labels], n=1)
            found.add("E445", f"'{parameter.name}' has no label '{label}'", help=f"did you mean '{close[0]}'?" if close
                      else "its labels are: " + ", ".join(map(str, labels)))  # fmt: skip
    lacking = [str(x) for x in labels if x not in given]
    if lacking:
        found.add("E441", f"'{parameter.name}' lacks a value for {', '.join(lacking)}", parameter.span, "declared here")
    return [_by_label(found, parameter, given[x], axes[1:]) for x in labels if x in given]


def _label(key: Any, labels: tuple[Any, ...]) -> Any:
    # A command line or a JSON file spells the integer label 1 as "1".
    if isinstance(key, str) and key not in labels:
        try:
            return int(key)
        except ValueError:
            return key
    return key


@dataclass(frozen=True)
class _Region:
    """Where the values of a parameter may lie: between ends, or where a constraint of whole vectors holds."""

    constraint: Any
    low: np.ndarray
    high: np.ndarray
    everywhere: bool


_KNOWN: WeakKeyDictionary[Priors, dict[str, _Region]] = WeakKeyDictionary()
"""The regions that depend on no parameter, found once."""


def _region(priors: Priors, site: Site, values: Mapping[str, np.ndarray]) -> _Region | None:
    """The region of a parameter given the others; None where one that it depends on has no value."""
    known = _KNOWN.setdefault(priors, {})
    if site.name in known:
        return known[site.name]
    reads = site.depends_on() & priors.parameters.keys()
    if not reads <= values.keys():
        return None
    with jax.enable_x64(True):
        constraint: Any = support_of(site.law(values))
        low = np.asarray(getattr(constraint, "lower_bound", -np.inf), float)
        high = np.asarray(getattr(constraint, "upper_bound", np.inf), float)
    everywhere = constraint.event_dim == 0 and bool(np.isneginf(low).all() and np.isposinf(high).all())
    found = _Region(constraint, low, high, everywhere)
    if not reads:
        known[site.name] = found
    return found


def _check_supports(found: Findings, priors: Priors, values: Mapping[str, np.ndarray]) -> None:
    for name, site in priors.sites.items():
        region = _region(priors, site, values) if name in values else None
        if region is None or region.everywhere:
            continue
        problem = _outside(site, values[name], region)
        if problem is not None:
            entry, reason = problem
            found.add("E444", f"the value of '{entry}' is outside its support", site.parameter.span, reason)


def _outside(site: Site, value: np.ndarray, region: _Region) -> tuple[str, str] | None:
    parameter, constraint = site.parameter, region.constraint
    if constraint.event_dim == 0:
        low, high = region.low, region.high
        closed = not parameter.support.declared and parameter.prior is not None and parameter.prior.name in _CLOSED
        inside = (value >= low) & (value <= high) if closed else (value > low) & (value < high)
        inside |= np.isinf(low) & np.isinf(high)
        if inside.all():
            return None
        at = int(np.flatnonzero(~inside.ravel())[0])
        low_at, high_at = (float(np.broadcast_to(e, value.shape).ravel()[at]) for e in (low, high))
        return parameter.entry_names()[at], f"{value.ravel()[at]:g} is not in ({low_at:g}, {high_at:g})"
    if constraint is constraints.simplex:
        fine = (value >= 0).all() and bool(np.all(np.abs(value.sum(-1) - 1) <= _SUM_TOLERANCE))
        reason = "each row must be positive and sum to 1"
    elif constraint is constraints.corr_cholesky:
        lower = (np.triu(value, 1) == 0).all() and (np.diagonal(value, axis1=-2, axis2=-1) > 0).all()
        fine = lower and bool(np.all(np.abs(np.sum(value**2, axis=-1) - 1) <= _SUM_TOLERANCE))
        reason = "must be lower triangular, with a positive diagonal and rows of norm 1"
    else:
        with jax.enable_x64(True):
            fine = bool(np.all(np.asarray(constraint(value))))
        reason = "must be the coefficients of a stationary autoregression"
    return None if fine else (parameter.name, reason)
