#!/usr/bin/env bash
# Builds the CPU kernels with sanitizers and runs every one of them on the shared list of cases.
#   scripts/sanitize.sh            AddressSanitizer and UndefinedBehaviorSanitizer
#   scripts/sanitize.sh thread     ThreadSanitizer
# PYTHON (default python3) needs numpy, pytest, hypothesis and pybind11. A tool that is missing is
# an error, and so is anything that a sanitizer reports.
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-address}
python=${PYTHON:-python3}
case $kind in
  address) sanitizers=address,undefined libraries="libasan.so libubsan.so" ;;
  thread) sanitizers=thread libraries="libtsan.so" ;;
  *) echo "sanitize: got '$kind', wanted address or thread" >&2; exit 2 ;;
esac

for tool in cmake g++ "$python"; do
  command -v "$tool" >/dev/null || { echo "sanitize: $tool is not installed" >&2; exit 2; }
done
pybind11=$("$python" -m pybind11 --cmakedir)
"$python" -c "import numpy, pytest, hypothesis"
preload=
for library in $libraries; do
  path=$(g++ -print-file-name="$library")
  [ -e "$path" ] || { echo "sanitize: g++ has no $library" >&2; exit 2; }
  preload="$preload $path"
done

build=build/sanitize-$kind
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DCONVSMITH_SANITIZE="$sanitizers" \
  -DCONVSMITH_WERROR=ON -DCONVSMITH_SIMT=OFF -DCONVSMITH_CUDA=OFF \
  -DPython_EXECUTABLE="$(command -v "$python")" -Dpybind11_DIR="$pybind11" >/dev/null
cmake --build "$build" --parallel "$(nproc)"
stage=$PWD/$build/stage
rm -rf "$stage"
mkdir "$stage"
cp -r python/convsmith "$stage/"
rm -f "$stage"/convsmith/_cpu*.so
cp "$build"/_cpu*.so "$stage/convsmith/"

export PYTHONPATH=$stage PYTHONMALLOC=malloc PYTHONFAULTHANDLER=1
# Tests ask for more memory than there is, and expect a MemoryError.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:exitcode=66
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:exitcode=66
# OpenBLAS has threads of its own, which no sanitizer has seen being built.
export OPENBLAS_NUM_THREADS=1

# ThreadSanitizer reserves fixed addresses, which a randomised layout may already have taken.
run() { LD_PRELOAD=$preload setarch "$(uname -m)" -R "$python" "$@"; }

isas=$(run -c "
import os, convsmith._cpu as cpu
assert os.path.realpath(cpu.__file__).startswith(os.path.realpath('$stage')), cpu.__file__
cpu.set_num_threads(max(2, cpu.num_threads()))
print(*cpu.available_isas())")

# Without guard bands every array ends where its memory ends, so that the sanitizer, which cannot
# see the bands, sees the first byte read or written beyond.
check='
import sys
from convsmith import _cpu
from convsmith.cli import main
from convsmith.testing import guard
guard.BAND = 0
_cpu.set_num_threads(max(2, _cpu.num_threads()))
sys.exit(main(["check", "--backend", "native_cpu"]))'
echo "sanitize: check, on $isas"
run -c "$check" | tail -n 3
if [ "$kind" = address ]; then
  # Argument checks, large shapes and the runtime; the cases themselves have just been run. Under
  # AddressSanitizer the arena recycles nothing, so that use after release is seen.
  echo "sanitize: tests"
  run -m pytest -q -x --capture=sys -p no:cacheprovider -m "not slow" tests/ops tests/cpu \
    --ignore tests/cpu/test_every_case.py \
    -k "not recycles_memory and not trim_gives and not steady_state"
fi
echo "sanitize: $kind: ok"
