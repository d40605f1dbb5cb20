#!/bin/bash
# table_test.sh TABLE_PY ABI_MD: the documentation has the table that the tests check.
exec python3 "$1" --check "$2"
