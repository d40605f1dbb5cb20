#!/bin/bash
# cross_build.sh CXX GTEST_ALL_CC OUT FLAGS FILE...
#
# Compiles the .c and .cc FILEs to OUT: an archive if it ends in .a, else a static program, with
# the .a FILEs in their order and //raw. Where CXX is not installed, OUT is one line of text that says so:
# cross_test.sh shows it.
set -eu
export LC_ALL=C

cxx=$1 gtest_all=$2 out=$3
read -ra flags <<<"$4"
shift 4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Without a libc for it a compiler is of no use.
can_link() {
  command -v "$cxx" && "$cxx" -static -x c++ -o "$work/empty" - <<<'int main() {}'
}

if ! can_link >/dev/null 2>&1; then
  echo "$cxx is not installed, or not with its libraries" >"$out"
  exit
fi

# The tree that Bazel's include_prefix makes.
mkdir -p "$work/include/kaio"
ln -s "$PWD/raw" "$PWD/safe" "$work/include/kaio/"
gtest=${gtest_all%/src/gtest-all.cc}
flags=(-O1 -pthread "${flags[@]}" -I"$work/include" -I. -isystem "$gtest/include" -I"$gtest")

objects=() archives=()

# compile SRC...
compile() {
  local src
  for src; do
    objects+=("$work/${#objects[@]}.o")
    case $src in
      *.c) "${cxx%g++}gcc" -std=c11 "${flags[@]}" -c -o "${objects[-1]}" "$src" ;;
      *) "$cxx" -std=c++17 "${flags[@]}" -c -o "${objects[-1]}" "$src" ;;
    esac
  done
}

# Quiet: libc warns of GoogleTest's getaddrinfo in static programs, which no test calls.
link_program() {
  local output
  compile raw/*.c
  output=$("$cxx" -static -pthread -o "$out" "${objects[@]}" "${archives[@]}" 2>&1) || {
    printf '%s\n' "$output" >&2
    exit 1
  }
}

for file; do
  case $file in
    *.a) archives+=("$file") ;;
    *) compile "$file" ;;
  esac
done
case $out in
  *.a) "${cxx%g++}ar" rcs "$out" "${objects[@]}" ;;
  *) link_program ;;
esac
