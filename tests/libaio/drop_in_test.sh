#!/bin/bash
# drop_in_test.sh LIBRARY HEADER PROGRAM_C: our libaio.so.1 beside the system's.
set -u
export LC_ALL=C
# shellcheck source=tests/abi/cases.sh
. tests/abi/cases.sh
# shellcheck disable=SC2034 # of cases.sh
SUITE=DropInTest

ours=$PWD/$1 header=$PWD/$2 program=$PWD/$3
theirs=$(gcc -print-file-name=libaio.so)
theirs=$(readlink -f "$theirs")
their_header=/usr/include/libaio.h

# exported LIBRARY: names with their versions, which is the default one, and how they are bound.
exported() {
  readelf --dyn-syms -W "$1" |
    awk '$7 != "UND" && $1 ~ /^[0-9]+:$/ && $8 != "" { print $4, $5, $6, $8 }' | sort
}

# versions LIBRARY: the version nodes, their numbers and their parents.
versions() {
  readelf -VW "$1" | sed -n '/gnu.version_d/,/^$/p' |
    sed -nE 's/^ *(0x)?[0-9a-f]+: +(Rev|Parent)/\2/p'
}

soname() {
  readelf -dW "$1" | sed -nE 's/.*SONAME.*\[(.*)\]/\1/p'
}

# same CASE COMMAND: its output for the two libraries.
same() {
  local found wanted
  found=$("$2" "$ours") wanted=$("$2" "$theirs")
  if [ -n "$wanted" ] && [ "$found" = "$wanted" ]; then
    case_passed "$1"
  else
    case_failed "$1" "ours: $found"$'\n'"the system's: $wanted"
  fi
}

same ExportsTheSameNamesVersionsAndBindings exported
same HasTheSameVersionNodes versions
same HasTheSameSoname soname

# Nothing runs before it is called, and nothing but libc is needed.
dynamic=$(readelf -dW "$ours")
if grep -Eq '\((INIT|FINI|INIT_ARRAY|FINI_ARRAY|PREINIT_ARRAY|TEXTREL)\)' <<<"$dynamic"; then
  case_failed HasNoConstructor "$dynamic"
else
  case_passed HasNoConstructor
fi
needed=$(sed -nE 's/.*NEEDED.*\[(.*)\]/\1/p' <<<"$dynamic")
if [ "$needed" = libc.so.6 ]; then
  case_passed NeedsLibcAlone
else
  case_failed NeedsLibcAlone "$needed"
fi
allocators=$(readelf --dyn-syms -W "$ours" | grep -E ' (malloc|calloc|realloc|mmap|pthread_atfork|__register_atfork)(@|$)')
if [ -z "$allocators" ]; then
  case_passed AllocatesNothing
else
  case_failed AllocatesNothing "$allocators"
fi

# The name since Debian 13 and Ubuntu 24.04.
if cmp -s "$ours" "${ours}t64"; then
  case_passed TheNewNameIsTheSameObject
else
  case_failed TheNewNameIsTheSameObject "${ours}t64 differs"
fi

# Programs of either header, linked to either library, run with either.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{ours,theirs}/{include,lib}
ln -s "$header" "$work/ours/include/libaio.h"
ln -s "$their_header" "$work/theirs/include/libaio.h"
for side in ours theirs; do
  ln -s "${!side}" "$work/$side/lib/libaio.so.1"
  ln -s libaio.so.1 "$work/$side/lib/libaio.so"
done

# build HEADER LINKED: the program's path.
build() {
  gcc -std=gnu11 -Wall -Wextra -Werror -O1 -I"$work/$1/include" "$program" \
    -L"$work/$2/lib" -laio -ldl -o "$work/$1-$2"
}

# loaded LIBRARY PROGRAM: whether the program finds it.
loaded() {
  LD_LIBRARY_PATH=$work/$1/lib LD_TRACE_LOADED_OBJECTS=1 "$2" | grep -qF "$work/$1/lib/libaio.so.1"
}

wanted=''
for header_of in ours theirs; do
  for linked_to in ours theirs; do
    if ! out=$(build $header_of $linked_to 2>&1); then
      case_failed "Header_${header_of}_linked_to_$linked_to" "$out"
      continue
    fi
    for run_with in ours theirs; do
      name=Header_${header_of}_linked_to_${linked_to}_runs_with_$run_with
      out=$(LD_LIBRARY_PATH=$work/$run_with/lib "$work/$header_of-$linked_to" "$work/file" 2>&1)
      status=$?
      wanted=${wanted:-$out}
      if loaded $run_with "$work/$header_of-$linked_to" && ((status == 0)) &&
        [ "$out" = "$wanted" ]; then
        case_passed "$name"
      else
        case_failed "$name" "exit status $status: $out"$'\n'"wanted: $wanted"
      fi
    done
  done
done

# What a program is bound to at its next start must not depend on the library it was linked to.
needs() {
  readelf --dyn-syms -W "$work/ours-$1" | awk '$8 ~ /^io_/ { print $8 }' | sort
}
if [ -n "$(needs ours)" ] && [ "$(needs ours)" = "$(needs theirs)" ]; then
  case_passed ProgramsAskForTheSameVersions
else
  case_failed ProgramsAskForTheSameVersions "$(needs ours)"$'\n'"$(needs theirs)"
fi

end_cases
