"""Models, reports and fits as self-contained HTML: no address outside, light and dark, a few kilobytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ssmlang.results.stylesheet import STYLE

MOST_ROWS = 60
"""Rows of a table that are shown; the rest is counted."""
MOST_TEXT = 12_000
"""Characters of a model's text that are shown."""


def fragment(*blocks: str, heading: str = "") -> str:
    """Blocks as one piece of HTML for a notebook, with its style inside."""
    head = f"<h3>{escape(heading)}</h3>" if heading else ""
    return f'<style>{STYLE}</style><div class="ssmlang">{head}{"".join(blocks)}</div>'


def page(*blocks: str, heading: str) -> str:
    """Blocks as a whole HTML document, for a file."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(heading)}</title><style>{STYLE}</style></head>"
        f'<body class="ssmlang-page"><main class="ssmlang"><h1>{escape(heading)}</h1>'
        f"{''.join(blocks)}</main></body></html>\n"
    )


def section(heading: str, body: str, *, open_: bool = True) -> str:
    """A block that can be folded."""
    return f"<details{' open' if open_ else ''}><summary>{escape(heading)}</summary>{body}</details>" if body else ""


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, numbers: Sequence[int] = ()) -> str:
    """A table; the columns at the places `numbers` are set to the right. Cells that are `Html` are not escaped."""
    if not rows:
        return ""
    right = set(numbers)
    mark = lambda i: ' class="n"' if i in right else ""
    head = "".join(f"<th{mark(i)}>{escape(c)}</th>" for i, c in enumerate(columns))
    body = "".join(
        "<tr>" + "".join(f"<td{mark(i)}>{_cell(v)}</td>" for i, v in enumerate(row)) + "</tr>"
        for row in rows[:MOST_ROWS]
    )
    more = ""
    if len(rows) > MOST_ROWS:
        more = f'<tr><td colspan="{len(columns)}" class="dim">and {len(rows) - MOST_ROWS} more</td></tr>'
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}{more}</tbody></table>"


class Html(str):
    """Text that is HTML already."""


def _cell(value: Any) -> str:
    if isinstance(value, Html):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, float):
        return escape(number(value))
    return escape(str(value))


def number(value: float) -> str:
    """Four significant digits, and an empty cell for NaN."""
    if math.isnan(value):
        return ""
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


# ------------------------------------------------------------------------------------------------------- blocks


def source_block(text: str) -> str:
    """A model's text, coloured."""
    shown = text.strip("\n")[:MOST_TEXT]
    cut = '<div class="dim">...</div>' if len(shown) < len(text.strip("\n")) else ""
    return f"<pre>{_coloured(shown)}</pre>{cut}"


def _coloured(text: str) -> str:
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter

        from ssmlang.lexer import SsmLexer
    except ImportError:
        return escape(text)
    return str(highlight(text, SsmLexer(), HtmlFormatter(nowrap=True)))


