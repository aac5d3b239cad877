"""What a model is made of, for `info`: as data for JSON and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ssmlang.model.entries import entry
from ssmlang.model.expr import Node
from ssmlang.model.linear import LinearForm, linear_form
from ssmlang.model.model import Dist, Model, Parameter, State, Values, Variable
from ssmlang.model.show import number, show
from ssmlang.model.sparse import Sparse

MAX_LABELS = 60
MAX_ENTRIES = 400
"""Entries of a matrix that are written out."""


def describe(model: Model) -> dict[str, Any]:
    """All parts of the model as plain data; the matrices of a linear-Gaussian one, else what stands against it."""
    found: dict[str, Any] = {
        "model": model.name,
        "doc": model.doc,
        "axes": {a.name: list(a.labels) for a in model.axes.values()},
        "constants": {k: np.asarray(v).tolist() for k, v in model.constants.items()},
        "missing_constants": list(model.missing_constants),
        "parameters": [_parameter(p) for p in model.parameters.values()],
        "states": [_state(s, model) for s in model.states.values()],
        "observations": [{**_variable(o), **_values(o.values), "columns": o.entry_names()}
                         for o in model.observations.values()],
        "inputs": [{**_variable(i), "columns": i.entry_names()} for i in model.inputs.values()],
        "noises": [{**_variable(n), "law": _law(n.law)} for n in model.noises.values()],
        "definitions": [{**_variable(d), "series": d.series, "value": show(d.value) if d.value is not None else None}
                        for d in model.definitions.values()],
        "assertions": [f"{a.property}({', '.join(a.arguments)})" for a in model.assertions],
    }  # fmt: skip
    form = linear_form(model)
    if isinstance(form, LinearForm):
        found["linear"] = _linear(model, form)
    else:
        found["obstacles"] = [
            {"code": o.code, "message": o.message, "label": o.label, "help": o.help,
             "line": o.span.source.position(o.span.start)[0] if o.span is not None else None,
             "text": o.span.text if o.span is not None else None} for o in form
        ]  # fmt: skip
    return found


def _variable(v: Variable) -> dict[str, Any]:
    axes = [a.name if a is not None else None for a in v.axes]
    return {"name": v.name, "shape": list(v.shape), "axes": axes, "doc": v.doc}


def _law(law: Dist | None) -> str | None:
    if law is None:
        return None
    one = lambda v: show(entry(v, 0)) if v.size == 1 else show(v)
    return f"{law.name}({', '.join(f'{k}={one(v)}' for k, v in law.args.items())})"


def _values(values: Values | None) -> dict[str, Any]:
    if values is None:
        return {"values": "real"}
    if values.axis is not None:
        return {"values": list(values.axis.labels)}
    return {"values": {"lower": values.lower, "upper": values.upper}}


def _parameter(p: Parameter) -> dict[str, Any]:
    s = p.support
    ends = {name: show(end) if end is not None else None for name, end in (("lower", s.lower), ("upper", s.upper))}
    support = {"kind": s.kind, **ends, "declared": s.declared}
    walk = show(p.walk) if p.walk is not None else None
    return {**_variable(p), "prior": _law(p.prior), "support": support, "augment": p.augment, "walk": walk}


def _state(s: State, model: Model) -> dict[str, Any]:
    initial = []
    for i in model.initials:
        for t in i.targets:
            if t.name == s.name:
                law = f"{i.special.capitalize()}()" if i.special else _law(i.law)
                if law is None and i.value is not None:
                    law = "= " + show(i.value)
                initial.append({"row": t.row, "entries": [s.entry_names()[e] for e in t.entries], "law": law})
    return {**_variable(s), **_values(s.values), "order": s.order, "depth": s.depth, "initial": initial}


# ------------------------------------------------------------------------------------------------ the matrices


def _linear(model: Model, form: LinearForm) -> dict[str, Any]:
    x = [n for v in model.states.values() for n in v.entry_names()]
    x += [n for name in form.stacking.latent for n in model.observations[name].entry_names()]
    y = [n for v in model.observations.values() for n in v.entry_names()]
    columns = {"x": x, "y": y, "e": list(form.noises), "past": x, "ypast": y}
    nouns = {"x": "states", "y": "observations", "e": "noises", "past": "states", "ypast": "observations"}
    found: dict[str, Any] = {"states": x, "observations": y, "noises": list(form.noises)}
    for role, rows, names in (("transition", form.transition, x), ("emission", form.emission, y)):
        matrices = [
            {"reads": nouns[kind], "lag": "k = 1..t" if "past" in kind else lag,
             **_matrix(m, names, columns[kind])} for (kind, lag), m in sorted(rows.terms.items())
        ]  # fmt: skip
        found[role] = {"matrices": matrices, "offset": _offset(rows.constant, names)}
    first = form.conditioned
    found["conditioned"] = [{"row": int(r), "observation": y[i]} for r, i in np.argwhere(first)]
    found["diffuse"] = form.initial.delta
    group = form.stationary
    found["stationary"] = [x[i] for i in group.entries] if group is not None else []
    found["factored"] = [s.source.position(s.start)[0] for s in form.roots if s is not None]
    return found


def _matrix(m: Sparse, rows: Sequence[str], columns: Sequence[str]) -> dict[str, Any]:
    shown = min(m.nnz, MAX_ENTRIES)
    entries = [{"row": rows[m.rows[i]], "column": columns[m.cols[i]], "value": show(entry(m.values, i))}
               for i in range(shown)]  # fmt: skip
    return {"shape": list(m.shape), "varying": m.varying, "nonzero": m.nnz, "entries": entries,
            "complete": shown == m.nnz}  # fmt: skip


def _offset(constant: Node, names: Sequence[str]) -> dict[str, str]:
    found = {}
    for i, name in list(enumerate(names))[:MAX_ENTRIES]:
        value = entry(constant, i)
        if not value.is_zero:
            found[name] = show(value)
    return found


# ------------------------------------------------------------------------------------------------------- text


def info_text(model: Model) -> str:
    """The same for a person to read."""
    d = describe(model)
    lines = [f"model {d['model']}"]
    if d["doc"]:
        lines += [f"  {line}" for line in d["doc"].splitlines()]
    for name, labels in d["axes"].items():
        shown = ", ".join(map(str, labels[:MAX_LABELS])) + (", ..." if len(labels) > MAX_LABELS else "")
        lines.append(f"axis {name}: {shown}")
    for name, value in d["constants"].items():
        size = int(np.size(value))
        lines.append(f"const {name} = " + (number(np.ravel(value)[0]) if size == 1 else f"{size} numbers"))
    lines += [f"const {name}, to be given" for name in d["missing_constants"]]
    for p in d["parameters"]:
        prior = f" ~ {p['prior']}" if p["prior"] else ", flat"
        lines.append(("augment " if p["augment"] else "") + f"param {_dims(p)}{_support(p['support'])}{prior}"
                     + (f" walk {p['walk']}" if p["walk"] else ""))  # fmt: skip
    for s in d["states"]:
        order = "the whole past" if s["order"] is None else f"order {s['order']}"
        lines.append(f"state {_dims(s)}, {order}")
        lines += [f"  row {i['row']}: {i['law']}" for i in s["initial"]]
    lines += [f"noise {_dims(n)} ~ {n['law']}" for n in d["noises"]]
    for kind in ("observations", "inputs"):
        for o in d[kind]:
            columns = ", ".join(o["columns"][:8]) + (", ..." if len(o["columns"]) > 8 else "")
            lines.append(f"{'obs' if kind == 'observations' else 'input'} {_dims(o)}, columns {columns}")
    for let in d["definitions"]:
        lines.append(f"let {_dims(let)}{'[t]' if let['series'] else ''}")
    if "linear" in d:
        lines += ["", "linear and Gaussian", *_linear_text(d["linear"])]
    else:
        lines += ["", "not linear and Gaussian:"]
        for o in d["obstacles"]:
            where = f" (line {o['line']}: {o['text']})" if o["line"] else ""
            lines.append(f"  {o['message']}: {o['label'] or o['help']}{where}")
    return "\n".join(lines)


def _dims(v: dict[str, Any]) -> str:
    dims = [a or str(n) for a, n in zip(v["axes"], v["shape"])]
    return v["name"] + (f"[{', '.join(dims)}]" if dims else "")


def _support(s: dict[str, Any]) -> str:
    if s["kind"] == "stationary":
        return " in stationary"
    if s["lower"] is None and s["upper"] is None:
        return ""
    return f" in ({s['lower'] or '-inf'}, {s['upper'] or 'inf'})"


def _linear_text(linear: dict[str, Any]) -> list[str]:
    lines = []
    for role, sign in (("transition", "states"), ("emission", "observations")):
        part = linear[role]
        lines.append(f"  {role}")
        for m in part["matrices"]:
            row = "t" if m["lag"] == 0 else "t-k], k = 1..t: [" if isinstance(m["lag"], str) else f"t-{m['lag']}"
            kind = "varying with t" if m["varying"] else "constant"
            size = f"{m['shape'][0]} x {m['shape'][1]}, {m['nonzero']} nonzero"
            lines.append(f"    {sign}[t] on {m['reads']}[{row}]: {size}, {kind}")
            width = max((len(e["row"]) + len(e["column"]) for e in m["entries"]), default=0)
            shown = m["entries"][:40]
            lines += [f"      {e['row'] + ', ' + e['column']:<{width + 2}}  {e['value']}" for e in shown]
            if m["nonzero"] > len(shown):
                lines.append(f"      ... {m['nonzero'] - len(shown)} more")
        lines += [f"    offset of {name}: {value}" for name, value in part["offset"].items()]
    if linear["stationary"]:
        lines.append(f"  stationary start: {', '.join(linear['stationary'])}")
    if linear["diffuse"]:
        lines.append(f"  diffuse start: {linear['diffuse']} coordinates")
    for c in linear["conditioned"]:
        lines.append(f"  {c['observation']} at row {c['row']} is conditioned on, not scored")
    for line in linear["factored"]:
        lines.append(f"  line {line}: the covariance is factored at run time; where it can lose rank, give scale_tril=")
    return lines
