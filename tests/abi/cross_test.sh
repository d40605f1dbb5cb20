#!/bin/bash
# cross_test.sh PROGRAM PACKAGES [RUNNER]: runs what cross_build.sh built, itself or under RUNNER.
#
# GoogleTest writes its cases where Bazel looks for them. What cannot run is one skipped case: it
# was not built, or this kernel has no 32-bit programs (CONFIG_IA32_EMULATION, or switched off).
set -u
# shellcheck source=tests/abi/cases.sh
. tests/abi/cases.sh

program=$1 packages=$2 runner=${3:-}
# shellcheck disable=SC2034 # of cases.sh
SUITE=CrossTest

# skip CASE REASON
skip() {
  case_skipped "$1" "$2"
  end_cases
  exit
}

skip_uninstalled() {
  skip RunsAsAProgramOfItsArchitecture "$1: apt-get install --no-install-recommends $packages"
}

if [ "$(head -c4 "$program" | tail -c3)" != ELF ]; then
  skip_uninstalled "$(cat "$program")"
elif [ -n "$runner" ] && ! command -v "$runner" >/dev/null; then
  skip_uninstalled "$runner is not installed"
fi
if [ -z "$runner" ] && [ -x "$program" ]; then
  why=$("$program" --gtest_list_tests 2>&1 >/dev/null)
  if [ $? = 126 ]; then # execve: ENOEXEC
    skip RunsWhereTheKernelRunsItsPrograms "this kernel cannot execute it: $why"
  fi
fi
# shellcheck disable=SC2086 # no runner is no word
exec $runner "$program"
