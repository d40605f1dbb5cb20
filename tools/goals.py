#!/usr/bin/env python3
"""Measures the goals of docs/PERFORMANCE.md, and writes their table.

    tools/goals.py --folder=/mnt/disk --device=/dev/zram0
    tools/goals.py --read=FOLDER            the table of what was measured before

Runs `kaio bench` in fresh processes, of three programs whose code lies at different places, and
keeps what each wrote in --keep. A figure is the median over the processes of the median over the
rounds of the ratio within a round. Progress goes to stderr, two tables (Markdown) to stdout, that of
the goals and that of all speeds; with --write they also go into a document, between its marks, and
with --pictures they are drawn.
"""
from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("kaio", "kaio_moved_16", "kaio_moved_4128")
# The columns of the table of speeds, and whose they are.
COLUMNS = {
    "raw": "raw",
    "start+take": "start+take",
    "run loop": "run loop",
    "liburing": "liburing",
    "tuned": "liburing tuned",
    "pread": "pread/pwrite",
    "pool": "thread pool",
    "POSIX": "POSIX AIO",
}
# The pictures: name, options of `kaio bench plot`, rows.
PICTURES = (
    ("speed_processor.svg", [], ["noop", "cached512", "overwrite", "poll"]),
    ("speed_disk.svg", [], ["read", "write", "device", "files"]),
    ("speed_pages.svg", [], ["pages"]),
    ("latency.svg", ["--latencies"], ["spin-1"]),
)


@dataclass(frozen=True)
class Goal:
    number: str
    text: str
    row: str
    peer: str
    base: str
    limit: float
    clock: str = ""  # the row's
    at_most: bool = False  # a ratio of times, which must not be larger than `limit`


def at_least(number, text, rows, peer, base, limit, **more):
    return [Goal(number, f"{text}, {row}", row, peer, base, limit, **more) for row in rows]


RUN, START, LIBAIO, TUNED = "run loop", "start+take", "libaio", "liburing tuned"
DIRECT = [f"{kind}-{depth}" for kind in ("read", "write") for depth in (8, 32, 128)]
GOALS = [
    *at_least("G3", "run loop to libaio", ["noop-1"], RUN, LIBAIO, 2.0),
    *at_least("G3", "start+take to libaio", ["noop-1"], START, LIBAIO, 1.5),
    *at_least("G4", "run loop to libaio", ["cached512-1"], RUN, LIBAIO, 1.5),
    *at_least("G4", "start+take to libaio", ["cached512-1"], START, LIBAIO, 1.25),
    *at_least("G5", "run loop to libaio", ["noop-4", "cached512-4"], RUN, LIBAIO, 1.15),
    *at_least("G5", "start+take to libaio", ["noop-4", "cached512-4"], START, LIBAIO, 1.15),
    *at_least("G6", "run loop to libaio", ["noop-32", "cached512-32"], RUN, LIBAIO, 1.0),
    *at_least("G6", "start+take to libaio", ["noop-32", "cached512-32"], START, LIBAIO, 1.0),
    *at_least("G6", "run loop to libaio", ["noop-128", "cached512-128"], RUN, LIBAIO, 0.97),
    *at_least("G6", "start+take to libaio", ["noop-128", "cached512-128"], START, LIBAIO, 0.97),
    *at_least("G7", "run loop to raw", ["noop-1", "noop-32"], RUN, "raw", 0.95),
    *at_least("G7", "start+take to raw", ["noop-1", "noop-32"], START, "raw", 0.95),
    *at_least("G7", "run loop to raw", ["cached512-1", "cached512-32"], RUN, "raw", 0.95),
    *at_least("G9", "run loop to libaio", DIRECT, RUN, LIBAIO, 0.95),
    *at_least("G9", "processor time of the run loop to libaio's", DIRECT, RUN, LIBAIO, 1.10,
              clock="cpu", at_most=True),
    *at_least("G9", "run loop to pread", ["read-32", "write-32"], RUN, "pread/pwrite", 3.0),
    *at_least("G9", "run loop to a thread pool", ["read-32", "write-32"], RUN, "thread pool", 1.1),
    *at_least("G10", "p50 with a bounded spin to libaio's", ["spin-1"], "run loop, spin", LIBAIO,
              0.80, clock="p50", at_most=True),
    *at_least("G11", "2 MiB pages to 4 KiB", ["pages64k-8"], "run loop, pool of 2M pages", RUN, 1.4),
    *at_least("G11", "2 MiB pages to 4 KiB", ["pages256k-8", "pages1m-8"],
              "run loop, pool of 2M pages", RUN, 1.8),
    *at_least("G12", "chunks of 2 to libaio", ["chunkread-32", "chunkwrite-32"],
              "run loop, chunks of 2", LIBAIO, 1.05),
    *at_least("G13", "run loop to liburing", ["noop-1"], RUN, "liburing", 1.2),
    *at_least("G13", "run loop to liburing", ["overwrite-32"], RUN, "liburing", 1.5),
    *at_least("G13", "run loop to liburing", ["device-8"], RUN, "liburing", 1.3),
    *at_least("G13", "run loop to tuned liburing", ["noop-1"], RUN, TUNED, 0.95),
    *at_least("G13", "run loop to tuned liburing", ["overwrite-32"], RUN, TUNED, 1.5),
    *at_least("G13", "run loop to tuned liburing", ["device-8"], RUN, TUNED, 1.05),
    *at_least("G15", "closing 8 queues to closing one", ["close"], "destroy_all of 8", "close one",
              1.5, at_most=True),
    *at_least("G16", "2 threads to one", ["threads-32"], "run loop, 2 threads", RUN, 1.7),
]


