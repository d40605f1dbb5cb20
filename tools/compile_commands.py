#!/usr/bin/env python3
"""Prints compile_commands.json from the JSON that `bazel aquery` prints (stdin).

The commands run in the workspace, so that tools find the sources, and .clang-tidy above them,
under the names one edits. Only what Bazel made is taken from its own tree.
"""
from __future__ import annotations

import json
import os
import sys

MADE_BY_BAZEL = ("bazel-out/", "external/")
OPTIONS_WITH_PATH = ("-I", "")
ONLY_GCC_KNOWS = ("-fno-canonical-system-headers", "-ffat-lto-objects")


def in_workspace(argument: str, execution_root: str) -> str:
    for option in OPTIONS_WITH_PATH:
        path = argument[len(option):]
        if argument.startswith(option) and path.startswith(MADE_BY_BAZEL):
            return f"{option}{execution_root}/{path}"
    return argument


def entry(arguments: list[str], execution_root: str) -> dict[str, object]:
    return {
        "directory": os.getcwd(),
        "file": arguments[arguments.index("-c") + 1],
        "arguments": [
            in_workspace(argument, execution_root)
            for argument in arguments
            # clangd and clang-tidy take such a flag for an error.
            if argument not in ONLY_GCC_KNOWS
        ],
    }


def main() -> None:
    execution_root = sys.argv[1]  # `bazel info execution_root`
    actions = json.load(sys.stdin).get("actions", [])
    # A file that several targets compile has one entry, its first: clang-tidy reads all it finds,
    # and clang-tidy 14 is wrong about va_list from the second on.
    by_file: dict[object, dict[str, object]] = {}
    for action in actions:
        found = entry(action["arguments"], execution_root)
        by_file.setdefault(found["file"], found)
    json.dump(list(by_file.values()), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
