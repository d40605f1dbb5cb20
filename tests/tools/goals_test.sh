#!/bin/bash
# goals_test.sh GOALS_PY: what the table of goals says of figures that are known.
set -u
export LC_ALL=C.UTF-8
# shellcheck source=tests/abi/cases.sh
. tests/abi/cases.sh
SUITE=GoalsTest
goals_py=$1
folder=$TEST_TMPDIR/reports
mkdir -p "$folder"

# Two processes: 2.10 and 2.30 times libaio at depth 1; in the second the control of noop-4 is off.
python3 - "$folder" <<'PYTHON'
import json
import sys


def peer(name, times):
    speed = 210.0 / times[1]
    return {"peer": name, "cpu_ns": times, "wall_ns": times, "latency": None,
            "speed": [speed, speed, speed]}


def report(ours, noop4_counts):
    def row(name, counts, peers):
        return {"row": name, "clock": "cpu", "margin": 0.03,
                "attempts": [{"control": 1.5, "counts": False, "peers": []},
                             {"control": 1.01, "counts": counts, "peers": peers}]}
    libaio, raw = peer("libaio", [210.0, 210.0, 230.0]), peer("raw", [90.0] * 3)
    return {"rows": [
        row("noop-1", True, [libaio, raw, peer("run loop", ours),
                             {"peer": "start+take", "cannot": "not here"}]),
        row("noop-4", noop4_counts, [libaio, raw, peer("run loop", ours)])]}


for number, (ours, counts) in enumerate([([100.0] * 3, True), ([91.3, 91.3, 100.0], False)]):
    with open(f"{sys.argv[1]}/bench_{number}.json", "w") as file:
        json.dump(report(ours, counts), file)
PYTHON

table=$(python3 "$goals_py" --read="$folder")

# expect_line CASE LINE: the table has it.
expect_line() {
  if grep -qxF -- "$2" <<<"$table"; then
    case_passed "$1"
  else
    case_failed "$1" "not in the table: $2: $table"
  fi
}

expect_line AGoalIsMetByTheMedianOfTheProcesses \
  '| G3 | run loop to libaio, noop-1 | ≥ 2.00 | **2.20** (2.10 to 2.30) | 1.010 to 1.010, ± 0.03 | 2 of 2 | met |'
expect_line AGoalThatIsMissedIsSaidToBeSo \
  '| G7 | run loop to raw, noop-1 | ≥ 0.95 | **0.94** (0.90 to 0.99) | 1.010 to 1.010, ± 0.03 | 2 of 2 | MISSED |'
expect_line AProcessWhoseControlIsOffDoesNotCount \
  '| G5 | run loop to libaio, noop-4 | ≥ 1.15 | **2.10** (2.10 to 2.10) | 1.010 to 1.010, ± 0.03 | 1 of 2 | met |'
expect_line APeerThatIsMissingIsNotMeasured \
  '| G3 | start+take to libaio, noop-1 | ≥ 1.50 | not measured | | | |'

expect_line TheSpeedsAreThoseOfProcessesThatCount \
  '| noop-1 | 210 | 2.33 |  | 2.20 |  |  |  |  |  |'

printf 'before\n<!-- goals: begin -->\nold\n<!-- goals: end -->\n<!-- speeds: begin --><!-- speeds: end -->\nafter\n' >"$TEST_TMPDIR/document.md"
python3 "$goals_py" --read="$folder" --write="$TEST_TMPDIR/document.md" >/dev/null
if [ "$(head -n 2 "$TEST_TMPDIR/document.md")" = $'before\n<!-- goals: begin -->' ] &&
  [ "$(tail -n 2 "$TEST_TMPDIR/document.md")" = $'<!-- speeds: end -->\nafter' ] &&
  grep -q '2.20' "$TEST_TMPDIR/document.md" && ! grep -qx old "$TEST_TMPDIR/document.md"; then
  case_passed TheTableGoesBetweenTheMarksOfADocument
else
  case_failed TheTableGoesBetweenTheMarksOfADocument "$(cat "$TEST_TMPDIR/document.md")"
fi

if output=$(python3 "$goals_py" --read="$TEST_TMPDIR/nothing" 2>&1); then
  case_failed NothingToReadIsAnError "$output"
else
  case_passed NothingToReadIsAnError
fi
end_cases