def peers_of(report, row_name):
    """What counts of a row: its last attempt."""
    for row in report["rows"]:
        if row["row"] == row_name:
            attempt = row["attempts"][-1]
            return row, attempt, {peer["peer"]: peer for peer in attempt["peers"]}
    return None, None, {}


def figure_of(goal, row, peers):
    """The goal's ratio in one process, or None where a peer is missing."""
    peer, base = peers.get(goal.peer, {}), peers.get(goal.base, {})
    if "cannot" in peer or "cannot" in base or not peer or not base:
        return None
    clock = goal.clock or row["clock"]
    if clock == "p50":
        return peer["latency"]["p50_us"] / base["latency"]["p50_us"]
    pairs = zip(peer[clock + "_ns"], base[clock + "_ns"])
    ratio = statistics.median(theirs / ours for ours, theirs in pairs)
    return 1 / ratio if goal.at_most else ratio


@dataclass
class Reached:
    figures: list
    controls: list
    uncounted: int
    margin: float = 0.0


def reach(goal, reports):
    reached = Reached([], [], 0)
    for report in reports:
        row, attempt, peers = peers_of(report, goal.row)
        figure = None if row is None else figure_of(goal, row, peers)
        if figure is None:
            continue
        reached.margin = row["margin"]
        if attempt["counts"]:
            reached.figures.append(figure)
            reached.controls.append(attempt["control"])
        else:
            reached.uncounted += 1
    return reached


def line_of(goal, reached):
    sign = "≤" if goal.at_most else "≥"
    head = f"| {goal.number} | {goal.text} | {sign} {goal.limit:.2f} |"
    if not reached.figures:
        why = "no process counted" if reached.uncounted else "not measured"
        return f"{head} {why} | | | |", None
    figure = statistics.median(reached.figures)
    is_met = figure <= goal.limit if goal.at_most else figure >= goal.limit
    span = f"{min(reached.figures):.2f} to {max(reached.figures):.2f}"
    control = f"{min(reached.controls):.3f} to {max(reached.controls):.3f}"
    processes = f"{len(reached.figures)} of {len(reached.figures) + reached.uncounted}"
    return (f"{head} **{figure:.2f}** ({span}) | {control}, ± {reached.margin:.2f} | {processes} | "
            f"{'met' if is_met else 'MISSED'} |"), is_met


def table_of(reports):
    lines = [
        "| | what | goal | reached (smallest to largest) | control, margin | processes that count | |",
        "|---|---|---|---|---|---|---|",
    ]
    verdicts = []
    for goal in GOALS:
        line, is_met = line_of(goal, reach(goal, reports))
        lines.append(line)
        verdicts.append(is_met)
    counted = [sum(verdict is value for verdict in verdicts) for value in (True, False, None)]
    lines += ["", "{} met, {} missed, {} not measured.".format(*counted)]
    return "\n".join(lines) + "\n"


