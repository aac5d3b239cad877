"""Which column of a table holds which entry of which variable."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from ssmlang.language.diagnostics import Diagnostic, Findings
from ssmlang.language.suggest import suggest
from ssmlang.model.model import Model, Variable

Entry = tuple[str, int]
"""A variable's name and the C-order position of one of its entries."""


def _squeezed(column: str) -> str:
    return re.sub(r"\s+", "", column)


class Columns:
    """The names under which a table may hold each entry, for one model.

    Exactly: `level`, `y[0]`, `fix[east]`, `H[0,1]`, blanks ignored. Loosely, where nothing else could be meant: `y_0`,
    `fix_east`, `H_0_1`, or the bare label `east`. A loose name that two entries could claim, or that the model gives to
    anything of its own, is not taken. `whole` variables come as one array, and have no columns.
    """

    def __init__(self, model: Model, whole: Collection[str] = ()) -> None:
        self.variables: dict[str, Variable] = {**model.observations, **model.inputs}
        self.exact: dict[str, Entry] = {}
        claims: dict[str, set[Entry]] = {}
        self.entries = {n: v.entry_names() for n, v in self.variables.items() if n not in whole}
        for name, entries in self.entries.items():
            variable = self.variables[name]
            for position, entry in enumerate(entries):
                self.exact[entry] = (name, position)
                for loose in _loose_names(variable, entry):
                    claims.setdefault(loose, set()).add((name, position))
        taken = _own_names(model)
        self.loose = {n: next(iter(c)) for n, c in claims.items() if len(c) == 1 and n not in taken}
        self.ambiguous = {n: c for n, c in claims.items() if len(c) > 1 or n in taken}

    def match(self, columns: Sequence[str], findings: Findings) -> dict[Entry, str]:
        """The column of each entry that has one. Reports E410 where two columns could be the same entry."""
        found: dict[Entry, str] = {}
        for table in (self.exact, self.loose):
            new: dict[Entry, str] = {}
            for column in columns:
                entry = table.get(_squeezed(column))
                if entry is None or entry in found:
                    continue
                if entry in new and new[entry] != column:
                    findings.add(
                        "E410",
                        f"two columns, `{new[entry]}` and `{column}`, could be `{self.entry_name(entry)}`",
                        help="rename or drop one of them",
                    )
                new.setdefault(entry, column)
            found |= new
        return found

    def entry_name(self, entry: Entry) -> str:
        return self.entries[entry[0]][entry[1]]

    def missing(
        self, variables: Iterable[str], found: Mapping[Entry, str], columns: Sequence[str], *, arrays: bool
    ) -> Diagnostic | None:
        """E401 with the names expected and, where a column looks like one of them, a question.

        `arrays`: the data set holds arrays, so that a variable with no entry there is asked for by its own name.
        """
        absent = [
            (name, position)
            for name in variables
            for position in range(self.variables[name].size)
            if (name, position) not in found
        ]
        if not absent:
            return None
        begun = {name for name, _ in found}
        asked: dict[str, Entry] = {}
        for entry in absent:
            asked.setdefault(entry[0] if arrays and entry[0] not in begun else self.entry_name(entry), entry)
        names, used = list(asked), set(found.values())
        spare = [c for c in columns if c not in used]
        expected = list(self.variables) if arrays and not begun else list(self.exact)
        why = [f"expected: {_listed(expected)}", f"found: {_listed(list(columns)) or 'no columns'}"]
        help_: list[str] = []
        for name, entry in list(asked.items())[:20]:
            near = suggest(name, spare)
            for loose in _loose_names(self.variables[entry[0]], name):
                near = near or suggest(loose, spare)
            if near is not None and len(help_) < 3:
                help_.append(f"is `{near}` meant to be `{name}`? then rename it")
        if columns and not arrays and all(re.fullmatch(r"[-+.\d]+", column) for column in columns):
            help_.append("the first line of a file names its columns: put the names above the numbers")
        for column in columns:
            claim = self.ambiguous.get(_squeezed(column))
            if claim and set(claim) & set(absent):
                could = ", ".join(f"`{self.entry_name(e)}`" for e in sorted(claim))
                why.append(f"`{column}` is not taken for {could}, for it could mean something else in this model")
        kind = "array" if arrays and not begun else "column"
        head = f"the data have no {kind}{'s' if len(names) > 1 else ''} {_listed(names)}"
        return Diagnostic("E401", head, why=tuple(why), help=tuple(help_))


def _listed(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(f"`{n}`" for n in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def _loose_names(variable: Variable, entry: str) -> list[str]:
    if not variable.shape:
        return []
    labels = entry[len(variable.name) + 1 : -1].split(",")
    names = ["_".join([variable.name, *labels])]
    return names + labels if len(labels) == 1 else names


def _own_names(model: Model) -> set[str]:
    groups = (model.parameters, model.states, model.observations, model.inputs, model.noises, model.definitions,
              model.constants, model.axes)  # fmt: skip
    names = {name for group in groups for name in group}
    # A table made by `simulate` holds states too: their entries are not those of an observation.
    for state in model.states.values():
        names |= {loose for entry in state.entry_names() for loose in _loose_names(state, entry)[:1]}
    return names | set(model.missing_constants)
