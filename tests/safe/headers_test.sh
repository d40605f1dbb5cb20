#!/bin/bash
# headers_test.sh HEADER...: rules for public headers that no compiler checks.
set -u
failed=0

# forbid WHY FOUND: FOUND has a line for each offence.
forbid() {
  [ -z "$2" ] && return
  printf 'FAIL %s:\n%s\n' "$1" "$2"
  failed=1
}

forbid "atomics have another layout in C++" "$(grep -nE '<stdatomic[.]h>|<atomic>|_Atomic' "$@")"
forbid "what C has and C++ has not" "$(grep -nE '_Generic|_Noreturn|\brestrict\b' "$@")"
forbid "a system header inside of extern \"C\"" "$(awk '
  FNR == 1 { on = 0 }
  /^KAIO_BEGIN_DECLS/ { on = 1 }
  /^KAIO_END_DECLS/ { on = 0 }
  on && /^ *# *include/ { print FILENAME ":" FNR ": " $0 }' "$@")"
forbid "the block is not opened or not closed" "$(awk '
  function close_file() { if (opened != closed || closed > 1) print file }
  FNR == 1 { if (file != "") close_file(); file = FILENAME; opened = closed = 0 }
  /^KAIO_BEGIN_DECLS/ { ++opened }
  /^KAIO_END_DECLS/ { ++closed }
  END { close_file() }' "$@" | grep -v '/base[.]h$')"
forbid "an exception may leave it: KAIO_NOEXCEPT is missing" "$(awk '
  FNR == 1 { statement = "" }
  /^[A-Za-z]/ && !/^(typedef|struct|enum|static|KAIO_(BEGIN|END)_DECLS)/ { statement = $0; first = FNR }
  /^ / && statement != "" { statement = statement $0 }
  statement != "" && /[;{]$/ {
    if (statement ~ /[)][^)]*;$/ && statement ~ /\(/ && statement !~ /KAIO_NOEXCEPT|nothrow|kaio_model_/)
      print FILENAME ":" first ": " statement
    statement = ""
  }' "$@")"
forbid "a bit-field" "$(grep -nE '^ +[a-z0-9_]+ [a-z_]+ : [0-9]+;' "$@")"
forbid "another type than those with a fixed width" "$(grep -nE '^    (unsigned|long|short|char) [a-z_]+;' "$@")"

echo "$# headers, failed: $failed"
[ $# -ge 14 ] || exit 1
exit "$failed"
