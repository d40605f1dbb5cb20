#!/usr/bin/env python3
"""Counts the instructions of an operation by callgrind: the same on every run of the same program.

    tools/cost.py                       the safe layer beside libaio, and what each check costs
    tools/cost.py --check FILE          the same; fails where it is dearer than FILE allows
    tools/cost.py --renew FILE          writes FILE
    tools/cost.py --count BATCH PROGRAM ARGUMENT...

PROGRAM ARGUMENT... ROUNDS does ROUNDS times BATCH operations. Two runs that differ in ROUNDS alone
are subtracted, so that start and end do not count, and the kernel's instructions never do.
Without --program, //tests/safe:cost is built first; it is always optimised (-O2 -DNDEBUG).
"""
from __future__ import annotations

import argparse
import collections
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FEW, MANY = 1000, 2000  # rounds
BATCHES = (1, 32)
WAYS = {"start": "start, wait, take", "run": "start, run", "libaio": "libaio"}
JOBS = ("read", "end", "write")
ALLOWED = 1.03  # times what was committed

JOB_NAMES = {
    "read": "read, whole",
    "end": "read, at the end",
    "write": "write, whole",
}

# What an instruction is for: by the innermost function, of those inlined around it, that is here.
GROUPS = {
    "enter and leave: thread, fork, re-entrance, handle of the queue": (
        "kaio_queue_enter", "kaio_queue_enter_same", "kaio_queue_same", "kaio_queue_look",
        "kaio_queue_leave", "kaio_queue_is_ours", "kaio_queue_thread",
    ),
    "buffer: handle, owner, pin": (
        "kaio_memory_find", "kaio_memory_find_hold", "kaio_memory_find_any_hold", "kaio_memory_of",
        "kaio_memory_pin", "kaio_memory_unpin", "kaio_memory_word", "kaio_memory_held_state",
        "kaio_memory_make_word", "kaio_buffer_at", "kaio_buffer_good", "find", "find_frame",
    ),
    "file: handle, attachment, pin": (
        "kaio_attachment_find", "kaio_attachment_known", "kaio_attachment_look",
        "kaio_attachment_unpin", "kaio_detach_dropped",
        "kaio_file_at", "kaio_file_is_open",
    ),
    "range, access, alignment, flags": ("kaio_request_is_in_range", "kaio_request_may_transfer"),
    "place: take, describe to the kernel, stage, free": (
        "commit", "kaio_request_append_staged", "kaio_request_free_usual", "kaio_raw_prep_pread",
        "kaio_raw_prep_pwrite", "kaio_queue_mark_sent",
    ),
    "settle: event to request, finished list": (
        "settle_all", "kaio_queue_claim", "kaio_request_finish_claimed",
        "kaio_request_append_finished_as", "kaio_request_settle_write",
        "kaio_request_pop_finished",
    ),
    "deliver: outcome, completion": (
        "take_plain", "take_usual", "tell_usual", "kaio_request_is_usual",
        "kaio_request_end_usual", "end_slowly",
        "kaio_queue_deliver", "kaio_queue_count_outcome", "describe_transfer", "kaio_slot_range",
        "kaio_queue_judge", "judge", "kaio_queue_refusal_of", "end_transfer", "hand_out_read",
        "hand_out_write", "hand_out", "step_out", "step_in", "kaio_verdict_from_ending",
        "transfer_verdict", "of_transfer", "of_count",
    ),
    "flush, wait, reap: once a batch; the run loop": (
        "kaio_queue_send", "kaio_queue_send_inline", "kaio_queue_wait", "step", "wait_on",
        "kaio_queue_reap", "reap", "reap_ring", "next_done", "go_on", "kaio_queue_run",
    ),
}
REST = "calls, arguments, registers"
# The program's own functions, which are not counted; what libaio's header inlines into them is.
LOOP = (
    "round_of_reads", "round_of_writes", "start_round", "take_round", "start", "libaio_round", "libaio",
    "read_again", "write_again",
)

Counts = collections.Counter  # of instructions, by (object, address)


def fail(message: str) -> None:
    sys.exit(f"cost.py: {message}")


