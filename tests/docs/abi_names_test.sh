#!/bin/bash
# abi_names_test.sh: each test that docs/ABI.md names exists, and its table of facts is complete.
set -u
page=docs/ABI.md
failed=0

fail() {
  echo "FAIL $*"
  failed=1
}

# The cases of the sources, a line each: Suite.Case.
cat tests/raw/*_test.cc tests/safe/*_test.cc tests/misuse/*_test.cc | tr '\n' ' ' |
  grep -oE 'TEST(_F|_P)?\( *[A-Za-z0-9]+, *[A-Za-z0-9]+\)' |
  sed -E 's/TEST(_F|_P)?\( *([A-Za-z0-9]+), *([A-Za-z0-9]+)\)/\2.\3/' >"$TEST_TMPDIR/cases"

# shellcheck disable=SC2016 # no command: the quotes of Markdown
names=$(grep -oE '`[A-Z][A-Za-z0-9]*Test\.[A-Z][A-Za-z0-9]*`' "$page" | tr -d '`' | sort -u)
for name in $names; do
  grep -qx "$name" "$TEST_TMPDIR/cases" || fail "$page names $name, which is no test"
done

labels=$(grep -oE '//tests/[a-z]+:[a-z0-9_]+' "$page" | sort -u)
for label in $labels; do
  folder=${label#//} folder=${folder%%:*}
  grep -q "name = \"${label##*:}\"" "$folder/BUILD" || fail "$page names $label, which is no test"
done

# Rows `| N | fact | test or reason |`, N from 1 to 110.
sed -n '/^## Facts and their tests/,$p' "$page" | grep -oE '^\| [0-9]+ \|.*' >"$TEST_TMPDIR/rows"
number=0
while IFS='|' read -r _ row fact evidence _; do
  number=$((number + 1))
  [ "$((row))" -eq "$number" ] || fail "row $number of the facts is $row"
  case $evidence in
    *'`'*Test.* | *//tests/*) ;;
    *) fail "fact $row ($fact) has no test" ;;
  esac
done <"$TEST_TMPDIR/rows"
[ "$number" -eq 110 ] || fail "$number facts, not 110"

echo "$(wc -w <<<"$names") cases and $(wc -w <<<"$labels") targets named, $number facts"
exit "$failed"