def parameter_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with `name`, `shape`, `prior`, `support`, `doc` (each but the name may be absent or empty)."""
    columns = [c for c in ("name", "shape", "prior", "support", "doc") if c == "name" or any(r.get(c) for r in rows)]
    code = lambda value: Html(f"<code>{escape(str(value or ''))}</code>")
    cells = [[code(r.get(c)) if c in ("name", "prior") else r.get(c) for c in columns] for r in rows]
    return table(columns, cells)


_VERDICTS = {"proved": "good", "refuted": "bad", "unknown": "dim"}


def checks_table(checks: Sequence[Mapping[str, Any]]) -> str:
    """Rows with `property`, `verdict` (proved, refuted or unknown), `reason`, `line`, and where known `unless`,
    `details`, `witness`, `fix`."""
    rows = [
        [
            Html(f"<code>{escape(str(c['property']))}</code>"),
            Html(f'<span class="{_VERDICTS.get(str(c["verdict"]), "dim")}">{escape(str(c["verdict"]))}</span>'),
            Html(_reasons(c)),
            f"line {c['line']}" if c.get("line") else "",
        ]
        for c in checks
    ]
    return table(["property", "verdict", "reason", ""], rows)


def _reasons(check: Mapping[str, Any]) -> str:
    """The reason, and below it the sets where it does not hold, details, the witness and the fix."""
    lines = [f"unless {u}" for u in check.get("unless") or ()] + [str(d) for d in check.get("details") or ()]
    witness = check.get("witness")
    if witness:
        lines.append(f"witness: {witness['told']}")
    if check.get("fix") and check.get("verdict") != "proved":
        lines.append(f"fix: {check['fix']}")
    below = "".join(f'<div class="dim">{escape(line)}</div>' for line in lines)
    return escape(str(check.get("reason", ""))) + below


def matrices_block(matrices: Mapping[str, Any]) -> str:
    """The state-space form of a small program: `state`, `observation`, and LaTeX of `F`, `H` and where known `G`."""
    if not matrices:
        return ""
    stacked = ", ".join(f"<code>{escape(str(name))}</code>" for name in matrices["state"])
    observed = ", ".join(f"<code>{escape(str(name))}</code>" for name in matrices["observation"])
    given = "".join(f"<p>${escape(f'{letter} = {matrices[letter]}')}$</p>" for letter in ("F", "H", "G")
                    if letter in matrices)  # fmt: skip
    noise = f" + G e_t$, with e = ({', '.join(map(escape, matrices['noise']))})" if "noise" in matrices else " + ...$"
    return (
        f"<p>$z_t = F z_{{t-1}}{noise}; $y_t = H z_t + ...$</p><p>z = ({stacked}), y = ({observed})</p>{given}"
    )


def engine_block(
    engine: str | None, engines: Sequence[Mapping[str, Any]] = (), notes: Sequence[str] = ()
) -> str:  # fmt: skip
    """The engine taken with notes on it, and a row for each with its reason: `engine`, `usable`, `reason`, `cost`."""
    costs = any(e.get("cost") for e in engines)
    head = f"<p>engine <b>{escape(engine)}</b></p>" if engine else "<p>no engine of this version can run this model</p>"
    said = "".join(f"<li>{escape(note)}</li>" for note in notes)
    head += f"<ul>{said}</ul>" if said else ""
    rows = [
        [
            Html(f"<code>{escape(str(e['engine']))}</code>"),
            Html('<span class="good">yes</span>' if e.get("usable") else '<span class="dim">no</span>'),
            *([e.get("cost") or ""] if costs else []),
            e.get("reason", ""),
        ]
        for e in engines
    ]
    columns = ["engine", "usable", *(["takes about"] if costs else []), "why"]
    return head + section("every engine", table(columns, rows), open_=False)


def diagnostics_block(diagnostics: Sequence[Mapping[str, Any]]) -> str:
    """Findings with `code`, `severity`, `message`, and where known `location`, `label`, `notes`, `help`."""
    items = []
    for d in diagnostics[:MOST_ROWS]:
        severity = str(d.get("severity", "note"))
        row = (d.get("location") or {}).get("row")
        where = f' <span class="dim">line {row}</span>' if row else ""
        lines = [str(x) for x in (d.get("label"), *_texts(d.get("notes")), *_texts(d.get("help"))) if x]
        tone = {"error": "bad", "warning": "warn"}.get(severity, "dim")
        items.append(
            f'<li><span class="{tone}">{escape(severity)} {escape(str(d.get("code", "")))}</span> '
            f"{escape(str(d.get('message', '')))}{where}"
            + "".join(f'<div class="dim">{escape(line)}</div>' for line in lines)
            + "</li>"
        )
    return f"<ul>{''.join(items)}</ul>" if items else ""


def _texts(value: Any) -> list[Any]:
    return [] if not value else [value] if isinstance(value, str) else list(value)


def posterior_table(summary: Any) -> str:
    """A table of estimates: a pandas frame, or a mapping from entry to a mapping from column to number."""
    rows = summary.to_dict("index") if hasattr(summary, "to_dict") and hasattr(summary, "columns") else summary
    columns = list(next(iter(rows.values()), {}))
    code = lambda name: Html(f"<code>{escape(str(name))}</code>")
    cells = [[code(name), *(_estimate(c, row.get(c)) for c in columns)] for name, row in rows.items()]
    return table(["", *columns], cells, numbers=range(1, len(columns) + 1))


def _estimate(column: str, value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    value = float(value)
    if column.startswith("ess"):
        return "" if math.isnan(value) else f"{value:.0f}"
    if column == "r_hat":
        shown = "" if math.isnan(value) else f"{value:.3f}"
        return Html(f'<span class="bad">{shown}</span>') if value > 1.01 else shown
    return value


# --------------------------------------------------------------------------------------------------- whole things


def report_blocks(data: Mapping[str, Any]) -> list[str]:
    """The blocks of a report: `facts`, `checks`, `matrices`, `engine`, `engines`, `diagnostics`."""
    facts = "".join(f"<li>{escape(str(f))}</li>" for f in data.get("facts", ()))
    return [
        f"<ul>{facts}</ul>" if facts else "",
        diagnostics_block(data.get("diagnostics", ())),
        section("checks", checks_table(data.get("checks", ()))),
        section("matrices", matrices_block(data.get("matrices") or {}), open_=False),
        engine_block(data.get("engine"), data.get("engines", ()), data.get("notes", ())),
    ]


def report_html(data: Mapping[str, Any]) -> str:
    """What `Report.to_dict()` gives, for a notebook."""
    return fragment(*report_blocks(data), heading=f"model {data.get('model', '')}")


def report_page(data: Mapping[str, Any], source: str = "", parameters: Sequence[Mapping[str, Any]] = ()) -> str:
    """The same with the model's text and parameters, as a whole document."""
    blocks = [
        section("model", source_block(source)) if source else "",
        section("parameters", parameter_table(parameters)),
        *report_blocks(data),
    ]
    return page(*blocks, heading=f"model {data.get('model', '')}")


