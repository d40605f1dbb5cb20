#!/usr/bin/env python3
"""Compares libaio.so.1 of this repository with the system's: fio, unmodified, on either, side by side.

    tools/compare_libaio.py --folder=/mnt/disk

Each round runs fio on the system's library, on ours and on the system's again, in an order that
rotates; printed are medians over the rounds of ratios within a round: how many times as many
operations a second, and how many times as much processor time for each. The second run on the
system's library is the control: what its ratios differ from 1 by is noise.
"""
from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# By name: depth and options.
WORK = {
    "cached, depth 1": (1, ["--direct=0", "--invalidate=0"]),
    "cached, depth 32": (32, ["--direct=0", "--invalidate=0"]),
    "cached, depth 32, batches of 8": (
        32, ["--direct=0", "--invalidate=0", "--iodepth_batch=8", "--iodepth_batch_complete_min=8"]),
    "O_DIRECT, depth 1": (1, ["--direct=1"]),
    "O_DIRECT, depth 32": (32, ["--direct=1"]),
}


def run(path, depth, options, library, milliseconds):
    environment = dict(os.environ)
    environment.pop("LD_LIBRARY_PATH", None)
    if library is not None:
        environment["LD_LIBRARY_PATH"] = str(library)
    command = ["fio", "--name=job", f"--filename={path}", "--rw=randread", "--bs=4k", "--thread",
               "--ioengine=libaio", f"--iodepth={depth}", f"--runtime={milliseconds}ms",
               "--time_based", "--gtod_reduce=1", "--randrepeat=0", "--norandommap",
               "--output-format=json", *options]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout
    job = json.loads(output[output.index(b"{"):])["jobs"][0]
    if job["error"] != 0:
        sys.exit(f"{path}: fio failed: {os.strerror(job['error'])}")
    iops = job["read"]["iops"]
    return iops, (job["usr_cpu"] + job["sys_cpu"]) / iops


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default=".", help="where the file is made")
    parser.add_argument("--size", type=int, default=16, help="of the file, in MiB")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--milliseconds", type=int, default=1000, help="of each run")
    parser.add_argument("--work", choices=sorted(WORK), action="append", help="default: all")
    parser.add_argument("--library", type=Path, help="folder of the libaio.so.1 to compare")
    arguments = parser.parse_args()
    ours = arguments.library
    if ours is None:
        subprocess.run([ROOT / "tools/bazel", "build", "-c", "opt", "//raw/libaio:libaio.so.1"],
                       check=True, cwd=ROOT, stdout=sys.stderr)
        ours = (ROOT / "bazel-bin/raw/libaio").resolve()
    if not (ours / "libaio.so.1").exists():
        sys.exit(f"{ours}: no libaio.so.1 there")
    with tempfile.NamedTemporaryFile(prefix="libaio_", dir=arguments.folder) as file:
        for _ in range(arguments.size):
            file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())
        print(f"{'work':32}{'rate':>7}{'ctrl':>7}{'cpu':>8}{'ctrl':>7}{'ours':>12}")
        for name in arguments.work or WORK:
            compare(file.name, name, *WORK[name], ours, arguments)


def compare(path, name, depth, options, ours, arguments):
    libraries = [None, ours, None]
    rates, costs, iops = ([], []), ([], []), []
    for number in range(arguments.rounds):
        if sys.stderr.isatty():
            print(f"\r{name}, round {number + 1}\033[K", end="", file=sys.stderr)
        results = {}
        for place in range(3):
            which = (number + place) % 3
            results[which] = run(path, depth, options, libraries[which], arguments.milliseconds)
        for column, which in enumerate((1, 2)):
            rates[column].append(results[which][0] / results[0][0])
            costs[column].append(results[which][1] / results[0][1])
        iops.append(results[1][0])
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    figures = [statistics.median(column) for column in (*rates, *costs)]
    print(f"{name:32}{figures[0]:7.2f}{figures[1]:7.2f}{figures[2]:8.2f}{figures[3]:7.2f}"
          f"{statistics.median(iops):12.0f}", flush=True)


if __name__ == "__main__":
    main()