def speed_of(reports, row_name, peer_name):
    """A peer's speed in a row: the median over the processes that count; None: it has none."""
    speeds = []
    for report in reports:
        _, attempt, peers = peers_of(report, row_name)
        peer = peers.get(peer_name, {})
        if attempt is not None and attempt["counts"] and "speed" in peer:
            speeds.append(peer["speed"][1])
    return statistics.median(speeds) if speeds else None


def base_ns_of(reports, row_name):
    times = []
    for report in reports:
        row, attempt, _ = peers_of(report, row_name)
        if row is not None:
            times.append(statistics.median(attempt["peers"][0][row["clock"] + "_ns"]))
    return statistics.median(times)


def speeds_of(reports):
    """The table of the rows that compare with libaio."""
    lines = ["| | libaio, ns | " + " | ".join(COLUMNS) + " |",
             "|---|" + "---:|" * (len(COLUMNS) + 1)]
    for row in reports[0]["rows"]:
        name = row["row"]
        peers = peers_of(reports[0], name)[2]
        if next(iter(peers)) != "libaio" or "raw" not in peers:
            continue
        cells = []
        for label in COLUMNS.values():
            speed = speed_of(reports, name, label)
            cells.append("" if speed is None else f"{speed:.2f}")
        lines.append(f"| {name} | {base_ns_of(reports, name):.0f} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(program, report, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, options, rows in PICTURES:
        command = [program, "bench", "plot", *options, report, folder / name, *rows]
        subprocess.run(command, check=True)


def build(programs):
    targets = [f"//tools:{name}" for name in programs]
    subprocess.run([ROOT / "tools/bazel", "build", "-c", "opt", *targets], check=True, cwd=ROOT,
                   stdout=sys.stderr)
    folder = (ROOT / "bazel-bin/tools").resolve()
    return [folder / name for name in programs]


def measure(arguments, keep):
    programs = build(PROGRAMS)
    words = sorted({goal.row for goal in GOALS})
    if arguments.device is None:
        words = [word for word in words if not word.startswith("device")]
    reports = []
    for number in range(arguments.processes):
        program = programs[number % len(programs)]
        print(f"process {number + 1} of {arguments.processes}: {program.name}", file=sys.stderr)
        command = [program, "bench", "--json", "--folder", arguments.folder]
        command += words if number > 0 and not arguments.all_rows else []
        command += ["--device", arguments.device] if arguments.device else []
        command += ["--quick"] if arguments.quick else []
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        (keep / f"bench_{number}.json").write_bytes(output)
        reports.append(json.loads(output))
    return reports


def write_into(document, name, table):
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = document.read_text().partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        sys.exit(f"{document}: the marks {begin} and {end} are not in it")
    document.write_text(f"{before}{begin}\n\n{table}\n{end}{after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default=".", help="where the files are made")
    parser.add_argument("--device", help="a zram or loop device, which is only read")
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--all-rows", action="store_true",
                        help="in each process, not in the first alone, also rows of no goal")
    parser.add_argument("--quick", action="store_true", help="good for nothing but a look")
    parser.add_argument("--keep", type=Path, help="a folder for what each process wrote")
    parser.add_argument("--read", type=Path, help="measure nothing: read that folder")
    parser.add_argument("--write", type=Path, help="a document to write the tables into")
    parser.add_argument("--pictures", type=Path, help="a folder to draw the first process into")
    arguments = parser.parse_args()
    keep = arguments.read or arguments.keep or Path(tempfile.mkdtemp(prefix="goals_"))
    if arguments.read:
        reports = [json.loads(path.read_text()) for path in sorted(arguments.read.glob("*.json"))]
        if not reports:
            sys.exit(f"{arguments.read}: no *.json in it")
    else:
        keep.mkdir(parents=True, exist_ok=True)
        print(f"kept in {keep}", file=sys.stderr)
        reports = measure(arguments, keep)
    tables = {"goals": table_of(reports), "speeds": speeds_of(reports)}
    sys.stdout.write("\n".join(tables.values()))
    for name, table in tables.items():
        if arguments.write:
            write_into(arguments.write, name, table)
    if arguments.pictures:
        draw(build(PROGRAMS[:1])[0], sorted(keep.glob("*.json"))[0], arguments.pictures)


if __name__ == "__main__":
    main()
