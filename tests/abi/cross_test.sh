#!/bin/bash
# cross_test.sh PROGRAM PACKAGES [RUNNER]: runs what cross_build.sh built, itself or under RUNNER.
#
# GoogleTest writes its cases where Bazel looks for them. What cannot run is one skipped case.
set -u
# shellcheck source=tests/abi/cases.sh
. tests/abi/cases.sh

program=$1 packages=$2 runner=${3:-}
# shellcheck disable=SC2034 # of cases.sh
SUITE=CrossTest

skip() {
  case_skipped RunsAsAProgramOfItsArchitecture "$1: apt-get install --no-install-recommends $packages"
  end_cases
  exit
}

if [ "$(head -c4 "$program" | tail -c3)" != ELF ]; then
  skip "$(cat "$program")"
elif [ -n "$runner" ] && ! command -v "$runner" >/dev/null; then
  skip "$runner is not installed"
fi
# shellcheck disable=SC2086 # no runner is no word
exec $runner "$program"
