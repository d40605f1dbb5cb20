#!/bin/bash
# cost_test.sh COST_PY PROGRAM: submit and reap of one no-op read through //raw is one system call, and costs
# no more instructions than the limits below. Counted: exact, whatever the machine does.
set -u
cost_py=$1 program=$2
failed=0
log=$TEST_TMPDIR/log

fail() {
  echo "FAIL $*"
  failed=1
}

for tool in valgrind strace; do
  if ! command -v "$tool" >/dev/null; then
    echo "$tool is not installed: apt-get install $tool"
    exit 1
  fi
done

# instructions WAY BATCH: per operation, in hundredths.
instructions() {
  python3 "$cost_py" --count "$2" "$program" "$1" "$2" || fail "$1 $2"
}

# check BATCH LIMIT MORE: without the harness, in hundredths of an instruction for each operation;
# the same written by hand may cost MORE less: gcc 12 stores the parts of a request that is returned
# by value one by one, clang does not (there raw is the cheaper one).
check() {
  local none hand raw
  none=$(instructions none "$1") hand=$(instructions hand "$1") raw=$(instructions raw "$1")
  echo "batch $1: harness $none, by hand $((hand - none)), raw $((raw - none)), limit $2" \
    "(1/100 instructions for each operation)"
  ((raw > none && hand > none)) || fail "nothing was counted"
  ((raw - none <= $2)) || fail "batch $1 costs more than $2"
  ((raw <= hand + $3)) || fail "batch $1 costs more than by hand"
}

check 1 8800 400
check 32 2700 210

strace -o "$log" "$program" raw 1 100 || fail "raw 1 100 under strace"
submits=$(grep -c '^io_submit' "$log") waits=$(grep -Ec '^io_p?getevents' "$log")
after=$(awk '/^io_setup/ { on = 1; next } /^io_destroy/ { on = 0 } on' "$log" | wc -l)
echo "100 operations: $submits io_submit, $waits io_getevents, $((after - submits)) others"
((submits == 100 && waits == 0)) || fail "not one system call an operation"
((after - submits == 1)) || fail "more than the one mincore of kaio_raw_ring_validate"
exit "$failed"
