#!/usr/bin/env python3
"""Prints compile_commands.json from the JSON that `bazel aquery` prints (stdin)."""
from __future__ import annotations

import json
import sys


def entry(root: str, arguments: list[str]) -> dict[str, object]:
    return {
        "directory": root,
        "file": arguments[arguments.index("-c") + 1],
        "output": arguments[arguments.index("-o") + 1],
        # clangd and clang-tidy do not know the one flag that only gcc has.
        "arguments": [arg for arg in arguments if arg != "-fno-canonical-system-headers"],
    }


def main() -> None:
    root = sys.argv[1]  # `bazel info execution_root`
    actions = json.load(sys.stdin).get("actions", [])
    json.dump([entry(root, action["arguments"]) for action in actions], sys.stdout, indent=1)


if __name__ == "__main__":
    main()