def model_html(model: Any) -> str:
    """A compiled model (anything with `name`, `source_text`, `spec` and `check()`), for a notebook."""
    blocks = [
        source_block(model.source_text),
        section("parameters", parameter_table(parameters_of(model.spec))),
        *report_blocks(model.check().to_dict()),
    ]
    return fragment(*blocks, heading=f"model {model.name}")


def parameters_of(spec: Any) -> list[dict[str, str]]:
    """The rows of `parameter_table` for a `ssmlang.model.Model`: priors in the words of the file."""
    rows = []
    for name, p in spec.parameters.items():
        axes = [a.name if a is not None else str(n) for a, n in zip(p.axes, p.shape)]
        prior = p.prior.span.text if p.prior is not None and p.prior.span is not None else ""
        support = p.support.kind.replace("_", " ")
        rows.append(
            {
                "name": name,
                "shape": f"[{', '.join(axes)}]" if axes else "",
                "prior": prior,
                "support": _interval(p.support) if support == "interval" else "" if support == "real" else support,
                "doc": p.doc or "",
            }
        )
    return rows


def _interval(support: Any) -> str:
    def end(node: Any, otherwise: str) -> str:
        if node is None:
            return otherwise
        if node.value is not None and node.value.size == 1:
            return f"{float(node.value):g}"
        return node.span.text if node.span is not None else "..."

    return f"({end(support.lower, '-inf')}, {end(support.upper, 'inf')})"


def fit_html(data: Mapping[str, Any]) -> str:
    """A fit, for a notebook: `model`, `method`, `engine`, `summary` (a frame or mapping), and where wanted `source`,
    `checks`, `facts` (lines such as the sampler's divergences), `diagnostics`."""
    facts = "".join(f"<li>{escape(str(f))}</li>" for f in data.get("facts", ()))
    by = " ".join(x for x in (data.get("method", ""), f"with {data['engine']}" if data.get("engine") else "") if x)
    blocks = [
        f"<p>fitted by {escape(by)}</p>" if by else "",
        posterior_table(data.get("summary", {})),
        f"<ul>{facts}</ul>" if facts else "",
        diagnostics_block(data.get("diagnostics", ())),
        section("checks", checks_table(data.get("checks", ())), open_=False),
        section("model", source_block(data["source"]), open_=False) if data.get("source") else "",
    ]
    return fragment(*blocks, heading=f"fit of {data.get('model', '')}")
