#!/usr/bin/env python3
"""Counts test cases in what `bazel test --build_event_json_file=EVENTS` wrote.

Each EVENTS file is one run, called by the file's stem. Last line: `N passed, N failed`, and
`, N skipped` where there are any. What was not built or not run, and a build that failed with
no failed test, count as one failed case each.
"""
from __future__ import annotations

import argparse
import enum
import fnmatch
import json
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


class Outcome(enum.Enum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Case:
    run: str
    name: str  # "label Suite.Case" or "label"
    outcome: Outcome
    reason: str = ""

    def __str__(self) -> str:
        return f"[{self.run}] {self.name}" + (f": {self.reason}" if self.reason else "")


@dataclass
class Run:
    """What one file of build events says: tests by label, results by attempt."""

    name: str
    tests: set[str] = field(default_factory=set)
    results: dict[tuple[str, int, int], dict] = field(default_factory=dict)
    exit_code: dict = field(default_factory=lambda: {"name": "UNFINISHED", "code": 1})

    def add(self, event: dict) -> None:
        if "testSize" in event.get("configured", {}):
            self.tests.add(event["id"]["targetConfigured"]["label"])
        if "testResult" in event:  # of several attempts the last one counts
            key = event["id"]["testResult"]
            self.results[key["label"], key.get("run", 0), key.get("shard", 0)] = event["testResult"]
        self.exit_code = event.get("finished", {}).get("exitCode", self.exit_code)

    def cases(self) -> list[Case]:
        ran = {label for label, _, _ in self.results}
        found = [Case(self.name, label, Outcome.FAILED, "was not run") for label in self.tests - ran]
        for (label, _, _), result in self.results.items():
            found += result_cases(self.name, label, result)
        if self.exit_code.get("code", 0) != 0 and not any_failed(found):
            found.append(Case(self.name, "bazel", Outcome.FAILED, self.exit_code["name"]))
        return found


def any_failed(cases: Iterable[Case]) -> bool:
    return any(case.outcome is Outcome.FAILED for case in cases)


def read_run(path: Path) -> Run:
    run = Run(path.stem)
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                run.add(json.loads(line))
            except json.JSONDecodeError:  # Bazel died in the middle of a line: UNFINISHED says it
                break
    return run


def result_cases(run: str, label: str, result: dict) -> list[Case]:
    """The cases of one test's XML; one of its own where the test failed and no case did."""
    found = []
    for output in result.get("testActionOutput", []):
        if output["name"] == "test.xml":
            path = urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)
            found += [xml_case(run, label, case) for case in ElementTree.parse(path).iter("testcase")]
    if result["status"] not in ("PASSED", "FLAKY") and not any_failed(found):
        found.append(Case(run, label, Outcome.FAILED, result["status"]))
    return found


def xml_case(run: str, label: str, case: ElementTree.Element) -> Case:
    suite = case.get("classname")
    name = f"{label} {suite}.{case.get('name')}" if suite else label
    skipped = case.find("skipped")
    if case.find("failure") is not None or case.find("error") is not None:
        return Case(run, name, Outcome.FAILED)
    if skipped is not None:
        return Case(run, name, Outcome.SKIPPED, " ".join(skipped.get("message", "").split()))
    if case.get("status") == "notrun":
        return Case(run, name, Outcome.SKIPPED, "disabled")
    return Case(run, name, Outcome.PASSED)


def stage_case(stage: str) -> Case:
    name, _, status = stage.partition("=")
    return Case("stage", name, Outcome.PASSED if status == "0" else Outcome.FAILED)


def read_patterns(path: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def unexpected_skips(cases: Iterable[Case], patterns: list[str]) -> Iterator[Case]:
    for case in cases:
        if case.outcome is Outcome.SKIPPED:
            if not any(fnmatch.fnmatchcase(case.name, pattern) for pattern in patterns):
                yield case


def print_cases(word: str, cases: Iterable[Case]) -> None:
    for case in sorted(cases, key=str):
        print(f"{word}: {case}")


def summary(passed: int, failed: int, skipped: int) -> str:
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Counts test cases; the last line has the numbers.")
    parser.add_argument("events", nargs="*", type=Path)
    parser.add_argument("--stage", action="append", default=[], metavar="NAME=STATUS",
                        help="one more case: an exit status of something that is not a test")
    parser.add_argument("--allowed-skips", type=Path, metavar="FILE",
                        help="patterns of `label Suite.Case`; any other skipped case is an error")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    cases = [case for path in args.events for case in read_run(path).cases()]
    cases += map(stage_case, args.stage)
    by_outcome = {outcome: [case for case in cases if case.outcome is outcome] for outcome in Outcome}
    passed, failed, skipped = (by_outcome[outcome] for outcome in Outcome)

    unexpected: list[Case] = []
    if args.allowed_skips:
        unexpected = list(unexpected_skips(cases, read_patterns(args.allowed_skips)))
    print_cases("skipped", set(skipped) - set(unexpected))
    print_cases("skipped, and not allowed to", unexpected)
    print_cases("failed", failed)
    print(summary(len(passed), len(failed), len(skipped)))
    return int(bool(failed or unexpected or not passed))


if __name__ == "__main__":
    sys.exit(main())
