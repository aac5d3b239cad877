"""docs/performance.md, written from the raw numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from benchmarks.environments import ROOT
from benchmarks.exact.measure import ARRAYS, fastest_peer, ratio
from benchmarks.exact.rows import (
    COMPILE_GOAL,
    MEMORY_GOAL,
    NAMES,
    NUTS_COLD_GOAL,
    NUTS_WARM_GOAL,
    SUBJECT,
)
from benchmarks.exact.words import TITLES, method, milliseconds, seconds, title

PAGE = ROOT / "docs" / "performance.md"
Record = dict[str, Any]


def page(results: Record, others: Sequence[Record] = ()) -> str:
    """The whole page, in Markdown; `others`: what was measured on other machines."""
    parts = [
        "# Performance",
        "",
        "Written by `python -m benchmarks.exact` from `benchmarks/results/exact*.json`; do not edit by hand.",
        "",
        *head(results),
        "## Against the fastest peer",
        "",
        *summary(timed(results)),
        *(line for other in others for line in elsewhere(other)),
    ]
    for name, section in SECTIONS.items():
        found = next((one for one in (results, *others) if name in one["rows"]), None)
        if found is not None:
            title, *lines = section(found["rows"][name])
            parts += [title, *([] if found is results else ["", f"On {on(found)}."]), *lines]
    parts += [
        "## All contestants",
        "",
        *details(timed(results)),
        *unmeasured({name for one in (results, *others) for name in one["rows"]}),
        *method(results),
    ]
    return "\n".join(parts).rstrip() + "\n"


def timed(results: Record) -> dict[str, Record]:
    """The rows that are timed by turns."""
    return {name: one for name, one in results["rows"].items() if "kind" in one}


def on(results: Record) -> str:
    machine = results["machine"]
    return f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gib']:g} GiB, {machine['system']}"


def when(results: Record) -> str:
    dates = sorted({one["date"] for one in results["rows"].values()})
    return f"Measured {' to '.join(dict.fromkeys([dates[0], dates[-1]]))}" if dates else "Nothing measured yet"


def elsewhere(results: Record) -> list[str]:
    """The summary of another machine, where ratios are others."""
    lines = []
    for record in timed(results).values():
        own, peer, times = record["contestants"].get(SUBJECT, {}), fastest_peer(record), ratio(record)
        lines.append([
            title(record),
            milliseconds(own.get("median")) if own.get("agrees") else trouble(own),
            "" if peer is None else f"{peer.replace('_', ' ')} {milliseconds(record['contestants'][peer]['median'])}",
            "" if times is None else f"{times:.1f}x",
            f"{record['goal']:g}x",
            met(times is not None and times >= record["goal"]),
        ])  # fmt: skip
    header = ("work", "ssmlang, ms", "fastest peer, ms", "times faster", "goal", "met")
    return ["### On another machine", "", f"{when(results)} on {on(results)}.", "", *table(header, lines)]


def head(results: Record) -> list[str]:
    machine = results["machine"]
    parts = [f"{when(results)} on {on(results)}, without an accelerator; double precision.", ""]
    busy = {name: one["load"] for name, one in results["rows"].items() if one["load"] > machine["cores"] + 1.5}
    if busy:
        parts += [
            f"The machine was busy with other work at {len(busy)} of {len(results['rows'])} rows "
            f"(load up to {max(busy.values()):g}): ratios count there, times do not.",
            "",
        ]
    for name, why in results["absent"].items():
        parts += [f"Not installable here, and so not compared: {name} ({why.splitlines()[-1]}).", ""]
    return parts


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A table whose first column is words and the others numbers."""
    header = list(header)
    lines = [" | ".join(header), " | ".join(["---"] + ["---:"] * (len(header) - 1))]
    lines += [" | ".join(row) for row in rows]
    return [f"| {line} |" for line in lines] + [""]


def met(good: bool | None) -> str:
    return "" if good is None else "yes" if good else "**no**"


