"""Tests of the structures and numbers of raw, one for each architecture of architectures.bzl."""

load("@rules_shell//shell:sh_test.bzl", "sh_test")
load(":architectures.bzl", "NO_USER_SPACE", "architectures")

_STRUCTURES = [
    "layout.c",
    "numbers.c",
]

_CALLS = [
    "calls.c",
    "//tests/raw:compile/every_function.c",
    "libaio_layout.c",
    "//raw/libaio:libaio.c",
    "//raw/libaio:contexts.c",
]

def abi_tests(name):
    """NAME_ARCHITECTURE_test for each: a failure names the architecture.

    No test_suite of them: `//...` would reach them through it, whatever the filters of tags say.

    Args:
      name: what the names begin with.
    """
    for architecture, row in architectures().items():
        srcs = _STRUCTURES + ([] if architecture in NO_USER_SPACE else _CALLS)
        sh_test(
            name = "%s_%s_test" % (name, architecture),
            size = "small",
            timeout = "short",
            srcs = ["abi_test.sh"],
            args = ["'%s'" % row] + ["$(location %s)" % src for src in srcs],
            data = srcs + [
                "cases.sh",
                "//raw/libaio:contexts.h",
                "//raw/libaio:libaio.h",
                "//tests:headers",
                "@cross//:compilers",
            ],
            tags = ["config-free"],
        )
