#!/bin/bash
# cost_test.sh COST_PY PROGRAM: what the C++ layer adds to an operation of the C layer: nothing to a
# call, a look at each owner that is filled or assigned to. Counted by callgrind: exact.
set -u
cost_py=$1 program=$2
failed=0

# count WAY BATCH: instructions of an operation, in hundredths.
count() {
  python3 "$cost_py" --count "$2" "$program" "$1" "$2"
}

# check C CPP BATCH LIMIT: CPP costs at most LIMIT instructions more than C.
check() {
  local c cpp
  c=$(count "$1" "$3") && cpp=$(count "$2" "$3") || failed=1
  echo "batch $3: $1 $c, $2 $cpp, limit $4 more (1/100 instructions for each operation)"
  if ((c < 10000 || cpp < 10000)); then
    echo "FAIL nothing was counted"
    failed=1
  elif ((cpp - c > $4 * 100)); then
    echo "FAIL $2 costs more than $4 instructions above $1"
    failed=1
  fi
}

check c cpp 1 23
check c cpp 32 15
check c-run cpp-run 1 30
check c-run cpp-run 32 16
exit "$failed"