def callgrind(command: list[str]) -> Counts:
    """Runs `command` once."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        try:
            done = subprocess.run(
                ["valgrind", "--tool=callgrind", "--dump-instr=yes", "--compress-strings=no",
                 "--compress-pos=no", f"--callgrind-out-file={out}", *command],
                capture_output=True, text=True, check=False)
        except FileNotFoundError:
            fail("valgrind is not installed: apt-get install valgrind")
        if done.returncode != 0:
            fail(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return read_callgrind(out.read_text())


def read_callgrind(text: str) -> Counts:
    """Self cost of each address; what callees cost stands behind `calls=` and is theirs."""
    counts = Counts()
    of_object, is_callee = "", False
    for line in text.splitlines():
        if line.startswith("ob="):
            of_object = line[3:]
        elif line.startswith("calls="):
            is_callee = True
        elif line.startswith("0x"):
            if not is_callee:
                address, _, count = line.split()
                counts[of_object, int(address, 16)] += int(count)
            is_callee = False
    return counts


def per_operation(program: str, arguments: list[str], batch: int) -> dict[tuple[str, int], float]:
    """Instructions of one operation, by object and address."""
    few, many = (callgrind([program, *arguments, str(rounds)]) for rounds in (FEW, MANY))
    operations = (MANY - FEW) * batch
    return {at: (many[at] - few[at]) / operations for at in many if many[at] != few[at]}


def functions(program: str, addresses: list[int]) -> dict[int, list[str]]:
    """The functions that each address of `program` is in, the innermost inlined one first."""
    done = subprocess.run(
        ["addr2line", "-a", "-i", "-f", "-e", program], check=True, capture_output=True, text=True,
        input="".join(f"{address:#x}\n" for address in addresses))
    chains: dict[int, list[str]] = {}
    lines = iter(done.stdout.splitlines())
    address = 0
    for line in lines:
        if line.startswith("0x"):
            address = int(line, 16)
            chains[address] = []
        else:
            chains[address].append(line)
            next(lines)  # the place in the source
    return chains


def group_of(chain: list[str]) -> str | None:
    """None: of the program's own loop."""
    for function in chain:
        for group, members in GROUPS.items():
            if function in members:
                return group
    return None if chain[0] in LOOP else REST


def by_group(program: str, costs: dict[tuple[str, int], float]) -> Counts:
    here = os.path.realpath(program)
    own = {at: cost for at, cost in costs.items() if os.path.realpath(at[0]) == here}
    chains = functions(program, [address for _, address in own])
    groups = Counts({REST: sum(costs.values()) - sum(own.values())})  # libc, libaio
    for (_, address), cost in own.items():
        groups[group_of(chains[address])] += cost
    del groups[None]
    return groups


def measure(program: str) -> tuple[dict[str, float], dict[tuple[str, int], Counts]]:
    """Figures by `way job batch`, and by way and batch what a read is made of."""
    figures, parts = {}, {}
    for way in WAYS:
        for job in JOBS:
            for batch in BATCHES:
                costs = per_operation(program, [way, job, str(batch)], batch)
                groups = by_group(program, costs)
                name = f"{way} {job} {batch}"
                figures[name] = sum(groups.values())
                if figures[name] < 1:
                    fail(f"{name}: nothing was counted")
                if job == "read":
                    parts[way, batch] = groups
    return figures, parts


def show(figures: dict[str, float], parts: dict[tuple[str, int], Counts]) -> None:
    print("Instructions of an operation, the program's own loop subtracted\n")
    print(f"{'batch':<22}" + "".join(f"{batch:>10}" for batch in BATCHES))
    for job in JOBS:
        for way, name in WAYS.items():
            cells = "".join(f"{figures[f'{way} {job} {batch}']:>10.1f}" for batch in BATCHES)
            print(f"{name:<22}{cells}  {JOB_NAMES[job]}")
    for way in ("start", "run"):
        print(f"\nWhat {WAYS[way]} of a read are made of, by the functions of the source\n")
        for group in [*GROUPS, REST]:
            cells = "".join(f"{parts[way, batch][group]:>10.1f}" for batch in BATCHES)
            print(f"{group:<66}{cells}")


def read_figures(path: Path) -> dict[str, float]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name: float(number) for name, number in (line.rsplit(" ", 1) for line in lines)}


def write_figures(path: Path, figures: dict[str, float]) -> None:
    lines = [f"{name} {figures[name]:.1f}\n" for name in figures if not name.startswith("libaio")]
    path.write_text(
        "# Instructions of an operation (way, job, batch): gcc 12, x86-64. At most 3 % more is let\n"
        "# through. Written by `tools/cost.py --renew tests/safe/cost.txt`.\n" + "".join(lines))


def check(path: Path, figures: dict[str, float]) -> bool:
    limits = read_figures(path)
    own = {name for name in figures if not name.startswith("libaio")}
    is_good = limits.keys() == own
    if not is_good:
        print(f"\nFAIL {path} has other lines than {', '.join(sorted(own))}")
    for name in sorted(limits.keys() & own):
        if figures[name] > limits[name] * ALLOWED:
            print(f"\nFAIL {name}: {figures[name]:.1f}, {limits[name]:.1f} were committed")
            is_good = False
    if not is_good:
        print("Make it cheaper; or, when it is worth it, tools/cost.py --renew tests/safe/cost.txt")
    return is_good


def build() -> str:
    subprocess.run(["./tools/bazel", "build", "//tests/safe:cost"], cwd=ROOT, check=True)
    return str(ROOT / "bazel-bin/tests/safe/cost")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", help="//tests/safe:cost, built")
    parser.add_argument("--check", type=Path, metavar="FILE")
    parser.add_argument("--renew", type=Path, metavar="FILE")
    parser.add_argument("--count", nargs=argparse.REMAINDER, metavar="BATCH PROGRAM ARGUMENT")
    options = parser.parse_args()
    if options.count is not None:
        batch, program, *arguments = options.count
        total = sum(per_operation(program, arguments, int(batch)).values())
        print(round(100 * total))  # hundredths
        return 0
    figures, parts = measure(options.program or build())
    show(figures, parts)
    if options.renew:
        write_figures(options.renew, figures)
    return 0 if options.check is None or check(options.check, figures) else 1


if __name__ == "__main__":
    sys.exit(main())
