#!/bin/bash
# valgrind_test.sh PROGRAM: valgrind_take under memcheck: what arrived is defined, and nothing else.
set -u
export LC_ALL=C
# shellcheck source=tests/abi/cases.sh
. tests/abi/cases.sh
SUITE=SafeValgrindTest
program=$1
errors=9

# expect CASE STATUS TEXT COMMAND...: its exit status, and what its output has to match.
expect() {
  local name=$1 status=$2 text=$3 output found
  shift 3
  output=$("$@" 2>&1)
  found=$?
  if ((found == status)) && grep -Eq -- "$text" <<<"$output"; then
    case_passed "$name"
  else
    case_failed "$name" "exit status $found, wanted $status, and output like '$text': $output"
  fi
}

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
