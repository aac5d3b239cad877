"""Which engines can run a model, and why: requirements are checked before anything runs. No JAX here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from ssmlang.analysis import chains, general, general_choice
from ssmlang.analysis.choice import Task, preferred, rule
from ssmlang.analysis.costs import rounded, seconds, sizes_of
from ssmlang.analysis.engines import AVAILABLE, PURPOSE, REQUIRES
from ssmlang.analysis.methods import in_order, objection
from ssmlang.analysis.needs import WHOLE_PAST_MEMORY, certain, lacking
from ssmlang.engines.routes import described
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.language.suggest import suggest
from ssmlang.model import expr
from ssmlang.model.linear import LinearForm, linear_form
from ssmlang.model.model import Model
from ssmlang.model.obstacles import Obstacle, at_home, line_said
from ssmlang.model.solved_noises import solved

if TYPE_CHECKING:
    from ssmlang.analysis.lifted_exact import LiftedModel

Form = LinearForm | tuple[Obstacle, ...]


@dataclass(frozen=True)
class Verdict:
    """One engine for one model: whether it can run it, and the reasons."""

    engine: str
    usable: bool
    reason: str
    obstacles: tuple[Obstacle, ...] = ()
    seconds: float | None = None
    """about what a log-likelihood of the rows asked for costs on one core (see `costs`); None: not known"""

    @property
    def cost(self) -> str:
        """`~3 ms`; empty where it is not known."""
        return "" if self.seconds is None else rounded(self.seconds)


@dataclass(frozen=True)
class Advice:
    """What `auto` takes, and why not each of the others. Prints as text."""

    model: str
    chosen: str | None
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = ()
    """How `auto` chooses, in words"""

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "engine": self.chosen,
            "notes": list(self.notes),
            "engines": [
                {"engine": v.engine, "usable": v.usable, "reason": v.reason, "seconds": v.seconds, "cost": v.cost}
                for v in self.verdicts
            ],
        }

    def __str__(self) -> str:
        head = f"engine: {self.chosen}" if self.chosen else "engine: none of this version can run this model"
        notes = [f"  {note}" for note in self.notes]
        width = max(len(v.engine) for v in self.verdicts)
        cost = max(len(v.cost) for v in self.verdicts)
        told = lambda v: f"{v.cost:<{cost}}  {v.reason}" if cost else v.reason
        rows = [f"  {v.engine:<{width}}  yes  {told(v)}" for v in self.verdicts if v.usable]
        against: dict[str, list[str]] = {}
        for v in self.verdicts:
            if not v.usable:
                against.setdefault(v.reason, []).append(v.engine)
        indent = " " * (width + 7)
        for reason, names in against.items():
            if len(names) == 1:
                rows.append(f"  {names[0]:<{width}}  no   {reason}")
            else:
                rows += [f"  {'not these':<{width}}  no   {reason}", *wrap(", ".join(names), 110, initial_indent=indent,
                         subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)]  # fmt: skip
        return "\n".join([head, *notes, *rows])

    __repr__ = __str__


def advise(model: Model, form: Form | None = None, task: Task = Task()) -> Advice:  # noqa: B008
    """Judge every engine for a model and what is asked of it."""
    form = linear_form(model) if form is None else form
    verdicts = [_verdict(name, model, form, task.steps) for name in AVAILABLE]
    if task.steps is not None:
        # What runs in a lift is not of the model's own size.
        sizes = sizes_of(model, form) if not model.lifts else ()
        verdicts = [replace(v, seconds=seconds(v.engine, sizes, task.steps)) if v.usable and sizes else v
                    for v in verdicts]  # fmt: skip
    notes = _notes(model, form)
    if any(v.seconds is not None for v in verdicts):
        notes += (f"times are of a log-likelihood of {task.steps:,} rows on one core, to an order of magnitude; "
                  "the first call compiles besides",)  # fmt: skip
    return Advice(model.name, _first(model, form, task), tuple(verdicts), notes)


def _notes(model: Model, form: Form) -> tuple[str, ...]:
    """How `auto` chooses, and what runs in a lift."""
    lift = _lift(model, form)
    said: tuple[str, ...] = ()
    if lift is not None:
        from ssmlang.analysis.lifting import spoken

        said = spoken(lift)
    own = lift.form if lift is not None and lift.lift.mode == "exact" else form
    rules = (*rule(own), *_routes(own)) if isinstance(own, LinearForm) else general_choice.rule(model)
    return (*said, *rules)


def _routes(form: LinearForm) -> tuple[str, ...]:
    """Which way `kalman` goes through the rows."""
    if form.whole_past:
        return ()
    terms = [item for rows in (form.transition, form.emission) for item in rows.terms.items()]
    matrices = [m.values for (kind, _), m in terms if kind != "y"]
    # What a transition reads of the data is an offset that changes with the row.
    moved = any(kind == "y" for kind, _ in form.transition.terms)
    constant = not moved and not expr.varies([*matrices, form.transition.constant])
    reads = expr.references([*matrices, form.transition.constant, form.emission.constant])
    alike = not form.initial.delta and not form.read_back and not any(s in ("obs", "input") for s, *_ in reads)
    return described(constant=constant, exact=certain(form), alike=alike)


def obstacles(
    name: str, model: Model, form: Form, steps: int | None = None, able: Sequence[str] = ()
) -> list[Obstacle]:
    """What stands between a model and an engine. `steps`: rows, where known; `able`: engines that take the model."""
    if REQUIRES[name].discrete:
        return chains.lacking(model, able)
    if REQUIRES[name].switching:
        return chains.not_switching(model, able)
    if not REQUIRES[name].linear:
        return general.lacking(solved(model), REQUIRES[name], able)
    model, form = _linear(model, form)
    if not isinstance(form, LinearForm):
        return list(form)
    return lacking(model, form, REQUIRES[name], steps, able)


def _linear(model: Model, form: Form) -> tuple[Model, Form]:
    """What engines of linear programs run: the model, or the model in the coordinates of its lift."""
    if isinstance(form, LinearForm) or not model.lifts:
        return model, form
    from ssmlang.analysis.lifting import linear_program  # with sympy, which other models do without

    return linear_program(model, form)


def _lift(model: Model, form: Form) -> LiftedModel | None:
    """The lift in which engines of linear programs run a model, if they need one."""
    if isinstance(form, LinearForm) or not model.lifts:
        return None
    from ssmlang.analysis.lifting import in_lift

    return in_lift(model, form)


def _verdict(name: str, model: Model, form: Form, steps: int | None) -> Verdict:
    found = obstacles(name, model, form, steps)
    if found:
        return Verdict(name, False, _short(found[0], model), tuple(found))
    if not REQUIRES[name].linear:
        return Verdict(name, True, general.said(name, solved(model), PURPOSE[name]))
    lift = _lift(model, form)
    if lift is not None:
        kind = "an approximation" if lift.lift.mode == "fitted" else "exact" if lift.exact else "the best linear filter"
        return Verdict(name, True, f"in the lift {lift.lift.name}: {kind}")
    if isinstance(form, LinearForm) and form.whole_past and REQUIRES[name].finite_order:
        rows = WHOLE_PAST_MEMORY // max(form.stacking.n, 1)
        return Verdict(name, True, f"exact up to {rows:,} rows, on a state that holds them all")
    return Verdict(name, True, PURPOSE[name])


def _order(model: Model, form: Form, task: Task) -> list[str]:
    """Engines of this version as `auto` tries them."""
    lift = _lift(model, form)
    own = lift.form if lift is not None and lift.lift.mode == "exact" else form
    names = preferred(own, task) if isinstance(own, LinearForm) else general_choice.preferred(model)
    names = in_order(names, task.method) if task.verb == "fit" else names
    return [n for n in dict.fromkeys([*names, *AVAILABLE]) if n in AVAILABLE]


def _first(model: Model, form: Form, task: Task) -> str | None:
    names = _order(model, form, task)
    if task.gap and task.verb != "forecast":
        # A chain reads numbers; as part of a real state they may be missing.
        names = sorted(names, key=lambda n: REQUIRES[n].discrete)
    fits = (n for n in names if not obstacles(n, model, form, task.steps))
    return next((n for n in fits if unfit(n, task, model) is None), None)


def unfit(name: str, task: Task, model: Model) -> str | None:
    """Why an engine that runs a model cannot do what is asked, in words that follow its name; None where it can."""
    written = solved(model)
    if task.unseen and not all(general.holds(written, REQUIRES[name], o) for o in general.read_back(written)):
        return "needs as a number what a later row reads, and some of that is missing or still to come"
    if task.verb == "fit":
        return objection(name, REQUIRES[name], task.method)
    if task.verb == "step" and not REQUIRES[name].by_row:
        return "does not take rows one at a time"
    if task.verb == "smooth" and not REQUIRES[name].smooths:
        return "filters alone: it gives no law of a row given all data"
    if REQUIRES[name].joint:
        return "takes states and parameters together: it is for fit and numpyro alone"
    return None


def _short(obstacle: Obstacle, model: Model) -> str:
    place = ""
    if obstacle.span is not None:
        place = f"{line_said(model, obstacle.span)}: "
    return place + (obstacle.label or obstacle.message.removeprefix("engine 'kalman' "))


def check_name(engine: str) -> None:
    """Raise E301 for a name that is no engine."""
    if engine != "auto" and engine not in PURPOSE:
        close = suggest(engine, ["auto", *AVAILABLE])
        raise SsmError(
            Diagnostic(
                "E301",
                f"unknown engine '{engine}'",
                help=(f"did you mean '{close}'?",) if close else (f"one of {', '.join(AVAILABLE)}",),
            )
        )


def choose(model: Model, engine: str, form: Form, task: Task = Task()) -> str:  # noqa: B008
    """The name of the engine to run; raises E301 (unknown), E302 (not built), E304 ... (not fit)."""
    check_name(engine)
    if engine != "auto" and engine not in AVAILABLE:
        usable = _first(model, form, task)
        raise SsmError(
            Diagnostic(
                "E302",
                f"engine '{engine}', {PURPOSE[engine]}, is a name of the language that is not built",
                help=(f"engine='{usable}' runs this model",) if usable else (),
            )
        )
    found = _first(model, form, task)
    if engine == "auto" and found is not None:
        return found
    if engine != "auto":
        refuse(model, engine, form, task)
        return engine
    against: dict[str, list[str]] = {}
    for name in AVAILABLE:
        verdict = _verdict(name, model, form, task.steps)
        against.setdefault((verdict.usable and unfit(name, task, model)) or verdict.reason, []).append(name)
    # What asks least of a program is what it lacks least for: its place and mend.
    lacks = obstacles("particle", model, form, task.steps)
    first = next((o for o in lacks if o.span is not None), None)
    mends = dict.fromkeys(o.help for o in lacks if o.help)
    if first is not None and first.span is not None and not at_home(model, first.span):
        mends["a component's line: `ssmlang expand FILE --out flat.ssm` writes parts out, to be changed there"] = None
    head = Diagnostic(
        "E303",
        f"no engine of this version can run model '{model.name}'",
        first.span if first is not None else None,
        first.label if first is not None else "",
        why=tuple(f"{', '.join(names)}: {reason}" for reason, names in against.items()),
        help=(*mends, "it parses, checks and simulates; ssmlang info shows what it is made of"),
    )
    raise SsmError((head, *(o.diagnostic() for o in lacks if o.code == "E307")))


def refuse(model: Model, engine: str, form: Form, task: Task = Task()) -> None:  # noqa: B008
    """Raise what stands between an engine of this version and a program, if anything does."""
    found = obstacles(engine, model, form, task.steps)
    able = [n for n in _order(model, form, task) if not obstacles(n, model, form, task.steps)]
    if found:
        raise SsmError([o.diagnostic(engine, able or AVAILABLE) for o in
                        obstacles(engine, model, form, task.steps, able)])  # fmt: skip
    why = unfit(engine, task, model)
    if why is not None:
        better = [n for n in able if unfit(n, task, model) is None]
        raise SsmError(Diagnostic("E312" if task.verb == "step" else "E306", f"engine '{engine}' {why}",
                                  help=(f'use engine="{better[0]}"',) if better else ()))  # fmt: skip
