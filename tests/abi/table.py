#!/usr/bin/env python3
"""Prints the table of architectures in docs/ABI.md, from architectures.bzl beside this script.

With --check FILE it says whether FILE has exactly that between its two marks; --write FILE
puts it there.
"""
from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

BEGIN = "<!-- architectures: begin -->\n"
END = "<!-- architectures: end -->\n"
HEADINGS = [
    "architecture", "`long`", "byte order", "context", "`iocb` at", "signal set",
    "setup", "destroy", "getevents", "submit", "cancel", "pgetevents", "pgetevents_time64",
    "compiled with",
]
NOTES = """
Bits of `long`; bytes of a context, of an iocb's alignment and of the kernel's signal set; then the
numbers of the system calls `io_setup` and so on, "–" where there is none. Where there is a
`pgetevents_time64`, `getevents` and `pgetevents` take 32-bit time, and `kaio_raw_pgetevents` makes
the call `io_pgetevents_time64`. Not compiled, for want of a compiler: csky and nios2, which have
the numbers of openrisc, and microblaze, which has those of i686.
hexagon, hppa64 (which has no user space), loongarch, openrisc and xtensa are compiled with the
headers of a related architecture; the numbers of xtensa are compared with this table alone.
"""


def rows() -> list[list[str]]:
    text = Path(__file__).with_name("architectures.bzl").read_text(encoding="utf-8")
    table = re.search(r'^ARCHITECTURES = """\n(.*?)^"""', text, re.DOTALL | re.MULTILINE)
    if table is None:
        sys.exit("architectures.bzl has no ARCHITECTURES")
    return [line.split() for line in table[1].splitlines() if line and not line.startswith("#")]


def compiler(words: list[str]) -> str:
    flags = [word for word in words[15:] if re.match(r"-m(?!arch)", word)]
    return f"`{' '.join([words[13], *flags])}`"


def cells(words: list[str]) -> list[str]:
    numbers = ["–" if word == "-" else word for word in words[6:13]]
    return [*words[:6], *numbers, compiler(words)]


def line(columns: list[str]) -> str:
    return f"| {' | '.join(columns)} |\n"


def markdown() -> str:
    body = "".join(line(cells(words)) for words in rows())
    return line(HEADINGS) + "|" + "---|" * len(HEADINGS) + "\n" + body + NOTES


def split(text: str, path: Path) -> tuple[str, str, str]:
    """What is before, between and after the marks."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        sys.exit(f"{path} must have one line {BEGIN.strip()} and one line {END.strip()}")
    before, _, rest = text.partition(BEGIN)
    between, _, after = rest.partition(END)
    return before, between, after


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The table of architectures in docs/ABI.md.")
    parser.add_argument("--check", type=Path, metavar="FILE")
    parser.add_argument("--write", type=Path, metavar="FILE")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    path = args.check or args.write
    if path is None:
        print(markdown(), end="")
        return 0
    before, between, after = split(path.read_text(encoding="utf-8"), path)
    if args.write:
        path.write_text(before + BEGIN + markdown() + END + after, encoding="utf-8")
    elif between != markdown():
        print(f"{path} is not up to date: python3 tests/abi/table.py --write docs/ABI.md")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
