#!/usr/bin/env python3
"""Turns the .gcda files of one `bazel coverage` test into one lcov file.

Bazel 4 wants to download a Java program for this; see tools/deps.bzl.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator


class Coverage:
    """Counts by source file, summed over all object files that hold a part of it."""

    def __init__(self) -> None:
        self.calls: dict[str, Counter[tuple[int, str]]] = {}
        self.branches: dict[str, Counter[tuple[int, int]]] = {}
        self.lines: dict[str, Counter[int]] = {}

    def add(self, file: dict) -> None:
        path = file["file"]
        calls = self.calls.setdefault(path, Counter())
        branches = self.branches.setdefault(path, Counter())
        lines = self.lines.setdefault(path, Counter())
        for function in file["functions"]:
            calls[function["start_line"], function["name"]] += function["execution_count"]
        for line in file["lines"]:
            number = line["line_number"]
            lines[number] += line["count"]
            for index, branch in enumerate(line["branches"]):
                branches[number, index] += branch["count"]

    def lcov(self) -> Iterator[str]:
        for path in sorted(path for path, lines in self.lines.items() if lines):
            yield f"SF:{path}"
            for (start, name), count in sorted(self.calls[path].items()):
                yield f"FN:{start},{name}"
                yield f"FNDA:{count},{name}"
            for (number, index), count in sorted(self.branches[path].items()):
                yield f"BRDA:{number},0,{index},{count}"
            for number, count in sorted(self.lines[path].items()):
                yield f"DA:{number},{count}"
            yield "end_of_record"


def parse_flags(args: list[str]) -> dict[str, str]:
    flags: dict[str, str] = {}
    for arg in args:
        key, _, value = arg.partition("=")
        flags.setdefault(key, value)
    return flags


def gcov_files(coverage_dir: str) -> Iterator[dict]:
    """What gcov says of each source file of each .gcda below the folder."""
    for folder, _, names in os.walk(coverage_dir):
        for name in names:
            if name.endswith(".gcda"):
                command = ["gcov", "--json-format", "--stdout", "-b", name]
                done = subprocess.run(
                    command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
                )
                for document in done.stdout.splitlines():
                    yield from json.loads(document)["files"]


def write_one_test(flags: dict[str, str]) -> None:
    with open(flags["--source_file_manifest"], encoding="utf-8") as manifest:
        wanted = set(manifest.read().split())
    coverage = Coverage()
    for file in gcov_files(flags["--coverage_dir"]):
        if file["file"] in wanted:
            coverage.add(file)
    with open(flags["--output_file"], "w", encoding="utf-8") as out:
        out.writelines(line + "\n" for line in coverage.lcov())


def join_reports(flags: dict[str, str]) -> None:
    """--combined_report=lcov: genhtml adds up what the tests' files repeat."""
    with open(flags["--reports_file"], encoding="utf-8") as reports:
        paths = reports.read().split()
    with open(flags["--output_file"], "w", encoding="utf-8") as out:
        for path in paths:
            with open(path, encoding="utf-8") as report:
                out.write(report.read())


def main() -> None:
    flags = parse_flags(sys.argv[1:])
    if "--reports_file" in flags:
        join_reports(flags)
    else:
        write_one_test(flags)


if __name__ == "__main__":
    main()