def summary(rows: dict[str, Record]) -> list[str]:
    """Every row: ssmlang, the fastest peer, the ratio of medians, the goal."""
    lines = []
    reached = asked = 0
    for record in rows.values():
        own, peer, times = record["contestants"].get(SUBJECT, {}), fastest_peer(record), ratio(record)
        asked += 1
        reached += times is not None and times >= record["goal"]
        steps = record["steps"] * record["series"]
        us = own["median"] * 1e6 / steps if "median" in own else None
        lines.append([
            title(record),
            milliseconds(own.get("median")) if own.get("agrees") else trouble(own),
            "" if us is None else f"{us:.3g}",
            f"{record['floor_us']:g}" if record["floor_us"] else "",
            "" if peer is None else f"{peer.replace('_', ' ')} {milliseconds(record['contestants'][peer]['median'])}",
            "" if times is None else f"{times:.1f}x",
            f"{record['goal']:g}x",
            met(times is not None and times >= record["goal"]) + (", below the floor" if beyond_floor(record) else ""),
        ])  # fmt: skip
    said = f"{reached} of {asked} goals of this table are met." if asked else "No row has been measured."
    if any(beyond_floor(record) for record in rows.values()):
        said += (
            " Below the floor: the goal asks for less time than code written by hand for this shape takes, for the "
            "peer is faster than it was when the goal was set, or was not looked at then."
        )
    header = ("work", "ssmlang, ms", "us a step", "floor, us a step", "fastest peer, ms", "times faster", "goal", "met")
    return [said, "", *table(header, lines)]


def beyond_floor(record: Record) -> bool:
    """Whether the goal cannot be met by code that is as fast as the floor."""
    peer = fastest_peer(record)
    if peer is None or not record["floor_us"]:
        return False
    least = record["floor_us"] * 1e-6 * record["steps"] * record["series"]
    return bool(record["contestants"][peer]["median"] / record["goal"] < least)


def difference(one: Record) -> str:
    return "not a number" if one["difference"] is None else f"{one['difference']:.0e}"


def trouble(one: Record) -> str:
    """Why there is no time."""
    if "difference" in one and not one["agrees"]:
        return f"disagrees ({difference(one)})"
    return one.get("error") or one.get("lacking") or one.get("left_out") or "not run"


def sampling(record: Record) -> list[str]:
    ran = {name: one for name, one in record["contestants"].items() if "cold" in one}
    own, peers = ran.get(SUBJECT), {k: v for k, v in ran.items() if k != SUBJECT}
    lines = [[name, one["form"], f"{one['cold']:.1f}", f"{one['warm']:.2f}", f"{one['min_ess']:.0f}",
              f"{one['ess_s']:.0f}", f"{one['means']['sd_level']:.1f}", f"{one['means']['sd_flow']:.1f}"]
             for name, one in ran.items()]  # fmt: skip
    parts = [
        "## NUTS on the Nile",
        "",
        "Local level model, 4 chains of 1,000 + 1,000, both standard deviations HalfNormal(200). Cold: a whole "
        "process, from the interpreter's start to the draws, with nothing compiled before. Warm: another seed in the "
        "same process. The effective size is the least rank-normalised bulk ESS of the two.",
        "",
        *table(
            ("who", "by", "cold, s", "warm, s", "least ESS", "ESS a second, warm", "E sd_level", "E sd_flow"), lines
        ),
    ]
    if own and peers:
        cold = min(one["cold"] for one in peers.values()) / own["cold"]
        warm = own["ess_s"] / max(one["ess_s"] for one in peers.values())
        parts += table(("goal", "times better than the best peer", "goal", "met"), [
            ["wall time, cold", f"{cold:.1f}x", f"{NUTS_COLD_GOAL:g}x", met(cold >= NUTS_COLD_GOAL)],
            ["least ESS a second, warm", f"{warm:.1f}x", f"{NUTS_WARM_GOAL:g}x", met(warm >= NUTS_WARM_GOAL)],
        ])  # fmt: skip
    reasons = [f"{name}: {one.get('left_out') or one.get('lacking') or one.get('error')}"
               for name, one in record["contestants"].items() if "cold" not in one]  # fmt: skip
    return parts + (["Not run: " + "; ".join(reasons) + ".", ""] if reasons else [])


