#!/bin/bash
# valgrind_test.sh PROGRAM: valgrind_take under memcheck: what arrived is defined, and nothing else.
set -u
export LC_ALL=C
# shellcheck source=tests/abi/cases.sh
. tests/abi/cases.sh
SUITE=SafeValgrindTest
program=$1
errors=9

memcheck=(valgrind -q --vgdb=no --error-exitcode="$errors" "$program")
if ! command -v valgrind >/dev/null; then
  reason="valgrind is not installed: apt-get install --no-install-recommends valgrind"
  case_skipped WhatArrivedIsDefined "$reason"
  case_skipped WhatIsInFrontIsNot "$reason"
  case_skipped WhatIsBehindIsNot "$reason"
else
  undefined='depends on uninitialised value'
  expect WhatArrivedIsDefined 0 '^$' "${memcheck[@]}"
  expect WhatIsInFrontIsNot "$errors" "$undefined" "${memcheck[@]}" before
  expect WhatIsBehindIsNot "$errors" "$undefined" "${memcheck[@]}" behind
fi
expect ProgramRunsAlone 0 '^$' "$program"
end_cases
