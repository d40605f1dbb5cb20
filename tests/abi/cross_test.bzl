"""GoogleTest programs for other architectures, by compilers from PATH, run here or emulated.

Where a compiler is not installed, building is no error, and the test is skipped by name.
"""

load("@rules_shell//shell:sh_test.bzl", "sh_test")

# target: the compilers' prefix; runner: of a program for it, none where it runs here.
_ARCHITECTURES = {
    "i686": struct(
        target = "i686-linux-gnu",
        packages = "g++-i686-linux-gnu libc6-dev-i386-cross",
        runner = "",
    ),
    "mips": struct(  # big-endian, 32 bits, twice the signals
        target = "mips-linux-gnu",
        packages = "g++-mips-linux-gnu libc6-dev-mips-cross qemu-user",
        runner = "qemu-mips",
    ),
    "s390x": struct(  # big-endian, 64 bits
        target = "s390x-linux-gnu",
        packages = "g++-s390x-linux-gnu libc6-dev-s390x-cross qemu-user",
        runner = "qemu-s390x",
    ),
}

# What .bazelrc asks of our own code.
_WARNINGS = "-Wall -Wextra -Wno-psabi -Wconversion -Wno-sign-conversion -Wshadow -Werror"

_GTEST_ALL = "@googletest//:googletest/src/gtest-all.cc"

_GTEST_MAIN = "@googletest//:googletest/src/gtest_main.cc"

def _cross_build(name, architecture, out, files, hdrs = [], flags = _WARNINGS, patterns = []):
    """`out` is an archive if it is a .a, else a program."""
    native.genrule(
        name = name,
        testonly = True,
        srcs = depset(files + hdrs + [
            _GTEST_ALL,
            "//tests:headers",
            "@cross//:compilers",
            "@googletest//:gtest_sources",
        ]).to_list(),
        outs = [out],
        cmd = " ".join([
            "$(location //tests/abi:cross_build.sh)",
            _ARCHITECTURES[architecture].target + "-g++",
            "$(location %s)" % _GTEST_ALL,
            "$@",
            "'%s'" % flags,
        ] + ["$(location %s)" % file for file in files] + patterns),
        tags = ["config-free"],
        tools = ["//tests/abi:cross_build.sh"],
        visibility = ["//tests:__subpackages__"],
    )

def cross_googletests():
    """GoogleTest with its main for each architecture, once for all tests."""
    for architecture in _ARCHITECTURES:
        name = "googletest_" + architecture
        _cross_build(name, architecture, name + ".a", [_GTEST_ALL, _GTEST_MAIN], flags = "-w")

def cross_library(name, architecture, srcs, hdrs = []):
    """An archive of `srcs`, for the deps of a cross_test."""
    _cross_build(name, architecture, name + ".a", srcs, hdrs)

def cross_safe(name, architecture, sim):
    """An archive of //safe with //safe:testing; `sim`: on the simulated kernel."""
    flags = _WARNINGS + " -iquote safe" + (" -DKAIO_SIM" if sim else "")
    patterns = ["safe/*.c"] + (["safe/sim/*.c"] if sim else [])
    _cross_build(name, architecture, name + ".a", [], flags = flags, patterns = patterns)

def cross_test(name, architecture, srcs, hdrs = [], deps = [], size = "small", tags = [], **kwargs):
    """A static program of `srcs` for another architecture; its cases count as a cc_test's do.

    Args:
      name: of the test.
      architecture: i686, mips, s390x.
      srcs: .cc and .c files, which include //raw and //safe by their public names and `hdrs` by
        their paths.
      hdrs: files.
      deps: of cross_library, for the same architecture.
      size: as of sh_test.
      tags: more tags of the test.
      **kwargs: for sh_test.
    """
    program = name + "_program"
    archives = deps + ["//tests/abi:googletest_" + architecture]
    _cross_build(program, architecture, program + ".elf", srcs + archives, hdrs)
    sh_test(
        name = name,
        size = size,
        srcs = ["//tests/abi:cross_test.sh"],
        args = [
            "$(location :%s)" % program,
            "'%s'" % _ARCHITECTURES[architecture].packages,
            _ARCHITECTURES[architecture].runner,
        ],
        data = [
            ":" + program,
            "//tests/abi:cases.sh",
            "@cross//:compilers",
        ],
        tags = ["config-free"] + tags,
        **kwargs
    )
