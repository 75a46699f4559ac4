#!/bin/sh
# Builds a program from the simt executor and CUDA sources, with the host compiler alone.
#   build_simt_program.sh OUTPUT plain|asan|tsan SOURCE...
# asan is the address and undefined-behaviour sanitizers. tsan is the race checker: the executor
# itself is compiled without it and tells it about threads and barriers. The programs need no
# Python: a sanitizer preloaded into Python sees too much, and tsan crashes there.
set -eu
output=$1 mode=$2
shift 2
root=$(cd "$(dirname "$0")/.." && pwd)
cxx=${CXX:-g++}
work=$output.parts
mkdir -p "$work"
flags="-std=c++17 -Wall -Wextra -Werror -Wno-unknown-pragmas -DCONVSMITH_SIMT -I$root/csrc -g1"
kernel_flags="-ftrivial-auto-var-init=pattern -fstack-clash-protection"
link_flags="-pthread"
case $mode in
  plain) flags="$flags -O1" ;;
  asan)
    sanitize="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
    # The instrumentation makes gcc lose track of what is initialised.
    flags="$flags -O1 $sanitize -Wno-maybe-uninitialized" link_flags="$link_flags $sanitize" ;;
  tsan)
    # -Wtsan: the executor has no fences that the race checker would miss.
    flags="$flags -O1 -DCONVSMITH_TSAN"
    kernel_flags="$kernel_flags -fsanitize=thread" link_flags="$link_flags -fsanitize=thread" ;;
  *) echo "build_simt_program.sh: mode: got '$mode', wanted plain, asan or tsan" >&2; exit 2 ;;
esac
jobs=${JOBS:-2}
{
  for source in "$root"/csrc/simt/*.cpp; do
    echo "$cxx $flags -c $source -o $work/simt_$(basename "$source").o"
  done
  for source in "$@"; do
    include=$(dirname "$source")
    echo "$cxx $flags $kernel_flags -I$include -x c++ -c $source -o $work/$(basename "$source").o"
  done
} | xargs -P "$jobs" -d '\n' -I{} sh -c '{}'
$cxx $link_flags -o "$output" "$work"/*.o
rm -r "$work"
