"""Tests of the safe layer that hold on the real kernel and on the simulated one."""

load("@rules_cc//cc:defs.bzl", "cc_test")

_DEPS = [
    "//safe:testing",
    "//tests/support:folder",
    "//tests/support:in_child",
    "//tests/support:safe_test",
    "@googletest//:gtest",
    "@googletest//:gtest_main",
]

def real_kernel_test(name, srcs, **kwargs):
    cc_test(name = name, size = "small", srcs = srcs, deps = ["//safe"] + _DEPS, **kwargs)

def sim_kernel_test(name, srcs, deps = [], **kwargs):
    cc_test(name = name, size = "small", srcs = srcs, deps = ["//safe:sim"] + _DEPS + deps, **kwargs)

def both_kernels_test(name, srcs, **kwargs):
    """The test `name` on the real kernel, and `name`_on_sim with the same sources on //safe:sim."""
    real_kernel_test(name, srcs, **kwargs)
    sim_kernel_test(name + "_on_sim", srcs, **kwargs)
