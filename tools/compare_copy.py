#!/usr/bin/env python3
"""Compares `kaio copy` with dd and with a loop of pread and pwrite, side by side.

    tools/compare_copy.py --folder=/mnt/disk        as root: caches are dropped before each copy

Each copies the same file past the page cache and ends in fdatasync. Each round runs them one after
the other, in an order that rotates, dd twice as the control; printed are medians over the rounds of
the ratio within a round: how many times as fast as dd a peer is.
"""
from __future__ import annotations

import argparse
import filecmp
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIB = 1 << 20


def commands(programs, source, target):
    copied = [f"if={source}", f"of={target}", "iflag=direct", "oflag=direct", "conv=fdatasync"]
    return {
        "dd, 1 MiB": ["dd", "bs=1M", "status=none", *copied],
        "dd, 1 MiB again": ["dd", "bs=1M", "status=none", *copied],
        "dd, 8 MiB": ["dd", "bs=8M", "status=none", *copied],
        "pread/pwrite, 2 MiB pages": [programs / "copy_peer", source, target],
        "kaio copy": [programs / "kaio", "copy", source, target],
    }


def drop_caches():
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def seconds_of(command, source, target):
    target.unlink(missing_ok=True)
    drop_caches()
    begin = time.monotonic()
    subprocess.run(command, check=True)
    took = time.monotonic() - begin
    if not filecmp.cmp(source, target, shallow=False):
        sys.exit(f"{command[0]}: the copy differs")
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default=".", help="where the files are made")
    parser.add_argument("--size", type=int, default=1024, help="of the file, in MiB")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    subprocess.run([ROOT / "tools/bazel", "build", "-c", "opt", "//tools:kaio", "//tools:copy_peer"],
                   check=True, cwd=ROOT, stdout=sys.stderr)
    programs = (ROOT / "bazel-bin/tools").resolve()
    with tempfile.TemporaryDirectory(prefix="copy_", dir=arguments.folder) as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        with source.open("wb") as file:
            for _ in range(arguments.size):
                file.write(os.urandom(MIB))
        peers = commands(programs, source, target)
        names = list(peers)
        times = {name: [] for name in names}
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
            for place in range(len(names)):
                name = names[(number + place) % len(names)]
                times[name].append(seconds_of(peers[name], source, target))
    base = times[names[0]]
    for name in names:
        ratios = [theirs / ours for theirs, ours in zip(base, times[name])]
        rate = arguments.size / statistics.median(times[name])
        print(f"{name:26} {statistics.median(ratios):5.2f}   {rate:6.0f} MiB/s")


if __name__ == "__main__":
    main()
