#!/bin/bash
# mutate_test.sh MUTATE_PY: which mutants tools/mutate.py makes of a file, and which it accepts.
set -u
export LC_ALL=C
# shellcheck source=tests/abi/cases.sh
. tests/abi/cases.sh
# shellcheck disable=SC2034 # of cases.sh
SUITE=MutateTest

mkdir "$TEST_TMPDIR/safe"
cat >"$TEST_TMPDIR/safe/sample.c" <<'C'
#include "sample.h"
// if (a < b) {
static bool is_in(struct place *place, uint32_t count) {
    assert(count < 10);
    uint32_t left = count + 1;
    if (place == NULL || left > count) {
        return false;
    }
    place->count = left;
    (void)give(place);
    ++place->uses;
    return true;
}
C
cat >"$TEST_TMPDIR/mutants.txt" <<'T'
# a comment

safe/sample.c
++place->uses;
;
Nobody reads it.

safe/sample.c
half a row
T

# ask EXPRESSION: python's answer, with the module as `m`.
ask() {
  python3 - "$1" "$TEST_TMPDIR" "$2" <<'P'
import importlib.util
import pathlib
import sys

spec = importlib.util.spec_from_file_location("mutate", sys.argv[1])
m = importlib.util.module_from_spec(spec)
spec.loader.exec_module(m)
m.ROOT = pathlib.Path(sys.argv[2])
m.ACCEPTED = m.ROOT / "mutants.txt"
print(eval(sys.argv[3]))
P
}

mutants="'\n'.join(f'{x.number + 1}: {x.after.strip()}' for x in m.mutants_of('safe/sample.c'))"
wanted='5: uint32_t left = count - 1;
6: if (0 != 0 && (place == NULL || left > count)) {
6: if (0 == 0 || (place == NULL || left > count)) {
6: if (place == NULL || left >= count) {
6: if (place == NULL || left <= count) {
6: if (place != NULL || left > count) {
6: if (place == NULL && left > count) {
7: return true;
9: ;
10: ;
11: ;
11: --place->uses;
12: return false;'
found=$(ask "$1" "$mutants")
if [ "$found" = "$wanted" ]; then
  case_passed EveryGuardBoundaryAndStatementIsChangedOnce
else
  case_failed EveryGuardBoundaryAndStatementIsChangedOnce "$found"
fi

expect ARowOfFourLinesIsAccepted 0 "^{\('safe/sample.c', '\+\+place->uses;', ';'\)}$" \
  ask "$1" "m.accepted()"
expect TheNarrowestTestsAreTaken 0 "^\['//tests/libaio:" ask "$1" "m.tests_of('raw/libaio/x.c')"
expect AFileWithoutTestsHasNone 0 "^None$" ask "$1" "m.tests_of('docs/x.c')"

end_cases
