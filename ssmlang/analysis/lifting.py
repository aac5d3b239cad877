"""Which lift a model runs in, if any, and what stands against it."""

from __future__ import annotations

from ssmlang.analysis.budget import Budget, OutOfTime
from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_map import Koopman
from ssmlang.analysis.lifted_exact import LiftedModel, NotClosed, lifted_exact
from ssmlang.analysis.lifted_fitted import lifted_fitted
from ssmlang.analysis.lifted_model import NotInTheLift
from ssmlang.analysis.scalars import Unsupported
from ssmlang.model.expr import ExprError
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import Lift, Model
from ssmlang.model.obstacles import Obstacle

Form = LinearForm | tuple[Obstacle, ...]
SECONDS = 30.0
"""Processor time for the moments of a lift; few take one."""
_KEPT = "_in_its_lift"
_WITHOUT = "an engine for nonlinear programs, such as engine=\"ekf\", runs it without the lift"


def lifted(model: Model) -> LiftedModel | tuple[Obstacle, ...]:
    """The model in the coordinates of its lift, or why it has no linear program there; () for a model without one.

    Of several lifts the first that gives a program is taken. Worked out once for a model.
    """
    kept: LiftedModel | tuple[Obstacle, ...] | None = model.__dict__.get(_KEPT)
    if kept is None:
        kept = _first(model)
        model.__dict__[_KEPT] = kept
    return kept


def _first(model: Model) -> LiftedModel | tuple[Obstacle, ...]:
    found: list[Obstacle] = []
    for lift in model.lifts:
        one = _one(model, lift)
        if isinstance(one, LiftedModel):
            return one
        found.append(one)
    return tuple(found)


def linear_program(model: Model, form: Form) -> tuple[Model, Form]:
    """What engines of linear programs run: the model itself where it is linear, else the model in the coordinates of
    its lift, with its form or what stands against it."""
    if isinstance(form, LinearForm) or not model.lifts:
        return model, form
    found = lifted(model)
    return (found.model, found.form) if isinstance(found, LiftedModel) else (model, found)


def in_lift(model: Model, form: Form) -> LiftedModel | None:
    """The lift in which engines of linear programs run a model, if they need one."""
    if isinstance(form, LinearForm) or not model.lifts:
        return None
    found = lifted(model)
    return found if isinstance(found, LiftedModel) else None


def spoken(found: LiftedModel) -> tuple[str, ...]:
    """What is said of a model that is run in the coordinates of a lift."""
    line = found.lift.span.source.position(found.lift.span.start)[0]
    names = ", ".join(found.names[:6]) + (", ..." if len(found.names) > 6 else "")
    head = f"kalman and its kin run it in the lift {found.lift.name} (line {line}), a linear model of {names}"
    if found.exact:
        return (f"{head}: the exact filter of the model",)
    return (f"{head};", *(f"  {reason}" for reason in found.reasons))


def _one(model: Model, lift: Lift) -> LiftedModel | Obstacle:
    try:
        tick = Budget(SECONDS).check
        made = lifted_exact(model, lift, tick) if lift.mode == "exact" else lifted_fitted(model, lift, tick=tick)
    except NotClosed:
        return Obstacle("E501", f"the lift {lift.name} is not closed", lift.span, "is no exact lift",
                        "`ssmlang check` says what is left over and what would close it")  # fmt: skip
    except NotInTheLift as more:
        return _outside(model, lift, more)
    except Unsupported as trouble:
        return Obstacle("E502", f"the lift {lift.name} gives no linear program", trouble.span or lift.span,
                        trouble.reason, _WITHOUT)  # fmt: skip
    except OutOfTime as late:
        return Obstacle("E502", f"the lift {lift.name} gives no linear program", lift.span, f"the algebra {late}",
                        _WITHOUT)  # fmt: skip
    except ExprError as trouble:
        return Obstacle("E502", f"the lift {lift.name} gives no linear program", lift.span, trouble.message, _WITHOUT)
    return made if isinstance(made.form, LinearForm) else made.form[0]


def _outside(model: Model, lift: Lift, more: NotInTheLift) -> Obstacle:
    label = more.reason or f"is no combination of the functions of {lift.name}"
    hint = _added(model, more.rest) if more.rest is not None else None
    help = f"add {hint} to {lift.name}, or {_WITHOUT}" if hint else _WITHOUT
    return Obstacle("E503", f"`{more.name}` is not affine in the coordinates of {lift.name}", more.span, label, help)


def _added(model: Model, output: Element) -> str | None:
    """What an emission reads, as a person writes it."""
    from ssmlang.analysis.closure_words import Words
    from ssmlang.analysis.context import Context

    try:
        koopman = Koopman(model)
        shown = Words(Context(model, ()), koopman).function(output)
    except (Unsupported, KeyError):
        return None
    return f"`{shown}`" if len(shown) <= 60 else None
