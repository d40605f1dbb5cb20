#!/bin/bash
# cost_test.sh COST_PY PROGRAM FIGURES: an operation costs no more instructions than were committed,
# and a batch no more system calls than were promised. Counted: exact, whatever the machine does.
set -u
export LC_ALL=C
# shellcheck source=tests/abi/cases.sh
. tests/abi/cases.sh
SUITE=CostTest
cost_py=$1 program=$2 figures=$3
rounds=100

# ---- instructions ----

if output=$(python3 "$cost_py" --program "$program" --check "$figures" 2>&1); then
  case_passed InstructionsAreThoseThatWereCommitted
else
  case_failed InstructionsAreThoseThatWereCommitted "$output"
fi
echo "$output"

# ---- system calls ----

# calls WAY JOB: a line `count name` for each system call of `rounds` batches of 32, from the first
# io_submit on and without the program's own.
calls() {
  strace -o "$TEST_TMPDIR/log" "$program" "$1" "$2" 32 "$rounds" || return
  sed -n '/^io_submit/,/^close/ s/^\([a-z_0-9]*\)(.*/\1/p' "$TEST_TMPDIR/log" |
    grep -Ev '^(timerfd_settime|close)$' | sort | uniq -c
}

# expect CASE WAY JOB CALL...: one io_submit a batch, at most one of each CALL, and no other call.
expect() {
  local name=$1 found excess
  if [ -n "$why_not" ]; then
    case_skipped "$name" "$why_not"
    return
  fi
  found=$(calls "$2" "$3")
  shift 3
  excess=$(awk -v rounds="$rounds" -v others="$*" '
    BEGIN { split(others, list, " "); for (i in list) may[list[i]] = 1 }
    $2 == "io_submit" { submits = $1; next }
    !($2 in may) || $1 > rounds { print }
    END { if (submits != rounds) print submits + 0, "io_submit" }' <<<"$found")
  if [ -z "$excess" ]; then
    case_passed "$name"
  else
    case_failed "$name" "$rounds batches made these calls: $found"
  fi
}

why_not=''
if ! command -v strace >/dev/null; then
  why_not='strace is not installed: apt-get install strace'
elif ! refusal=$(strace -o /dev/null true 2>&1); then
  why_not="tracing is not allowed here: $refusal"
fi
expect ABatchThatCompletesAtOnceIsOneSystemCall start read
expect ARunsBatchThatCompletesAtOnceIsOneSystemCall run read
expect ABatchThatDoesNotIsTwo start poll io_getevents
expect LoweringAnEventfdIsOneMore eventfd read read
expect ABatchThatDoesNotIsThreeWithAnEventfd eventfd poll io_getevents read
end_cases
