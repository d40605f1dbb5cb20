#!/usr/bin/env python3
"""Breaks one guard or boundary at a time, and asks the tests whether they see it.

    tools/mutate.py safe/slots.h safe/slots.c              all mutants of two files
    tools/mutate.py --sample=50 --seed=7 safe/*.c          some of many
    tools/mutate.py --list raw/aio_ring.h                  what would be done

Works in a copy of the last commit, in a folder of its own. Prints a line for each mutant:

    killed     a test failed, hung or crashed
    SURVIVED   no test saw it
    accepted   no test saw it, and tools/mutants.txt says why none can
    unbuilt    the compiler refused it; does not count

The exit status is 1 when one survived. The last line is the score: of those that count, how many
were killed. A file's tests are those of TESTS below, or --tests.
"""
from __future__ import annotations

import argparse
import collections
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ACCEPTED = ROOT / "tools/mutants.txt"
# By what the file's name begins with: the first that fits. In the order of their speed.
TESTS = [
    ("raw/libaio/", ["//tests/libaio:libaio_test", "//tests/libaio:handlers_test"]),
    ("raw/aio_ring.h", ["//tests/raw:aio_ring_test", "//tests/raw:ring_stress_test",
                        "//tests/raw:fork_test", "//tests/raw:valgrind_test",
                        "//tests/libaio:libaio_test"]),
    ("raw/", ["//tests/raw/...", "//tests/safe/..."]),
    ("safe/", ["//tests/safe/...", "//tests/misuse:all", "//tests/model:model_test"]),
]

Mutant = collections.namedtuple("Mutant", "path number before after")

# What is replaced by what, wherever it stands in a line of code.
SWAPS = [
    (r" < ", [" <= ", " >= "]),
    (r" <= ", [" < ", " > "]),
    (r" > ", [" >= ", " <= "]),
    (r" >= ", [" > ", " < "]),
    (r" == ", [" != "]),
    (r" != ", [" == "]),
    (r" && ", [" || "]),
    (r" \|\| ", [" && "]),
    (r" \+ ", [" - "]),
    (r" - ", [" + "]),
    (r"(?<![\w!=<>])!(?=[\w(])", [""]),
    (r"\+\+", ["--"]),
    (r"--(?!\w*\])", ["++"]),
    (r"\breturn true;", ["return false;"]),
    (r"\breturn false;", ["return true;"]),
]
CONDITION = re.compile(r"^(\s*(?:\} else )?(?:if|while) \()(.*)(\) \{)$")
# A statement that may be left out: a call, or a change of something that was there before.
STATEMENT = re.compile(r"^(\s+)(?:\(void\))?(?:\*?[a-z_][\w.>\[\]-]*(?:\(| [-+|&]?= )|\+\+|--).*;$")


def code_of(line):
    """The line without its comment; empty where nothing is to be changed."""
    code = re.sub(r"\s*//.*$", "", line)
    skipped = re.match(r"\s*(#|assert\(|_Static_assert|static_assert|KAIO_RAW_ASSERT_|return$)", code)
    return "" if skipped or '"' in code else code


def mutants_of(path):
    lines = (ROOT / path).read_text().split("\n")
    for number, line in enumerate(lines):
        code = code_of(line)
        condition = CONDITION.match(code)
        if condition:
            begin, middle, end = condition.groups()
            for text in (f"0 != 0 && ({middle})", f"0 == 0 || ({middle})"):
                if "while" not in begin or text.startswith("0 != 0"):
                    yield Mutant(path, number, line, begin + text + end)
        elif STATEMENT.match(code):
            yield Mutant(path, number, line, STATEMENT.match(code).group(1) + ";")
        for pattern, replacements in SWAPS:
            for match in re.finditer(pattern, code):
                if pattern in (r"\+\+", r"--(?!\w*\])") and "for (" in code:
                    continue
                for replacement in replacements:
                    yield Mutant(path, number, line,
                                 code[:match.start()] + replacement + code[match.end():])


def accepted():
    """The mutants that no test can see: (path, line, mutated line)."""
    rows = set()
    block = []
    for line in ACCEPTED.read_text().splitlines() if ACCEPTED.exists() else []:
        if line.startswith("#"):
            continue
        if line.strip():
            block.append(line.strip())
        else:
            block = []
        if len(block) == 4:  # path, before, after, why
            rows.add(tuple(block[:3]))
            block = []
    return rows


