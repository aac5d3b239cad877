"""ssmlang's exact engines beside their peers on the same data, in one run.

    python -m benchmarks.exact                          all rows, then docs/performance.md
    python -m benchmarks.exact --row 'loglik-*' nuts    some rows
    python -m benchmarks.exact --append                 the rows that are not measured yet
    python -m benchmarks.exact --append --row nuts      one row measured anew, the others kept
    python -m benchmarks.exact --page                   the page alone, from the numbers on disk
    python -m benchmarks.exact --results benchmarks/results/exact-NAME.json      all rows, on another machine
    python -m benchmarks.exact --quick                  ssmlang and statsmodels, four rows, nothing written

Every contestant is a process in an environment of its own. They take turns by bursts of calls of some 30 ms, so that a
slow moment of the machine falls on all alike; the others wait meanwhile. Each answer is checked against recursions in
NumPy: values, gradients along a direction by a complex step, smoothed moments. Times are of warm calls in double
precision that return when the numbers are there; the first call, with what it compiles, is given apart.

The peers need Python 3.12 or newer; their environments are made under .cache/peers at the first run, and a peer that
cannot be installed is named on the page. Exits 1 where ssmlang disagrees with the reference.
"""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from pathlib import Path

from benchmarks.environments import SHARED
from benchmarks.exact import results as store
from benchmarks.exact.measure import fastest_peer, measure, ratio
from benchmarks.exact.page import PAGE, page
from benchmarks.exact.rows import NAMES, PEERS, QUICK, ROWS, SUBJECT
from benchmarks.exact.session import Child
from benchmarks.exact.special import SPECIAL


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", nargs="+", default=[], metavar="NAME", help="rows, by name or pattern")
    parser.add_argument("--list", action="store_true", help="the rows' names")
    parser.add_argument("--append", action="store_true", help="keep the rows on disk")
    parser.add_argument("--quick", action="store_true", help="four rows by ssmlang and statsmodels, few turns")
    parser.add_argument("--page", action="store_true", help="write the page from the numbers on disk, measure nothing")
    parser.add_argument("--repeats", type=int, help="turns of each contestant (15; 3 if quick)")
    parser.add_argument("--only", nargs="+", choices=(SUBJECT, *PEERS), help="contestants")
    parser.add_argument("--results", type=Path, help="where the numbers go (not if quick, unless given)")
    parser.add_argument("--python", help="the interpreter that the peers' environments are made from")
    args = parser.parse_args(arguments)

    if args.list:
        print("\n".join(NAMES))
        return 0
    path = args.results or (None if args.quick else store.DEFAULT)
    if args.page:
        return write_page()
    kept = store.load(path) if args.append and path else store.empty()
    names = wanted(args.row, QUICK if args.quick else NAMES)
    if args.append and not args.row:
        names = [name for name in names if name not in kept["rows"]]
    contestants = args.only or (list(SHARED) if args.quick else [SUBJECT, *PEERS])
    children, kept["absent"] = gathered(contestants, args.python)
    try:
        wrong = run(names, children, args.repeats or (3 if args.quick else 15), kept, path)
    finally:
        for child in children.values():
            child.close()
    if path is not None and path.resolve().parent == store.DEFAULT.parent:
        write_page()
    return int(wrong)


def wanted(patterns: list[str], names: tuple[str, ...]) -> list[str]:
    """The rows that some pattern fits, in their order; exits where a pattern fits none."""
    for pattern in patterns:
        if not fnmatch.filter(NAMES, pattern):
            sys.exit(f"no row is called {pattern!r}: --list names them")
    return [n for n in (NAMES if patterns else names) if not patterns or any(fnmatch.fnmatch(n, p) for p in patterns)]


def gathered(contestants: list[str], python: str | None) -> tuple[dict[str, Child], dict[str, str]]:
    """The contestants that can be installed, and why the others cannot."""
    children, absent = {}, {}
    for name in contestants:
        try:
            children[name] = Child(name, python)
        except RuntimeError as error:
            absent[name] = str(error)
            print(f"{name} is not here: {error}", file=sys.stderr)
    return children, absent


def run(names: list[str], children: dict[str, Child], repeats: int, kept: store.Results, path: Path | None) -> bool:
    """Measure rows, saving each; whether ssmlang was wrong somewhere."""
    kept["machine"] = store.machine()
    kept["versions"] |= store.versions(children.values())
    rows = {row.name: row for row in ROWS}
    wrong = False
    for name in names:
        start = time.perf_counter()
        if name in rows:
            record = measure(rows[name], children, repeats)
            said = summary(record)
            wrong |= not record["contestants"].get(SUBJECT, {}).get("agrees", SUBJECT not in children)
        else:
            record = SPECIAL[name](children, repeats)
            said = "done"
        kept["rows"][name] = store.stamped(record)
        if path is not None:
            store.save(kept, path)
        print(f"{name:<34}{said}  [{time.perf_counter() - start:.0f} s]", flush=True)
    return wrong


def summary(record: dict) -> str:
    """A row on one line."""
    parts = []
    for who, one in record["contestants"].items():
        if "median" in one:
            parts.append(f"{who} {one['median'] * 1e3:.3g} ms{'' if one['agrees'] else ' WRONG'}")
        elif "error" in one:
            parts.append(f"{who}: {one['error'][:100]}")
    times, peer = ratio(record), fastest_peer(record)
    head = f"{times:.1f}x {peer} (goal {record['goal']:g}x): " if times is not None else ""
    return head + ", ".join(parts)


def write_page() -> int:
    PAGE.write_text(page(store.load(store.DEFAULT), store.elsewhere()), encoding="utf-8")
    print(f"{PAGE} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
