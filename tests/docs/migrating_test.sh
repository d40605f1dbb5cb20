#!/bin/bash
# migrating_test.sh BIND LOOP...: the programs of docs/MIGRATING.md do the same, and do it right.
set -euo pipefail
page=docs/MIGRATING.md
bind=$1
shift

fail() {
  echo "FAIL $*"
  exit 1
}

expect() {
  [ "$1" = "$2" ] || fail "wanted: $2; found: $1"
}

# Each block is built: see BUILD for their number, and for those in Python here.
expect "$(grep -c '^```c$' "$page")" 5
expect "$(grep -c '^```python$' "$page")" 2
awk '/^```python$/ { on = 1; next } /^```/ { on = 0 } on' "$page" |
  python3 -c 'import ast, sys; ast.parse(sys.stdin.read())'

# Larger than all that is in flight at first, and not a multiple of a block: ends short, then ends.
input=$TEST_TMPDIR/input
yes 'a line of the input' | head -c 1234567 >"$input" || true
expect "$(stat -c %s "$input")" 1234567
sum=$(python3 -c 'import sys; print(sum(open(sys.argv[1], "rb").read()))' "$input")
for loop in "$@"; do
  expect "$("$loop" "$input")" "sum $sum"
  expect "$("$loop" /dev/null)" "sum 0"
  if "$loop" "$TEST_TMPDIR"; then
    fail "$loop reads a folder"
  fi
  if "$loop" "$TEST_TMPDIR/missing"; then
    fail "$loop reads what is not there"
  fi
done

expect "$("$bind" <"$input")" "4096 a lin"
if "$bind" <"$TEST_TMPDIR"; then
  fail "$bind reads a folder"
fi
