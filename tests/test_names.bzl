"""The names of a package's tests as a file, for tests of documents that name them."""

def test_names(name, **kwargs):
    """`name`.txt has a line for each test of the package so far: call it at the end of the BUILD file.

    Args:
      name: of the target.
      **kwargs: for the genrule.
    """
    labels = [
        "//%s:%s" % (native.package_name(), rule)
        for rule in sorted(native.existing_rules().keys())
        if rule.endswith("_test")
    ]
    native.genrule(
        name = name,
        testonly = True,
        outs = [name + ".txt"],
        cmd = "printf '%%s\\n' %s > $@" % " ".join(labels),
        **kwargs
    )
