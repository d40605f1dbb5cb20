# Installs what is missing of the packages in a list (Debian, Ubuntu): for sourcing.
#
# A list has one line per package: its name and a file of it. Nothing is printed to stdout,
# and nothing is started when nothing is missing: tools/bazel asks at each call.
# shellcheck shell=sh

# missing_packages LIST...: sets `missing` to the packages whose file is not there.
missing_packages() {
  missing=
  for list; do
    while read -r package file; do
      case $package in '' | '#'*) continue ;; esac
      [ -e "$file" ] || missing="$missing $package"
    done <"$list"
  done
}

# install_packages NAME PACKAGE...: installs them, or ends NAME with the line that would.
install_packages() {
  caller=$1 root=
  shift
  command -v apt-get >/dev/null 2>&1 || return 0
  if [ "$(id -u)" -ne 0 ]; then
    root=sudo
    if ! command -v sudo >/dev/null 2>&1; then
      echo "$caller: packages are missing. Run as root: apt-get install --no-install-recommends $*" >&2
      exit 1
    fi
  fi
  echo "$caller: installing $*" >&2
  # --no-install-recommends: a headless JDK is all that Bazel needs.
  output=$({
    $root apt-get -o DPkg::Lock::Timeout=300 -q update &&
      $root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Use-Pty=0 -q -y --no-install-recommends install "$@"
  } </dev/null 2>&1) || {
    printf '%s\n' "$output" "$caller: apt-get could not install: $*" >&2
    exit 1
  }
}
