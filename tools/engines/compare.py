#!/usr/bin/env python3
"""Compares the log on kaio with its twin on libaio, side by side in one run.

    bazel build -c opt //tools/engines:wal //tools/engines:wal_libaio
    tools/engines/compare.py --folder=/mnt/disk

Each round runs kaio, libaio and libaio again, one after the other; printed are the medians over
the rounds of ratios within a round. The second libaio is the control: what its ratios differ from 1
by is noise.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2] / "bazel-bin/tools/engines"
FIGURES = ("appends_per_s", "p50_us", "p99_us")


def run(program, options, parent):
    folder = tempfile.mkdtemp(prefix="wal_", dir=parent)
    try:
        output = subprocess.run(
            [program, "bench", *options, folder], check=True, stdout=subprocess.PIPE).stdout
        return json.loads(output)
    finally:
        shutil.rmtree(folder)


def compare(arguments, threads, buffered):
    options = [f"--threads={threads}", f"--seconds={arguments.seconds}",
               f"--size={arguments.size}"] + ["--buffered"] * buffered
    programs = (arguments.kaio, arguments.libaio, arguments.libaio)
    ratios = {figure: ([], []) for figure in FIGURES}
    for number in range(arguments.rounds):
        if sys.stderr.isatty():
            print(f"\r{threads} threads, round {number + 1}", end="", file=sys.stderr)
        ours, theirs, again = (run(program, options, arguments.folder) for program in programs)
        for figure in FIGURES:
            ratios[figure][0].append(ours[figure] / theirs[figure])
            ratios[figure][1].append(again[figure] / theirs[figure])
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    row = [f"{threads:7}", "buffered" if buffered else "direct  "]
    for figure in FIGURES:
        row += [f"{statistics.median(column):6.2f}" for column in ratios[figure]]
    print("  ".join(row), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default=".", help="where the logs are made")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=1, help="of each run")
    parser.add_argument("--size", type=int, default=256, help="of a record, in bytes")
    parser.add_argument("--kaio", default=ROOT / "wal")
    parser.add_argument("--libaio", default=ROOT / "wal_libaio")
    arguments = parser.parse_args()
    print("threads  files      appends/s ctrl     p50  ctrl     p99  ctrl")
    for buffered in (False, True):
        for threads in (1, 32):
            compare(arguments, threads, buffered)


if __name__ == "__main__":
    main()
