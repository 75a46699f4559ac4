#!/bin/sh
# The executor's own regression test: every planted fault, every detector, sanitizers included.
set -eu
cd "$(dirname "$0")/.."
exec python -m pytest tests/simt/test_fault_matrix.py "$@"
