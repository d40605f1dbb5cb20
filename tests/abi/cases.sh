# Test cases of a shell script, for sourcing: case_passed, case_failed, case_skipped, expect, end_cases.
#
# end_cases writes them where Bazel looks for them, so that a skip is seen as one. SUITE is set.
# shellcheck shell=bash

cases='' failed=0

# xml_text TEXT: as an attribute's value.
xml_text() {
  local text=${1//[^[:print:]$'\n']/?}
  text=${text//&/'&amp;'} text=${text//</'&lt;'} text=${text//\"/'&quot;'}
  printf '%s' "${text//$'\n'/'&#10;'}"
}

# add_case NAME ELEMENT
add_case() {
  # shellcheck disable=SC2154 # SUITE is the sourcing script's
  cases+="<testcase classname=\"$SUITE\" name=\"$1\">$2</testcase>"$'\n'
}

case_passed() {
  echo "passed: $1"
  add_case "$1" ""
}

# case_failed NAME TEXT
case_failed() {
  echo "FAILED: $1"
  printf '%s\n' "$2"
  failed=$((failed + 1))
  add_case "$1" "<failure message=\"$(xml_text "$2")\"/>"
}

# case_skipped NAME REASON
case_skipped() {
  echo "skipped: $1: $2"
  add_case "$1" "<skipped message=\"$(xml_text "$2")\"/>"
}

# expect CASE STATUS TEXT COMMAND...: its exit status, and what its output has to match.
expect() {
  local name=$1 status=$2 text=$3 output found
  shift 3
  output=$("$@" 2>&1)
  found=$?
  if ((found == status)) && grep -Eq -- "$text" <<<"$output"; then
    case_passed "$name"
  else
    case_failed "$name" "exit status $found, wanted $status, and output like '$text': $output"
  fi
}

# end_cases: the exit status of the script.
end_cases() {
  if [ -n "${XML_OUTPUT_FILE:-}" ]; then
    printf '<?xml version="1.0"?>\n<testsuites><testsuite name="%s">\n%s</testsuite></testsuites>\n' \
      "$SUITE" "$cases" >"$XML_OUTPUT_FILE"
  fi
  ((failed == 0)) && [ -n "$cases" ]
}
