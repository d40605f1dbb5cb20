#!/bin/bash
# hardening_test.sh PROGRAM: how the linker and the compiler were told to build the tools.
set -u
export LC_ALL=C
# shellcheck source=tests/abi/cases.sh
. tests/abi/cases.sh
# shellcheck disable=SC2034 # of cases.sh
SUITE=HardeningTest

expect IsPositionIndependent 0 'Type: +DYN' readelf -hW "$1"
expect HasNoExecutableStack 0 'GNU_STACK.* RW ' readelf -lW "$1"
expect HasReadOnlyRelocations 0 'GNU_RELRO' readelf -lW "$1"
expect IsBoundAtItsStart 0 'BIND_NOW|Flags: .*NOW' readelf -dW "$1"
expect GuardsItsStack 0 '__stack_chk_fail' readelf --dyn-syms -W "$1"
end_cases
