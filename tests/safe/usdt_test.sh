#!/bin/bash
# usdt_test.sh WITH WITHOUT: the probes of a program that was built with them, and of one without.
set -u
export LC_ALL=C
# shellcheck disable=SC2034 # of cases.sh
SUITE=UsdtTest
# shellcheck source=tests/abi/cases.sh
. tests/abi/cases.sh

# probes PROGRAM: name and arguments of each kind of probe, once.
probes() {
  readelf -n "$1" | awk '
    /Provider: kaio/ { is_ours = 1 }
    is_ours && /Name:/ { name = $2 }
    is_ours && /Arguments:/ { print name, NF - 1; is_ours = 0 }' | sort -u
}

# Arguments as "SIZE@PLACE", where PLACE may have blanks in other syntaxes, never in this one.
expect EachProbeHasItsThreeArguments 0 '^complete 3 stall 3 submit 3 $' \
  bash -c "$(declare -f probes); probes $1 | tr '\n' ' '"
expect WithoutThereAreNone 0 '^none$' \
  bash -c "$(declare -f probes); probes $2 | grep . || echo none"
expect ItDoesTheSame 0 '' "$1" start read 4 10
end_cases
