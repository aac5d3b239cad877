"""`ssmlang lift`: a lift statement for a model, found by closing what it has, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ssmlang.analysis.budget import OutOfTime
from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_functions import is_zero
from ssmlang.analysis.closure_growth import grows_without_end
from ssmlang.analysis.closure_lift import examine
from ssmlang.analysis.closure_map import Koopman
from ssmlang.analysis.closure_operator import matrix_of, spectrum, spoken
from ssmlang.analysis.closure_outputs import emissions
from ssmlang.analysis.closure_report import nothing_closes, rows_of
from ssmlang.analysis.closure_search import search
from ssmlang.analysis.closure_space import Span
from ssmlang.analysis.closure_words import Words
from ssmlang.analysis.context import Context
from ssmlang.analysis.scalars import Unsupported
from ssmlang.analysis.skeleton import LOCATED
from ssmlang.model import expr


@dataclass(frozen=True)
class Proposal:
    """`statement`: a lift that can be pasted (None: none was found). `notes`: what it does, or why there is none."""

    statement: str | None
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """Text that can be pasted as it stands: the notes are comments."""
        return "\n".join([f"# {note}" for note in self.notes] + ([self.statement] if self.statement else []))


def propose(context: Context, limit: int) -> Proposal:
    """Close the functions of the model's lift, or its states with what is observed, or what is observed alone, up to a
    degree. Keeps to the context's budget."""
    notes: list[str] = []
    try:
        koopman = Koopman(context.model, context.budget.check)
        words = Words(context, koopman)
        for what, name, functions in _starts(context, koopman):
            found = search(koopman, functions, limit)
            if found.added is not None:
                return _found(context, koopman, words, name, what, [*functions, *found.added], notes)
            names = words.functions(functions)
            endless = [n for n, f in zip(names, functions) if grows_without_end(koopman, f)]
            notes.append(f"{what}: {nothing_closes(found, words, limit, endless)}")
    except Unsupported as trouble:
        notes.append(f"no lift can be looked for: {trouble.reason}")
    except OutOfTime as late:
        notes.append(f"the search {late}: look up to a lower degree, or allow more --seconds")
    return Proposal(None, tuple(notes))


def _starts(context: Context, koopman: Koopman) -> Iterator[tuple[str, str, list[Element]]]:
    """What to close: a description, the name of the lift, the functions."""
    for lift in context.model.lifts:
        yield f"the functions of {lift.name}", lift.name, koopman.functions(lift.value)
    if context.model.lifts:
        return
    m = context.model
    taken = {*m.states, *m.parameters, *m.observations, *m.inputs, *m.noises, *m.definitions, *m.axes, *m.constants}
    name = next(n for n in ("z", "lifted", "coordinates", "z_lifted") if n not in taken)
    states = list(koopman.coordinates.values())
    outputs = list(_outputs(context, koopman))
    if outputs:
        yield "the states and what is observed of them", name, _independent([*states, *outputs])
    yield "the states", name, states
    if outputs:
        yield "what is observed", name, _independent(outputs)


def _outputs(context: Context, koopman: Koopman) -> Iterator[Element]:
    """Middles of the observations as functions of the state, where they are such."""
    for e in context.model.equations:
        if e.role != "emission":
            continue
        node = e.value
        if e.law is not None and e.law.name in LOCATED:
            node = expr.broadcast(e.law.args[LOCATED[e.law.name]], e.law.shape)
        if node is None:
            continue
        try:
            found = emissions(koopman, node)
        except Unsupported:
            continue
        keys = {koopman.algebra.symbols[s] for f in found for s in f.symbols()}
        plain = all(s.kind != "known" or getattr(s.key, "sort", "param") == "param" for s in keys)
        yield from (f for f in found if f.moves and plain)


def _independent(functions: Sequence[Element]) -> list[Element]:
    """The functions without those that are combinations of the ones before and the constant."""
    kept: list[Element] = []
    for f in functions:
        known = [f.algebra.constant(1), *kept]
        if not is_zero(f) and Span(known).coordinates(f)[1]:
            kept.append(f)
    return kept


def _found(context: Context, koopman: Koopman, words: Words, name: str, what: str, functions: list[Element],
           notes: list[str]) -> Proposal:  # fmt: skip
    closure = examine(koopman, functions)
    if not closure.closed:
        raise Unsupported("what was found did not close when it was looked at again")
    names = words.functions(functions)
    count = f"{len(functions)} function{'s' if len(functions) != 1 else ''}"
    rate = koopman.continuous
    said = [f"{what}: closed by {count}, d({name}) = L {name} dt" if rate else
            f"{what}: closed by {count}, {name}[t] = K {name}[t-1]"]  # fmt: skip
    said += [f"  {row}" for row in rows_of(closure, words, names)]
    parts = spectrum(matrix_of(closure, words), closure, words)
    said.append(f"  eigenvalues of {'L' if rate else 'K'}: {spoken(parts, rate)}")
    return Proposal(words.statement(name, names), (*notes, *said))
