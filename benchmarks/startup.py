"""How long a user waits for `import ssmlang`, `ssmlang fmt` and `ssmlang check`: cold processes, medians.

    python -m benchmarks.startup [--repeats 9]

Each time is that of a whole process, the interpreter's own start included (printed on a line of its own). Exits 1
where a median is over its bound.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NILE = ROOT / "stdlib" / "models" / "nile.ssm"
AIRLINE = ROOT / "stdlib" / "models" / "airline.ssm"

Case = tuple[str, list[str], float | None]


def cases(scratch: Path) -> list[Case]:
    """Name, arguments of the interpreter, and the bound in seconds."""
    copy = scratch / "nile.ssm"
    copy.write_bytes(NILE.read_bytes())
    command = ["-c", "import sys; from ssmlang.cli import main; sys.exit(main(sys.argv[1:]))"]
    return [
        ("python", ["-c", "pass"], None),
        ("import ssmlang", ["-c", "import ssmlang"], 0.2),
        ("ssmlang fmt nile.ssm", [*command, "fmt", str(copy)], 0.25),
        ("ssmlang check nile.ssm", [*command, "check", str(NILE)], 1.0),
        ("ssmlang check airline.ssm", [*command, "check", str(AIRLINE)], 1.0),
    ]


def seconds(arguments: list[str]) -> float:
    """The wall time of one process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    late = 0
    with tempfile.TemporaryDirectory() as scratch:
        listed = cases(Path(scratch))
        for _, arguments, _ in listed:
            seconds(arguments)  # writes the byte code, which an installed package has already
        # Interleaved, so that a busy moment of the machine falls on all alike.
        times = [[seconds(arguments) for _, arguments, _ in listed] for _ in range(repeats)]
    print(f"{'process':<28}{'median':>9}{'fastest':>9}{'bound':>8}")
    for (name, _, bound), column in zip(listed, zip(*times, strict=True), strict=True):
        median = statistics.median(column)
        over = bound is not None and median > bound
        late += over
        print(
            f"{name:<28}{median:>8.3f}s{min(column):>8.3f}s{'' if bound is None else f'{bound:.2f}s':>8}"
            f"{'  over' if over else ''}"
        )
    return int(late > 0)


if __name__ == "__main__":
    sys.exit(main())
