"""Tests of what compilers say: a misuse must not compile, correct programs must.

Each compiler comes by its name from PATH, not from the toolchain: one run of the tests asks
all of them, and the configuration makes no difference (the tag `config-free` says so).
"""

load("@rules_shell//shell:sh_test.bzl", "sh_test")

_CXX = ["g++", "clang++"]
_ALL = ["gcc", "g++", "clang", "clang++"]

def _quoted(words):
    """One argument of the script: safe from its shell and from $(make variables)."""
    return "'%s'" % words.replace("'", "'\\''").replace("$", "$$")

def _default_compilers(srcs):
    return _ALL if all([src.endswith(".c") for src in srcs]) else _CXX

def _compile_test(name, mode, srcs, expect, flags, compilers, levels, tags, timeout, **kwargs):
    sh_test(
        name = name,
        size = "small",
        timeout = timeout,
        srcs = ["//tests:compile_fail.sh"],
        args = [
            mode,
            _quoted(expect),
            _quoted(",".join(compilers or _default_compilers(srcs))),
            _quoted(",".join(levels)),
            _quoted(" ".join(["-Werror"] + flags)),
        ] + ["$(locations %s)" % src for src in srcs],
        data = srcs + ["//tests:headers"],
        tags = ["config-free"] + tags,
        **kwargs
    )

def compile_fail_test(
        name,
        src,
        expect,
        flags = [],
        compilers = None,
        levels = ["-O1", "-O2"],
        tags = [],
        timeout = "short",
        **kwargs):
    """`src` fails to compile, with a diagnostic that matches the extended regex `expect`.

    With -DOK the same file must compile: so it is the misuse that fails.

    Args:
      name: of the test.
      src: a .c file, which the C++ compilers take as C++17, or a .cc file.
      expect: holds for each of the compilers; their messages are in the C locale.
      flags: added to `-Wall -Wextra -Werror`; -DX=... reaches a part of a shared file.
      compilers: some of gcc, g++, clang, clang++; without it all that take the file.
      levels: of optimisation, each tried: some diagnostics come of the optimiser.
      tags: more tags.
      timeout: "moderate" where a minute may not do.
      **kwargs: for sh_test.
    """
    _compile_test(name, "fail", [src], expect, flags, compilers, levels, tags, timeout, **kwargs)

def compile_pass_test(
        name,
        srcs,
        flags = [],
        compilers = None,
        levels = ["-O0", "-O1", "-O2", "-O3", "-O2 -flto"],
        tags = [],
        timeout = "short",
        **kwargs):
    """Each of `srcs` compiles without a finding; the arguments are those of compile_fail_test.

    They may be public headers too, each then compiled alone, and labels of several files.
    """
    _compile_test(name, "pass", srcs, "-", flags, compilers, levels, tags, timeout, **kwargs)

# What an analyser adds to the flags of its compiler. clang 14 keeps silent about a NULL that a call
# which it looks into returned, unless it is told not to.
_ANALYZERS = {
    "gcc": "-O2 -fanalyzer",
    "clang": "--analyze -Xclang -analyzer-werror -Xclang -analyzer-output=text" +
             " -Xclang -analyzer-config -Xclang unix.DynamicMemoryModeling:Optimistic=true" +
             " -Xclang -analyzer-config -Xclang suppress-null-return-paths=false",
}

def analyzer_find_test(name, src, expect, flags = [], **kwargs):
    """Each analyser that is a key of `expect` finds what its regex names in `src`, and nothing with -DOK.

    Args:
      name: of the tests, with _gcc_test or _clang_test behind it.
      src: a .c file.
      expect: from "gcc" and "clang" to an extended regex.
      flags: added to `-Wall -Wextra -Werror`.
      **kwargs: for compile_fail_test.
    """
    for analyzer, regex in expect.items():
        compile_fail_test(
            name = "%s_%s_test" % (name, analyzer),
            src = src,
            compilers = [analyzer],
            expect = regex,
            flags = flags,
            levels = [_ANALYZERS[analyzer]],
            **kwargs
        )

def analyzer_clean_test(name, srcs, flags = [], **kwargs):
    """Neither analyser finds anything in `srcs`.

    Args:
      name: of the tests, with _gcc_test and _clang_test behind it.
      srcs: .c files, or labels of groups of them.
      flags: added to `-Wall -Wextra -Werror`.
      **kwargs: for compile_pass_test.
    """
    for analyzer, level in _ANALYZERS.items():
        compile_pass_test(
            name = "%s_%s_test" % (name, analyzer),
            srcs = srcs,
            compilers = [analyzer],
            flags = flags,
            levels = [level],
            **kwargs
        )
