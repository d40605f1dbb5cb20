#!/usr/bin/env python3
"""Compares the engines on kaio with their twins on libaio, side by side in one run.

    bazel build -c opt //tools/engines:all
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
LATENCIES = ("p50_us", "p99_us")
# By engine: what counts its work, and the options of its bench besides.
ENGINES = {
    "wal": ("appends_per_s", ["--size=256"]),
    "pages": ("operations_per_s", ["--new", "--pages=20000", "--frames=2000", "--writes=20"]),
}


def run(program, options, parent):
    folder = tempfile.mkdtemp(prefix="engine_", dir=parent)
    target = folder + "/file" if "--new" in options else folder
    try:
        output = subprocess.run(
            [program, "bench", *options, target], check=True, stdout=subprocess.PIPE).stdout
        return json.loads(output)
    finally:
        shutil.rmtree(folder)


def compare(arguments, engine, threads, buffered):
    rate, more = ENGINES[engine]
    figures = (rate, *LATENCIES)
    options = [f"--threads={threads}", f"--seconds={arguments.seconds}", *more]
    options += ["--buffered"] * buffered
    ours, theirs = arguments.programs / engine, arguments.programs / (engine + "_libaio")
    ratios = {figure: ([], []) for figure in figures}
    for number in range(arguments.rounds):
        if sys.stderr.isatty():
            print(f"\r{engine}, {threads} threads, round {number + 1}", end="", file=sys.stderr)
        results = [run(program, options, arguments.folder) for program in (ours, theirs, theirs)]
        for figure in figures:
            base = max(results[1][figure], 1e-9)
            ratios[figure][0].append(results[0][figure] / base)
            ratios[figure][1].append(results[2][figure] / base)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    row = [f"{engine:6}", f"{threads:7}", "buffered" if buffered else "direct  "]
    for figure in figures:
        row += [f"{statistics.median(column):5.2f}" for column in ratios[figure]]
    print("  ".join(row), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default=".", help="where the files are made")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=1, help="of each run")
    parser.add_argument("--engine", choices=sorted(ENGINES), action="append")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT)
    arguments = parser.parse_args()
    print("engine  threads  files      rate   ctrl    p50   ctrl    p99   ctrl")
    for engine in arguments.engine or sorted(ENGINES):
        for buffered in (False, True):
            for threads in (1, 32):
                compare(arguments, engine, threads, buffered)


if __name__ == "__main__":
    main()