def tests_of(path):
    return next((tests for begin, tests in TESTS if str(path).startswith(begin)), None)


class Copy:
    """A clone of the last commit, in which one file at a time is changed."""

    def __init__(self, folder):
        self.folder = Path(folder) / "kaio"
        subprocess.run(["git", "clone", "-q", ROOT, self.folder], check=True)
        if (ROOT / "user.bazelrc").exists():
            shutil.copy(ROOT / "user.bazelrc", self.folder)

    def bazel(self, command, targets, log):
        options = [r"--per_file_copt=.*\.cc?$@-Wno-error", "--color=no", "--noshow_progress"]
        if command == "test":
            options += ["--notest_keep_going", "--test_timeout=60", "--test_output=summary",
                        "--test_tag_filters=-local", "--test_env=KAIO_MODEL_STEPS=100000"]
        done = subprocess.run([self.folder / "tools/bazel", command, *options, "--", *targets],
                              cwd=self.folder, stdout=log, stderr=log)
        return done.returncode

    def close(self):
        subprocess.run([self.folder / "tools/bazel", "clean", "--expunge"], cwd=self.folder,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def try_mutant(self, mutant, targets, log):
        path = self.folder / mutant.path
        text = path.read_text()
        lines = text.split("\n")
        lines[mutant.number] = mutant.after
        path.write_text("\n".join(lines))
        log.write(f"==== {mutant.path}:{mutant.number + 1}: {mutant.after.strip()}\n")
        log.flush()
        try:
            status = self.bazel("test", targets, log)
        finally:
            path.write_text(text)
        return {0: "SURVIVED", 1: "unbuilt"}.get(status, "killed")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="of raw/ and safe/")
    parser.add_argument("--list", action="store_true", help="only tell the mutants")
    parser.add_argument("--sample", type=int, help="so many of them, by chance")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tests", action="append", help="labels, instead of the file's own")
    parser.add_argument("--log", type=Path, default=Path("mutate.log"), help="what Bazel says")
    arguments = parser.parse_args()
    paths = [Path(name).resolve().relative_to(ROOT) for name in arguments.files]
    mutants = [mutant for path in paths for mutant in mutants_of(path)]
    if arguments.sample is not None and arguments.sample < len(mutants):
        mutants = random.Random(arguments.seed).sample(mutants, arguments.sample)
    if arguments.list:
        for mutant in mutants:
            print(f"{mutant.path}:{mutant.number + 1}: {mutant.before.strip()}  ->  "
                  f"{mutant.after.strip()}")
        return 0
    for path in paths:
        if arguments.tests is None and tests_of(path) is None:
            sys.exit(f"{path}: which tests are about it? --tests")
    return run(mutants, arguments)


def run(mutants, arguments):
    known = accepted()
    counts = collections.Counter()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutate_") as folder, arguments.log.open("w") as log:
        copy = Copy(folder)
        try:
            for number, mutant in enumerate(mutants):
                targets = arguments.tests or tests_of(mutant.path)
                if number == 0 and copy.bazel("test", targets, log) != 0:
                    sys.exit(f"the tests fail without a mutant: see {arguments.log}")
                outcome = copy.try_mutant(mutant, targets, log)
                key = (str(mutant.path), mutant.before.strip(), mutant.after.strip())
                if outcome == "SURVIVED" and key in known:
                    outcome = "accepted"
                counts[outcome] += 1
                print(f"{outcome:9} {mutant.path}:{mutant.number + 1}: {mutant.before.strip()}  ->  "
                      f"{mutant.after.strip()}", flush=True)
                if sys.stderr.isatty():
                    print(f"\r{number + 1} of {len(mutants)}, {time.monotonic() - begin:.0f} s\033[K",
                          end="", file=sys.stderr)
        finally:
            copy.close()
    total = counts["killed"] + counts["SURVIVED"]
    print(f"{counts['killed']} of {total} killed ({100 * counts['killed'] / max(total, 1):.0f} %), "
          f"{counts['accepted']} accepted, {counts['unbuilt']} unbuilt")
    return 1 if counts["SURVIVED"] else 0


if __name__ == "__main__":
    sys.exit(main())
