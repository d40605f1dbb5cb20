#!/bin/bash
# pages_command_test.sh PAGES: what the command prints, and how it exits.
set -u
export LC_ALL=C
# shellcheck disable=SC2034 # of cases.sh
SUITE=PagesCommandTest
# shellcheck source=tests/abi/cases.sh
. tests/abi/cases.sh
pages=$1
file=$TEST_TMPDIR/file
input=$TEST_TMPDIR/input
head -c $((4080 * 100)) /dev/urandom >"$input"

# shellcheck disable=SC2317 # expect calls it
load() { "$pages" load "$@" "$file" <"$input"; }
# shellcheck disable=SC2317
same() { "$pages" "$@" | cmp - "$input"; }
# shellcheck disable=SC2317
same_page() { "$pages" get --first=7 "$file" | cmp - <(tail -c +$((4080 * 7 + 1)) "$input" | head -c 4080); }

expect NoFileIsNoStore 1 'file: .*No such file' "$pages" verify "$file"
expect NewNeedsPages 64 '--new needs --pages' "$pages" load --new "$file"
expect LoadFillsAStore 0 '^$' load --new --pages=100 --frames=16
expect NewRefusesAnOldFile 1 'file: File exists' load --new --pages=100
expect ScanPrintsWhatWasLoaded 0 '^$' same scan "$file"
expect GetPrintsOnePage 0 '^$' same_page
expect VerifyReadsAll 0 '^100 pages are as they were written$' "$pages" verify --frames=16 "$file"
expect MoreThanThereIsIsRefused 1 '^pages: there are 100 pages$' "$pages" get --first=100 "$file"
expect BenchPrintsOneLine 0 '^\{"threads": 3, .*"p99_us": [0-9.]+\}$' \
  "$pages" bench --new --pages=200 --frames=32 --threads=3 --seconds=1 "$TEST_TMPDIR/bench"
expect ABadNumberIsNamed 64 '--frames=3: a number from 16 to' "$pages" verify --frames=3 "$file"
expect AnUnknownCommandIsNamed 64 'mend: no such command' "$pages" mend "$file"

printf '\xff' | dd of="$file" bs=1 seek=$((4096 * 42 + 100)) conv=notrunc status=none
expect ADamagedPageIsAnExitStatusOfItsOwn 2 'page 42: its checksum' "$pages" verify "$file"
end_cases
