#!/bin/bash
# Writes compile_commands.json for clangd and clang-tidy.
set -euo pipefail
cd "$(dirname "$0")/.."

# Only the headers' include/ trees are built, not the code.
./tools/bazel build --output_groups=compilation_prerequisites_INTERNAL_ //...
root=$(./tools/bazel info execution_root)
./tools/bazel aquery --output=jsonproto 'mnemonic("CppCompile", //...)' |
  python3 tools/compile_commands.py "$root" >compile_commands.json
