"""The dynamics of a model's states: the recursion of their means, by equation where the model is not linear."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from ssmlang.analysis.algebra import sp
from ssmlang.analysis.context import Context
from ssmlang.analysis.stability_blocks import Dynamics
from ssmlang.analysis.stability_skeleton import entries, skeleton, spread_of
from ssmlang.analysis.stability_skeleton import opaque as opaque_of
from ssmlang.analysis.symbolic import TIME, TooLarge, Translator
from ssmlang.model import expr
from ssmlang.model.linear import LinearForm, linear_form
from ssmlang.model.reading import Reader
from ssmlang.model.rows import Rows, scatter, solved

MAX_ENTRIES = 4_000
"""Transitions of more coefficients are not taken apart."""


def dynamics_of(context: Context) -> Dynamics | str:
    """The dynamics of all states, or why there are none to speak of."""
    model, form = context.model, context.form
    if not model.states:
        return "the model has no states"
    # In continuous time it is the drift that is stable or not, whatever the steps are.
    if isinstance(form, LinearForm) and not model.differentials:
        if form.whole_past:
            return "a state reads its whole past, which no matrix of fixed size moves on"
        if form.read_back:
            closed = linear_form(model, form.read_back)
            if not isinstance(closed, LinearForm):
                return f"{form.read_back[0]} is read back, and not linear in the states"
            form = closed
        names = [n for name in form.stacking.x for n in {**model.states, **model.observations}[name].entry_names()]
        readers = _data_readers(form.transition, form.stacking.latent)
        return _dynamics(names, form.transition, context.translate, readers)
    return _by_equation(context)


def _dynamics(names: list[str], rows: Rows, translate: Translator, opaque: dict[int, str],
              reads: Iterable[tuple[int, int]] = ()) -> Dynamics | str:  # fmt: skip
    if sum(m.nnz for m in rows.terms.values()) > MAX_ENTRIES:
        return "its transition has too many coefficients for algebra"
    terms: dict[int, dict[tuple[int, int], sp.Expr]] = {}
    hidden = dict(opaque)
    for (kind, lag), m in rows.terms.items():
        if kind != "x" or not m.nnz:
            continue
        try:
            values = translate(m.values).reshape(-1)
        except TooLarge as trouble:
            return f"its transition holds {trouble}"
        for i, j, value in zip(m.rows.tolist(), m.cols.tolist(), values):
            if value == 0:
                continue
            if any(s == TIME or "[t" in s.name for s in value.free_symbols):
                hidden.setdefault(i, f"its coefficient of {names[j]} changes with the row")
            elif not value.is_finite and value.is_number:
                hidden.setdefault(i, f"its coefficient of {names[j]} is not finite")
            terms.setdefault(lag, {})[i, j] = value
    return Dynamics(tuple(names), terms, hidden, frozenset(reads))


def _data_readers(rows: Rows, standing: Sequence[str]) -> dict[int, str]:
    """Entries that read observations in another way than through the states that stand for them: `standing`, whose own
    values are read in rows alone that reach before the data."""
    found: dict[int, str] = {}
    for (kind, _), m in rows.terms.items():
        if kind in ("y", "ypast"):
            found.update({int(i): "it reads an observation" for i in m.rows})
    read = [n for n in expr.walk([rows.constant]) if n.op == "ref" and n.attrs[0] == "obs"
            and not (n.attrs[1] in standing and n.attrs[2] == 0)]  # fmt: skip
    if read:
        # Which entries read it is lost in the stacked offset: none is spoken of.
        found.update({i: f"it reads {read[0].attrs[1]} otherwise than linearly" for i in range(rows.size)})
    return found


# ------------------------------------------------------------------------------------------------- not linear


def _by_equation(context: Context) -> Dynamics | str:
    """Equations of the means one by one: those that are affine as they stand, the others as things unknown."""
    model = context.model
    if model.missing_constants:
        return f"constant `{model.missing_constants[0]}` has no value"
    flat = skeleton(model)
    reader = Reader(flat)
    s = reader.stacking
    names = [n for v in reader.stacked for n in v.entry_names()]
    placed: list[tuple[np.ndarray, Rows]] = []
    opaque: dict[int, str] = {}
    reads: set[tuple[int, int]] = set()
    given: set[int] = set()
    continuous: set[int] = set()
    transitions = [e for e in model.equations if e.role == "transition"]
    for e, source in [(part, m) for f, m in zip(flat.equations, transitions) for part in entries(f, flat)]:
        at = reader.places([(t.name, t.entries) for t in e.targets])
        given |= {int(i) for i in at}
        why = opaque_of(model, source)
        before, seen = len(reader.obstacles), dict(reader.data_reads)
        rows = reader.equation(e) if why is None else None
        if rows is not None and len(reader.data_reads) > len(seen):
            name = next(n for n, _ in reader.data_reads if (n, _) not in seen)
            why = f"it reads {name} otherwise than linearly"
        elif rows is not None and any(k == "y" for k, _ in rows.terms):
            why = "it reads an observation whose law is not linear"
        elif rows is None and why is None:
            why = reader.obstacles[before].label if len(reader.obstacles) > before else "it is not linear"
        node = e.value
        assert node is not None
        # What moves the spread of a noise matters to it, though its mean does not read it.
        known = rows is not None and why is None
        for sort, name, _ in expr.references([*spread_of(source).values(), *([] if known else [node])]):
            if sort == "state":
                reads |= {(int(i), s.x[name] + j) for i in at for j in range(model.states[name].size)}
        if rows is None or why is not None:
            opaque.update({int(i): why or "it is not linear" for i in at})
        else:
            placed.append((at, rows))
    for d in model.differentials:
        at = s.x[d.target.name] + np.asarray(d.target.entries, int)
        given |= {int(i) for i in at}
        drift, spread = _part(d.value, 1.0, 0.0), _part(d.value, 0.0, 1.0)
        for sort, name, _ in expr.references([spread]):
            if sort == "state":
                reads |= {(int(i), s.x[name] + j) for i in at for j in range(model.states[name].size)}
        size, before = len(reader.data_reads), len(reader.obstacles)
        form = reader.affine(drift, "transition")
        if form is not None and len(reader.data_reads) == size:
            placed.append((at, reader.rows(form)))
            continuous |= {int(i) for i in at}
            continue
        why = reader.obstacles[before].label if len(reader.obstacles) > before else "its drift reads an observation"
        opaque.update({int(i): why for i in at})
        for sort, name, _ in expr.references([d.value]):
            if sort == "state":
                reads |= {(int(i), s.x[name] + j) for i in at for j in range(model.states[name].size)}
    opaque.update({i: "it has no equation" for i in range(s.n) if i not in given})
    system = scatter(placed, s.n, s.widths)
    now = system.terms.get(("x", 0))
    if now is not None:
        reads |= {(int(i), int(j)) for i, j in zip(now.rows, now.cols) if int(j) in opaque}
    moved = solved(system, ("x", 0))
    if moved is None:
        return "values of one row need each other"
    found = _dynamics(names, moved, context.translate, opaque, reads)
    return found if isinstance(found, str) else replace(found, continuous=frozenset(continuous))


def _part(value: expr.Node, dt: float, dW: float) -> expr.Node:
    """A differential equation at values of its increments: its drift, or what its noise is multiplied with."""

    def leaf(n: expr.Node) -> expr.Node | None:
        if n.op == "ref" and n.attrs[0] == "increment":
            return expr.const(np.full(n.shape, dt if n.attrs[1] == "dt" else dW))
        return None

    return expr.transform(value, leaf)
