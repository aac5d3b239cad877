"""`ssmlang explain`: what a code means."""

from __future__ import annotations

import argparse
import sys


def explain(args: argparse.Namespace) -> int:
    """Print the entry of a code, or the list of all codes."""
    from ssmlang.language.codes import REGISTRY, lookup
    from ssmlang.language.render import explain as text_of

    if args.code is None:
        for entry in sorted(REGISTRY.values(), key=lambda e: e.code):
            print(f"{entry.code}  {entry.title}")
        return 0
    if lookup(args.code) is None:
        from ssmlang.language.suggest import did_you_mean

        print(f"there is no code {args.code}. {did_you_mean(args.code.upper(), REGISTRY)}".rstrip(), file=sys.stderr)
        print("`ssmlang explain` lists them all", file=sys.stderr)
        return 2
    print(text_of(args.code))
    return 0
