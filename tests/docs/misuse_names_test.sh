#!/bin/bash
# misuse_names_test.sh: each test that docs/MISUSE.md names exists, and its tables are whole.
set -u
page=docs/MISUSE.md
failed=0

fail() {
  echo "FAIL $*"
  failed=1
}

# The cases of the sources, a line each: Suite.Case; and the targets.
cat tests/*/*_test.cc | tr '\n' ' ' |
  grep -oE 'TEST(_F|_P)?\( *[A-Za-z0-9]+, *[A-Za-z0-9]+\)' |
  sed -E 's/TEST(_F|_P)?\( *([A-Za-z0-9]+), *([A-Za-z0-9]+)\)/\2.\3/' >"$TEST_TMPDIR/cases"
cat tests/*/test_names.txt tests/misuse/analyzer/test_names.txt >"$TEST_TMPDIR/targets"

# shellcheck disable=SC2016 # no command: the quotes of Markdown
names=$(grep -oE '`[A-Za-z0-9]+Test\.[A-Za-z0-9]+`' "$page" | tr -d '`' | sort -u)
for name in $names; do
  grep -qx "$name" "$TEST_TMPDIR/cases" || fail "$page names $name, which is no test"
done

labels=$(grep -oE '//tests/[a-z/]+:[A-Za-z0-9_]+' "$page" | sort -u)
for label in $labels; do
  grep -qx "$label" "$TEST_TMPDIR/targets" || fail "$page names $label, which is no test"
done

# Rows `| N | misuse | what catches it | when | tests |`, N from 1 on.
grep -E '^\| [0-9]+ \|' "$page" >"$TEST_TMPDIR/rows"
number=0 early=0
while IFS='|' read -r _ row misuse what when tests rest; do
  number=$((number + 1))
  [ "$((row))" -eq "$number" ] || fail "row $number is called $row"
  [ -z "$rest" ] || fail "row $row ($misuse) has a column too many"
  [ -n "${what// /}" ] || fail "nothing catches row $row ($misuse)"
  [[ $tests =~ ^(\ \`[^\`\ ]+\`)+\ $ ]] || fail "row $row ($misuse) has no tests, or more than tests"
  case $when in
    *compile* | *analyser*) early=$((early + 1)) ;;
    *"run time"* | *sanitizer*) ;;
    *) fail "row $row ($misuse) is caught at no time: $when" ;;
  esac
done <"$TEST_TMPDIR/rows"
[ "$number" -ge 56 ] || fail "$number rows, fewer than 56"
[ "$early" -ge 13 ] || fail "$early rows are caught before the program runs, fewer than 13"

echo "$number rows, $early caught before the program runs; $(wc -w <<<"$names") cases, $(wc -w <<<"$labels") targets"
exit "$failed"
