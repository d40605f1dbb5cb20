#!/bin/bash
# wal_command_test.sh WAL: what the command prints, and how it exits.
set -u
export LC_ALL=C
# shellcheck disable=SC2034 # of cases.sh
SUITE=WalCommandTest
# shellcheck source=tests/abi/cases.sh
. tests/abi/cases.sh
wal=$1
folder=$TEST_TMPDIR/log
mkdir "$folder"

# shellcheck disable=SC2120 # expect gives it arguments
append() { printf 'one\ntwo\n\nlast without end' | "$wal" append "$folder" "$@"; }
expect NoLogIsNoFolderOfSegments 1 'log/0\.wal: No such file' "$wal" verify "$folder"
expect AppendSaysHowFarTheLogIsDurable 0 '^4$' append --new --segment-bytes=65536
expect NewRefusesAnOldLog 1 'log/0\.wal: File exists' append --new
expect ReadPrintsTheRecords 0 '^one' "$wal" read "$folder"
expect ReadNumbersThem 0 '^4	last without end$' "$wal" read --numbers --number=4 "$folder"
expect VerifySaysWhereItEnds 0 '^records 1 to 4; ends in segment [0-3] at offset [0-9]+: no record$' \
  "$wal" verify "$folder"
expect AppendGoesOn 0 '^8$' append
expect TrimGivesUp 0 '^$' "$wal" trim --number=6 "$folder"
expect WhatWasTrimmedIsNotRead 0 '^records 7 to 8;' "$wal" verify "$folder"
expect BenchPrintsOneLine 0 '^\{"threads": 2, .*"p99_us": [0-9.]+\}$' \
  "$wal" bench --threads=2 --seconds=1 --segment-bytes=65536 "$(mktemp -d -p "$TEST_TMPDIR")"
expect ABadNumberIsNamed 64 '--threads=0: a number from 1 to 1024' "$wal" bench --threads=0 /
expect AnUnknownCommandIsNamed 64 'mend: no such command' "$wal" mend /
expect AFolderIsNeeded 64 'a COMMAND and a FOLDER are needed' "$wal" verify

# A byte of the checksum of the first record of each segment, inverted: salts are random, so any
# one value could be what is there.
damage() {
  local byte
  byte=$(od -A n -t u1 -j 4096 -N 1 "$1")
  # shellcheck disable=SC2059 # the format is the byte
  printf "\\x$(printf %x $((byte ^ 255)))" | dd of="$1" bs=1 seek=4096 conv=notrunc status=none
}
append --numbers >/dev/null
for segment in "$folder"/*.wal; do
  damage "$segment"
done
expect CorruptionIsAnExitStatusOfItsOwn 2 'record 5 is missing' "$wal" verify "$folder"
end_cases
