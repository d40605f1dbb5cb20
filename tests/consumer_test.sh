#!/bin/bash
# A monorepo links one layer at a time, from C and from C++, under its own strict flags:
# kaio as an external repository, and as raw/ and safe/ copied into third_party/kaio.
# A second Bazel runs inside the test.
set -euo pipefail

here=$PWD tmp=$TEST_TMPDIR
unset TEST_TMPDIR # else the inner Bazel takes it for its output root
export HOME=$tmp

make_monorepo() {
  mkdir -p "$tmp/mono/third_party/kaio" "$tmp/mono/third_party/kaio_raw"
  cp -rL "$here" "$tmp/kaio"
  rm -rf "$tmp/kaio/tests" # only what consumers get
  for file in BUILD WORKSPACE MODULE.bazel; do
    cp "$here/tests/consumer/$file.in" "$tmp/mono/$file"
  done
  cp -L "$here"/tests/consumer/*_main.* "$tmp/mono"
  cp -rL "$here/raw" "$here/safe" "$tmp/mono/third_party/kaio"
  cp -rL "$here/raw" "$tmp/mono/third_party/kaio_raw"
}

build() {
  local flags=(--spawn_strategy=local --color=no --curses=no --noshow_progress)
  local warning
  for warning in all extra pedantic conversion shadow error; do
    flags+=("--copt=-W$warning")
  done
  bazel --batch --output_user_root="$tmp/root" build "${flags[@]}" "$@" 2>&1
}

fail() {
  echo "FAIL: $1" >&2
  exit 1
}

make_monorepo
cd "$tmp/mono"

# All in one start of Bazel, which takes the longest: -k builds what can be built.
if output=$(build -k //... //:external_private //:vendored_private); then
  fail "a private header can be included"
fi
printf '%s\n' "$output"

for program in alone_raw_{c,cc} {external,vendored}_{raw,safe}_{c,cc} {external,vendored}_cpp \
  {alone,external,vendored}_libaio; do
  "bazel-bin/$program" || fail "$program exits with $?"
  echo "ok $program"
done

for program in {alone,external,vendored}_raw_{c,cc}; do
  ! nm "bazel-bin/$program" | grep ' kaio_queue_' || fail "$program: //raw drags //safe in"
done
nm bazel-bin/external_safe_c | grep ' kaio_queue_open' >/dev/null || fail "the symbols have other names"

for place in alone external vendored; do
  ! ldd "bazel-bin/${place}_libaio" | grep libaio || fail "$place: the system's libaio is linked"
done

for place in external vendored; do
  [ ! -e "bazel-bin/${place}_private" ] || fail "$place: a private header can be included"
done
(($(grep -c 'kaio/safe/slots.h: No such file' <<<"$output") == 2)) || fail "not the error expected"
echo "ok private headers are out of reach"
