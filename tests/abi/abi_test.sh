#!/bin/bash
# abi_test.sh ROW SRC...: compiles each SRC for one architecture, a ROW of architectures.bzl.
#
# A test case for each SRC; skipped where the compiler or its headers are not installed.
set -u
export LC_ALL=C
# shellcheck source=tests/abi/cases.sh
. tests/abi/cases.sh

read -r name bits order context align sigset setup destroy getevents submit cancel pgetevents \
  time64 compiler packages flags <<<"$1"
shift
SUITE=AbiTest
include=$TEST_TMPDIR/include
install="apt-get install --no-install-recommends ${packages//,/ }"

# The tree that Bazel's include_prefix makes; and a file of libc's that only the default ABI has.
make_include_tree() {
  mkdir -p "$include/kaio" "$include/gnu"
  ln -s "$PWD/raw" "$include/kaio/"
  : >"$include/gnu/stubs.h"
}

# define NAME NUMBER: nothing where there is no such call.
define() {
  [ "$2" = - ] || defines+=("-DTABLE_$1=($2)")
}

define_table() {
  defines=()
  define BITS "$bits"
  define BIG_ENDIAN "$([ "$order" = big ] && echo 1 || echo 0)"
  define CONTEXT "$context"
  define ALIGN "$align"
  define SIGSET "$sigset"
  define SETUP "$setup"
  define DESTROY "$destroy"
  define GETEVENTS "$getevents"
  define SUBMIT "$submit"
  define CANCEL "$cancel"
  define PGETEVENTS "$pgetevents"
  define TIME64 "$time64"
}

# compile ARGUMENT...: an object file, so that the assembler is asked too. calls.c needs -O1.
compile() {
  # shellcheck disable=SC2086 # a list of words
  "$compiler" $flags -std=c11 -O1 -Wall -Wextra -Werror "${defines[@]}" -I"$include" \
    -c -o "$TEST_TMPDIR/out.o" "$@" 2>&1
}

# compile_both SRC: the assembly is the same with our libaio.h and with the system's. Of mipsn32 that
# one believes that pointers have 8 bytes, and gives iocbs of 56, which no kernel understands.
compile_both() {
  local header fix=
  [ "$name" != mipsn32 ] || fix=-U__mips64
  for header in "$PWD/raw/libaio/libaio.h" /usr/include/libaio.h; do
    # shellcheck disable=SC2086 # a list of words
    "$compiler" $flags $fix -std=gnu11 -O1 -fno-asynchronous-unwind-tables -w \
      -I"$include" -DLIBAIO_HEADER="\"$header\"" -S -o - "$1" 2>&1 |
      sed -n '/^layout:/,/\.size/p' >"$TEST_TMPDIR/$(basename "${header%/*}").s"
  done
  [ -s "$TEST_TMPDIR/libaio.s" ] && diff "$TEST_TMPDIR/libaio.s" "$TEST_TMPDIR/include.s"
}

# why_not: the reason why nothing can be compiled for this architecture; empty if it can.
why_not() {
  if ! command -v "$compiler" >/dev/null; then
    echo "$compiler is not installed: $install"
  elif ! compile -E -x c - <<<'#include <linux/aio_abi.h>
#include <sys/uio.h>' >/dev/null; then
    echo "the headers of $compiler are not installed: $install"
  fi
}

case_name() {
  case $1 in
    */layout.c) echo StructuresAreTheKernels ;;
    */numbers.c) echo NumbersAreTheKernels ;;
    */calls.c) echo EachFunctionMakesItsOwnSystemCall ;;
    */every_function.c) echo EveryFunctionCompilesWithoutAWarning ;;
    */libaio_layout.c) echo LibaiosStructuresAreTheSystems ;;
    */libaio.c) echo LibaioCompilesWithoutAWarning ;;
    */contexts.c) echo LibaiosContextsCompileWithoutAWarning ;;
    *) echo "no name for $1" >&2 && exit 1 ;;
  esac
}

# check SRC
check() {
  case $1 in
    */libaio_layout.c) compile_both "$1" ;;
    raw/libaio/*) compile -fsyntax-only "$1" ;; # of loongarch32 clang knows no atomics
    *) compile "$1" ;;
  esac
}

make_include_tree
define_table
reason=$(why_not)
for src; do
  test_case=$(case_name "$src")
  if [ -n "$reason" ]; then
    case_skipped "$test_case" "$name: $reason"
  elif out=$(check "$src"); then
    case_passed "$test_case"
  else
    case_failed "$test_case" "$name: $out"
  fi
done
end_cases
