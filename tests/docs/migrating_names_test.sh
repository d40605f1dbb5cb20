#!/bin/bash
# migrating_names_test.sh: what docs/MIGRATING.md names exists, and its tables are whole.
set -u
page=docs/MIGRATING.md
failed=0

fail() {
  echo "FAIL $*"
  failed=1
}

# The cases of the sources, a line each: Suite.Case; the targets; the names of the public headers.
cat tests/*/*_test.cc | tr '\n' ' ' |
  grep -oE 'TEST(_F|_P)?\( *[A-Za-z0-9]+, *[A-Za-z0-9]+\)' |
  sed -E 's/TEST(_F|_P)?\( *([A-Za-z0-9]+), *([A-Za-z0-9]+)\)/\2.\3/' >"$TEST_TMPDIR/cases"
cat tests/*/test_names.txt tests/misuse/analyzer/test_names.txt >"$TEST_TMPDIR/targets"
cat raw/*.h safe/*.h | grep -oE '\b(kaio|KAIO)_\w+' | sort -u >"$TEST_TMPDIR/names"

# shellcheck disable=SC2016 # no command: the quotes of Markdown
cases=$(grep -oE '`[A-Za-z0-9]+Test\.[A-Za-z0-9]+`' "$page" | tr -d '`' | sort -u)
for name in $cases; do
  grep -qx "$name" "$TEST_TMPDIR/cases" || fail "$page names $name, which is no test"
done

labels=$(grep -oE '//tests/[a-z/]+:[A-Za-z0-9_]+' "$page" | grep -v '^//tests/docs:' | sort -u)
for label in $labels; do
  grep -qx "$label" "$TEST_TMPDIR/targets" || fail "$page names $label, which is no test"
done

names=$(grep -oE '\b(kaio|KAIO)_\w+' "$page" | sort -u)
for name in $names; do
  grep -qx "$name" "$TEST_TMPDIR/names" || [ "$name" = kaio_raw_ ] ||
    fail "$page names $name, which no public header has"
done

# rows HEADING: the rows of numbers in the section of HEADING.
rows() {
  awk -v heading="### $1" '/^##/ { on = $0 == heading } on' "$page" | grep -E '^\| [0-9]+ \|'
}

# check_row WHERE LAST REST: the last column is tests and nothing else.
check_row() {
  [ -z "$3" ] || fail "$1 has a column too many"
  [[ $2 =~ ^(\ \`[^\`\ ]+\`)+\ $ ]] || fail "$1 has no tests, or more than tests: $2"
}

# numbered HEADING COUNT: rows `| N | there | here | tests |`, N from 1 to COUNT.
numbered() {
  local number=0 row there here tests rest
  while IFS='|' read -r _ row there here tests rest; do
    number=$((number + 1))
    [ "$((row))" -eq "$number" ] || fail "row $number of '$1' is called $row"
    if [ -z "${there// /}" ] || [ -z "${here// /}" ]; then
      fail "row $row of '$1' says nothing"
    fi
    check_row "row $row of '$1'" "$tests" "$rest"
  done < <(rows "$1")
  [ "$number" -eq "$2" ] || fail "'$1' has $number rows, not $2"
}

numbered 'What it has, and what it is here' 24
numbered 'What goes wrong there, and cannot here' 12

# Rows `| how many | of | about | tests |`: 45 in all.
sum=0
while IFS='|' read -r _ count _ about tests rest; do
  sum=$((sum + count))
  check_row "'$about' of their tests" "$tests" "$rest"
done < <(rows 'Its tests')
[ "$sum" -eq 45 ] || fail "$sum of their tests, not 45"

echo "$(wc -w <<<"$cases") cases, $(wc -w <<<"$labels") targets, $(wc -w <<<"$names") names of headers"
exit "$failed"
