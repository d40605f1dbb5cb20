#!/bin/bash
# readme_test.sh SAFE-EXAMPLE RAW-EXAMPLE CPP-EXAMPLE: the programs of README.md print what it says they do.
set -euo pipefail
input=$TEST_TMPDIR/input
head -c 10000 /dev/zero >"$input"

expect() {
  if [ "$1" != "$2" ]; then
    printf 'wanted: %s\nfound:  %s\n' "$2" "$1"
    exit 1
  fi
}
expect "$("$1" "$input")" "request 7: read full: 4096 of 4096 bytes at offset 0"
expect "$("$2" "$input")" "request 7: 4096 bytes"
expect "$("$3" "$input")" "request 7: read full: 4096 of 4096 bytes at offset 0"
if "$1" "$TEST_TMPDIR/missing"; then
  echo "the safe example succeeds without its file"
  exit 1
fi
