#!/bin/bash
# compile_fail.sh fail|pass EXPECT COMPILER,... LEVEL,... FLAGS SRC...
#
# fail: SRC compiles with -DOK, and without it fails with a diagnostic that matches EXPECT.
# pass: each SRC compiles. Both with each compiler at each level, under -Wall -Wextra -Werror.
# A SRC that is a header is compiled as the only include of a source: it has to stand alone.
# Real compilation: -fsyntax-only would miss what later passes find, unused results among it.
set -u
export LC_ALL=C # the compilers' quotes are plain ones, so that a regex can name them

mode=$1 expect=$2
IFS=, read -ra compilers <<<"$3"
IFS=, read -ra levels <<<"$4"
read -ra flags <<<"$5"
shift 5
object=$TEST_TMPDIR/out.o
checked=0 failed=0

# The tree that Bazel's include_prefix makes.
make_include_tree() {
  mkdir -p "$TEST_TMPDIR/include/kaio"
  ln -s "$PWD/raw" "$PWD/safe" "$TEST_TMPDIR/include/kaio/"
}

report() {
  echo "FAIL $compiler $level $src: $1"
  [ $# -lt 2 ] || printf '%s\n' "$2"
  failed=$((failed + 1))
}

language() {
  case $compiler:$source in
    *++:*.c) echo "-x c++ -std=c++17" ;;
    *:*.c) echo "-std=c11" ;;
    *) echo "-std=c++17" ;;
  esac
}

# What is compiled for $src.
source_of_src() {
  case $src in
    *.h) source=$TEST_TMPDIR/alone.c ;;
    *.hpp) source=$TEST_TMPDIR/alone.cc ;;
    *) source=$src && return ;;
  esac
  echo "#include \"kaio/$src\"" >"$source"
}

# With -flto gcc leaves the optimiser's diagnostics to the link, so a partial one is done.
late_passes() {
  [[ $compiler == g* && $level == *-flto* ]] || return 0
  # shellcheck disable=SC2086 # a list of words
  "$compiler" $level -r -nostdlib -flinker-output=nolto-rel -o "$object.2" "$object"
}

compile() {
  # shellcheck disable=SC2046,SC2086 # lists of words
  "$compiler" -Wall -Wextra $level $(language) "${flags[@]}" "$@" \
    -I"$TEST_TMPDIR/include" -c -o "$object" "$source" 2>&1 &&
    late_passes 2>&1
}

check_pass() {
  local out
  out=$(compile "$@") || report "the correct program does not compile:" "$out"
}

check_fail() {
  local out
  check_pass -DOK
  if out=$(compile); then
    report "the misuse compiles"
  elif ! grep -Eq -- "$expect" <<<"$out"; then
    report "no diagnostic matches: $expect" "$out"
  fi
}

has_compiler() {
  command -v "$compiler" >/dev/null && return
  echo "FAIL $compiler is not installed: apt-get install ${compiler%++}"
  failed=$((failed + 1))
  return 1
}

make_include_tree
for compiler in "${compilers[@]}"; do
  has_compiler || continue
  for level in "${levels[@]}"; do
    for src; do
      source_of_src
      "check_$mode"
      checked=$((checked + 1))
    done
  done
done
echo "$checked checked, $failed failed"
((checked > 0 && failed == 0))
