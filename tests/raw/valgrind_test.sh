#!/bin/bash
# valgrind_test.sh MARKED UNMARKED: valgrind_reap under memcheck, as it is and with -DNVALGRIND.
set -u
export LC_ALL=C
# shellcheck source=tests/abi/cases.sh
. tests/abi/cases.sh
SUITE=ValgrindTest
marked=$1 unmarked=$2
errors=9

# why_not: the reason why memcheck cannot be asked; empty if it can.
why_not() {
  if ! command -v valgrind >/dev/null; then
    echo "valgrind is not installed: apt-get install --no-install-recommends valgrind"
  elif "$marked"; [ $? -eq 3 ]; then
    echo "built without <valgrind/memcheck.h>: apt-get install --no-install-recommends valgrind"
  fi
}

memcheck=(valgrind -q --vgdb=no --error-exitcode="$errors")
reason=$(why_not)
if [ -n "$reason" ]; then
  case_skipped MarkedRingIsReadWithoutAnError "$reason"
  case_skipped UnmarkedRingIsReadWithErrors "$reason"
else
  expect MarkedRingIsReadWithoutAnError 0 '' "${memcheck[@]}" "$marked"
  expect UnmarkedRingIsReadWithErrors "$errors" 'Invalid read of size' "${memcheck[@]}" "$unmarked"
fi
expect ProgramRunsAlone 0 '' "$unmarked"
end_cases
