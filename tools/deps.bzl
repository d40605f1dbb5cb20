"""Repositories for WORKSPACE mode (Bazel 4 to 7, and 8 with --enable_workspace).

//raw and //safe need only @rules_cc//cc:defs.bzl and @platforms, which every such
Bazel supplies by itself: a consuming WORKSPACE has nothing to call.  This file
serves kaio's own build.  bzlmod reads MODULE.bazel and tools/extensions.bzl.
"""

# What Bazel 4's own @bazel_tools loads from @rules_cc and @rules_java, used or not,
# and what our BUILD files load.  Every Bazel up to 7 still carries them natively.
_NATIVE = {
    "rules_cc": ("cc", [
        "cc_binary",
        "cc_import",
        "cc_library",
        "cc_proto_library",
        "cc_test",
        "cc_toolchain",
        "cc_toolchain_suite",
        "objc_library",
    ]),
    "rules_java": ("java", [
        "java_binary",
        "java_import",
        "java_library",
        "java_proto_library",
        "java_runtime",
        "java_toolchain",
    ]),
    "rules_shell": ("shell", ["sh_binary", "sh_library", "sh_test"]),
}

def _native_rules_impl(ctx):
    package, rules = _NATIVE[ctx.attr.rules]
    defs = ""
    for rule in rules:
        wrapper = "def %s(**kwargs):\n    native.%s(**kwargs)\n" % (rule, rule)
        ctx.file("%s/%s.bzl" % (package, rule), wrapper)
        defs += wrapper
    ctx.file(package + "/defs.bzl", defs)
    ctx.file(package + "/BUILD", "")
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)

_native_rules = repository_rule(
    implementation = _native_rules_impl,
    attrs = {"rules": attr.string(mandatory = True)},
    doc = "Native rules under the load paths of the rules_* repository of that name.",
)

def _no_coverage_tools_impl(ctx):
    ctx.file("none.sh", "#!/bin/sh\nexit 0\n", executable = True)
    ctx.file("lcov_merger.py", ctx.read(ctx.attr.lcov_merger), executable = True)
    ctx.file("BUILD", """\
package(default_visibility = ["//visibility:public"])

filegroup(name = "coverage_output_generator", srcs = ["none.sh"])

sh_binary(name = "coverage_report_generator", srcs = ["lcov_merger.py"])

sh_binary(name = "lcov_merger", srcs = ["lcov_merger.py"])
""")
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)

_no_coverage_tools = repository_rule(
    implementation = _no_coverage_tools_impl,
    attrs = {"lcov_merger": attr.label(default = "//tools:lcov_merger.py")},
    doc = "Stands in for the Java coverage tools, which every cc_test of Bazel 4 names.",
)

_GTEST = "1.17.0"
_GTEST_URL = "https://github.com/google/googletest/releases/download/v{0}/googletest-{0}.tar.gz"
_GTEST_SHA256 = "65fab701d9829d38cb77c14acdc431d2108bfdbf8979e40eb8ae567edf10b27c"

def _googletest_impl(ctx):
    root = ctx.os.environ.get("KAIO_GOOGLETEST", "/usr/src/googletest")
    system = ctx.path(root) if root.startswith("/") else None
    if system and system.get_child("googletest").get_child("src").exists:
        ctx.symlink(system.get_child("googletest"), "googletest")
        ctx.symlink(system.get_child("googlemock"), "googlemock")
    else:
        ctx.download_and_extract(
            url = _GTEST_URL.format(_GTEST),
            sha256 = _GTEST_SHA256,
            stripPrefix = "googletest-" + _GTEST,
        )
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    ctx.file("BUILD.bazel", ctx.read(ctx.attr.build_file))

googletest_repository = repository_rule(
    implementation = _googletest_impl,
    attrs = {"build_file": attr.label(default = "//tools:googletest.BUILD")},
    environ = ["KAIO_GOOGLETEST"],
    doc = "GoogleTest from Debian's `googletest` package, else a pinned release.",
)

_NOT_INSTALLED = "\n\n    {0} is not installed. Run ./tools/bazel once, or: apt-get install {0}\n"

def _system_library_impl(ctx):
    for line in ctx.read(ctx.attr.packages).splitlines():
        package, _, file = line.partition(" ")
        if package == ctx.attr.package and not ctx.path(file.strip()).exists:
            fail(_NOT_INSTALLED.format(package))
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    ctx.file("BUILD", """\
load("@rules_cc//cc:defs.bzl", "cc_library")

cc_library(
    name = "{name}",
    linkopts = {linkopts},
    visibility = [
        "@//tests:__subpackages__",
        "@//tools:__subpackages__",
    ],
)
""".format(name = ctx.attr.library, linkopts = repr(ctx.attr.linkopts)))

system_library = repository_rule(
    implementation = _system_library_impl,
    attrs = {
        "library": attr.string(mandatory = True),
        "linkopts": attr.string_list(),
        "package": attr.string(mandatory = True),
        "packages": attr.label(default = "//tools:packages.txt"),
    },
    local = True,
    doc = "A library that the compiler finds by itself once its Debian package is there.",
)

def _cross_compilers_impl(ctx):
    ctx.symlink("/usr", "usr")
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    ctx.file("BUILD", """\
filegroup(
    name = "compilers",
    srcs = glob(%s, allow_empty = True),
    visibility = ["@//tests:__subpackages__"],
)
""" % repr(ctx.attr.files))

cross_compilers = repository_rule(
    implementation = _cross_compilers_impl,
    attrs = {"files": attr.string_list()},
    local = True,
    doc = "Those of `files`, patterns, that are installed: with what comes or goes, tests run anew.",
)

def _maybe(rule, name, **kwargs):
    if not native.existing_rule(name):
        rule(name = name, **kwargs)

def kaio_offline_shims():
    """Lets Bazel 4 build C without the network."""
    for name in _NATIVE:
        _maybe(_native_rules, name, rules = name)
    _maybe(_no_coverage_tools, "remote_coverage_tools")

def kaio_dev_deps():
    """What kaio's own tests and tools need."""
    kaio_offline_shims()
    tools_deps()

def tools_deps():
    """GoogleTest and the system libraries of tools/: no consumer ever calls this."""
    _maybe(googletest_repository, "googletest")

    _maybe(
        system_library,
        "jansson",
        library = "jansson",
        linkopts = ["-ljansson"],
        package = "libjansson-dev",
    )

    _maybe(
        system_library,
        "isal",
        library = "isal",
        linkopts = ["-lisal"],
        package = "libisal-dev",
    )

    _maybe(
        system_library,
        "libaio",
        library = "libaio",
        linkopts = ["-laio"],
        package = "libaio-dev",
    )

    _maybe(
        system_library,
        "liburing",
        library = "liburing",
        linkopts = ["-luring"],
        package = "liburing-dev",
    )

    # Headers alone: who includes xxhash.h defines XXH_INLINE_ALL.
    _maybe(system_library, "xxhash", library = "xxhash", package = "libxxhash-dev")

    # A libc's header stands for all of them.
    _maybe(
        cross_compilers,
        "cross",
        files = [
            "usr/*/include/sys/uio.h",
            "usr/bin/*-linux-gnu*-g++",
            "usr/bin/*-linux-gnu*-gcc",
            "usr/bin/clang-16",
            "usr/bin/qemu-mips",
            "usr/bin/qemu-s390x",
            "usr/bin/xtensa-lx106-elf-gcc",
        ],
    )
