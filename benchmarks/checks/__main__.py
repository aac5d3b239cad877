"""The verdicts and times of the checks over the standard library and the tests' programs.

    python -m benchmarks.checks [--library] [--cold] [--verdicts] [--only WORD] [--json FILE] [--page]

Times are the processor's, in seconds, sympy imported before: of all checks and of the slowest. `--cold` runs the whole
command `ssmlang check` on each program of the library in a process of its own, modules compiled to bytecode before as
after an installation, and exits 1 where the fastest of two runs is over its bound. `--page` (with `--cold`) writes
docs/checks_measured.md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from benchmarks.checks.programs import ROOT, Cold, Program, known, library

BOUND, BOUND_OF = 3.0, {"nile": 1.0}
"""Seconds that the whole command may take, cold."""
RUNS = 2


def measured(program: Program) -> dict[str, Any]:
    """What each check says of one program, and the time it takes."""
    from ssmlang.analysis.checks import CHECKS
    from ssmlang.analysis.context import Context
    from ssmlang.frontend import check_text
    from ssmlang.model.linear import linear_form

    base = program.path.parent if program.path is not None else None
    checked = check_text(program.text, name=f"{program.name}.ssm", base=base)
    if checked.model is None:
        return {"table": program.table, "program": program.name, "errors": [d.code for d in checked.findings]}
    start = time.process_time()
    context = Context(checked.model, linear_form(checked.model))
    findings, times = [], {}
    for name in CHECKS:
        before = time.process_time()
        context.budget.restart()
        findings += import_module(name).check(context)
        times[name.rpartition(".")[2]] = time.process_time() - before
    return {
        "table": program.table, "program": program.name, "seconds": time.process_time() - start, "times": times,
        "findings": [(f.property, f.verdict, f.reason, list(f.unless)) for f in findings],
    }  # fmt: skip


def cold(program: Program, bytecode: str) -> float:
    """Processor time of `ssmlang check` in a process of its own, the least of a few runs."""
    assert program.path is not None
    return min(_run([sys.executable, "-m", "ssmlang", "check", str(program.path)], bytecode) for _ in range(RUNS))


def _run(command: list[str], bytecode: str) -> float:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = bytecode
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, check=False,
                   env=environment)  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cold_times(programs: list[Program]) -> tuple[list[Cold], float]:
    """Of each program that is a file the seconds and the bound, and the seconds that importing sympy alone takes."""
    found = []
    print(f"\n{'ssmlang check, cold':<60}{'seconds':>9}{'bound':>9}")
    with tempfile.TemporaryDirectory() as bytecode:
        files = [p for p in programs if p.path is not None]
        if files:  # what is compiled once is not counted
            _run([sys.executable, "-m", "compileall", "-q", str(ROOT / "ssmlang")], bytecode)
            cold(files[0], bytecode)
        for program in files:
            one = Cold(program, cold(program, bytecode), BOUND_OF.get(program.name, BOUND))
            found.append(one)
            over = "" if one.seconds <= one.bound else "  over"
            print(f"{program.table + ': ' + program.name:<60}{one.seconds:>9.2f}{one.bound:>9.1f}{over}", flush=True)
        alone = min(_run([sys.executable, "-c", "import sympy"], bytecode) for _ in range(RUNS))
    print(f"{'import sympy alone':<60}{alone:>9.2f}")
    return found, alone


def lines(found: dict[str, Any], verdicts: bool) -> Iterator[str]:
    name = f"{found['table']}: {found['program']}"[:58]
    if "errors" in found:
        yield f"{name:<60}no model: {', '.join(found['errors'])}"
        return
    count = Counter(verdict for _, verdict, _, _ in found["findings"])
    slowest = max(found["times"], key=found["times"].get)
    numbers = "".join(f"{count[v]:>9}" for v in ("proved", "refuted", "unknown"))
    yield f"{name:<60}{numbers}{found['seconds']:>9.2f}  {slowest} {found['times'][slowest]:.2f}"
    if verdicts:
        for property_, verdict, reason, unless in found["findings"]:
            yield f"    {property_:<26}{verdict:<9}{reason}"
            yield from (f"    {'':<35}unless {u}" for u in unless)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", action="store_true", help="the standard library alone")
    parser.add_argument("--cold", action="store_true", help="also the whole command on the library, cold")
    parser.add_argument("--verdicts", action="store_true", help="print every finding")
    parser.add_argument("--only", default="", metavar="WORD", help="programs whose name holds WORD")
    parser.add_argument("--page", action="store_true", help="write the page of the documentation")
    parser.add_argument("--json", metavar="FILE", help="write what was measured")
    args = parser.parse_args()
    if args.page and not args.cold:
        parser.error("--page shows the times of --cold")
    programs = [*library(), *([] if args.library else known())]
    programs = [p for p in programs if args.only in f"{p.table}: {p.name}"]
    import_module("sympy")
    print(f"{'program':<60}{'proved':>9}{'refuted':>9}{'unknown':>9}{'seconds':>9}  slowest")
    found, late = [], 0
    for program in programs:
        one = measured(program)
        found.append(one)
        print("\n".join(lines(one, args.verdicts)), flush=True)
    total = Counter(v for one in found for _, v, _, _ in one.get("findings", ()))
    slow = max((one.get("seconds", 0.0) for one in found), default=0.0)
    print(f"{len(found)} programs: {total['proved']} proved, {total['refuted']} refuted, {total['unknown']} unknown; "
          f"at most {slow:.2f} s")  # fmt: skip
    times: list[Cold] = []
    alone = 0.0
    if args.cold:
        times, alone = cold_times(programs)
        late = sum(t.seconds > t.bound for t in times)
    if args.page:
        from benchmarks.checks.page import write

        print(f"wrote {write(found, times, alone)}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    return int(late > 0)


if __name__ == "__main__":
    sys.exit(main())