def compiling(record: Record) -> list[str]:
    lines = []
    for one in record["sizes"]:
        took = [seconds(one["seconds"]), seconds(one["text_to_model"])] if "seconds" in one else [one["error"], ""]
        good = "seconds" in one and one["seconds"] < COMPILE_GOAL
        lines.append([f"({one['n']}, {one['m']}), {TITLES[one['kind']]}", *took, f"{COMPILE_GOAL:g}", met(good)])
    return [
        "## Compile times of ssmlang",
        "",
        f"The first call beyond a warm one, T = {record['steps']:,}: data bound, traced, lowered and compiled by XLA, "
        "in a fresh process with an empty cache of compiled code, whose modules another model has loaded. The text is "
        "read and analysed before.",
        "",
        *table(("(n, m)", "first call, s", "text to model, s", "goal, s", "met"), lines),
    ]


def memory(record: Record) -> list[str]:
    lines = []
    for task, what in (("large_panel", "value"), ("large_panel_gradient", "value and gradient")):
        one = record["tasks"][task]
        if "error" in one:
            lines.append([what, f"did not run: {one['error']}", "", "", "", met(False)])
        else:
            good = one["peak_gib"] < MEMORY_GOAL and one["agrees"]
            lines.append([what, f"{one['peak_gib']:.2f}", seconds(one["build"]), seconds(one["first"]),
                          seconds(one["warm"]), met(good)])  # fmt: skip
    return [
        "## A panel of 100,000 series",
        "",
        f"`stdlib/models/panel.ssm` with {record['series']:,} sites of their own variance, T = {record['steps']}: "
        f"{record['series'] * record['steps'] / 1e6:g} million observations in one model; goal: within "
        f"{MEMORY_GOAL:g} GiB.",
        "",
        *table(("", "peak memory, GiB", "text to model, s", "first call, s", "warm call, s", "met"), lines),
    ]


def singular(record: Record) -> list[str]:
    lines = []
    for name, ways in record["contestants"].items():
        if any(key in ways for key in ("error", "lacking")):
            lines.append([name, "", trouble(ways), ""])
            continue
        for way, one in ways.items():
            gradient = "({:.4g}, {:.4g})".format(*one["gradient"]) if one["gradient_is"] == "wrong" else ""
            value = f"{one['value']:.4f}" if one["value_is"] == "wrong" else ""
            said = [f"**{verdict}** {number}".replace("**right** ", "right") for verdict, number in
                    ((one["value_is"], value), (one["gradient_is"], gradient))]  # fmt: skip
            lines.append([name.replace("_", " "), way, *(part.strip() for part in said)])
    true = "({:.4f}, {:.4f})".format(*record["gradient"])
    return [
        "## Noise of deficient rank",
        "",
        "A local linear trend pushed by one acceleration, T = 100: the covariance of its noise has rank one of two. "
        f"The log-likelihood is {record['value']:.6f}, its gradient in (log q, log r) {true}. Right: within 1e-6.",
        "",
        *table(("who", "way", "value", "gradient"), lines),
    ]


def details(rows: dict[str, Record]) -> list[str]:
    """A table for each row, all contestants in the order of their medians."""
    parts = []
    for name, record in rows.items():
        ran = {who: one for who, one in record["contestants"].items() if "median" in one}
        best = min((one["median"] for who, one in ran.items() if who not in (SUBJECT, ARRAYS)), default=None)
        lines = [[
            who.replace("_", " "), one.get("form", ""),
            milliseconds(one["median"]), milliseconds(one["lower_quartile"]),
            "" if best is None else f"{one['median'] / best:.3g}", seconds(one["build"] + one["first"]),
            f"{difference(one)}{'' if one['agrees'] else ' **disagrees**'}",
        ] for who, one in sorted(ran.items(), key=lambda item: item[1]["median"])]  # fmt: skip
        header = ("who", "form", "median, ms", "lower quartile, ms", "to fastest peer", "first call, s", "difference")
        parts += [f"### {title(record)}", "", f"`--row {name}`", "", *table(header, lines)]
        rest = [f"{who}: {trouble(one)}" for who, one in record["contestants"].items() if "median" not in one]
        parts += ["Not timed: " + "; ".join(rest) + ".", ""] if rest else []
    return parts


SECTIONS = {"nuts": sampling, "compile": compiling, "large-panel": memory, "singular": singular}


def unmeasured(rows: Collection[str]) -> list[str]:
    lacking = [name for name in NAMES if name not in rows]
    return [f"Rows not measured yet: {', '.join(f'`{n}`' for n in lacking)}.", ""] if lacking else []
