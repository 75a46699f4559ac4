"""Compiles a kernel: to a library for this process, or to a program under a sanitizer.

The same CUDA source is compiled by the host compiler, for NumPy arrays and for the sanitizers, with
the executor of csrc/simt, which runs its threads on the CPU; and by nvcc, for CuPy arrays. The
executor is shipped as source, since a sanitizer wants it built by the same compiler as the kernel,
and is compiled once. All that is built stays in the cache until the kernel's folder, convsmith's
own sources, the compiler or its options change.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from convsmith import machine
from convsmith.workbench.cache import digest, keep
from convsmith.workbench.kernel import Kernel, KernelError
from convsmith.workbench.signatures import declaration, parameter_list

_PACKAGE = Path(__file__).resolve().parents[1]
_SOURCES = {".cu", ".cuh", ".cpp", ".cc", ".cxx", ".h", ".hh", ".hpp", ".inc", ".inl"}


@dataclass(frozen=True)
class _Target:
    """Options of the host compiler for the kernel, for the executor, and for linking both."""

    kernel: tuple[str, ...]
    executor: tuple[str, ...]
    link: tuple[str, ...]


_ADDRESSES = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_TARGETS = {
    "library": _Target(("-fPIC",), ("-fPIC", "-O2"), ("-shared", "-Wl,-z,defs")),
    "addresses": _Target(
        # The instrumentation makes gcc lose track of what is initialised.
        (*_ADDRESSES, "-fno-omit-frame-pointer", "-Wno-maybe-uninitialized"),
        (*_ADDRESSES, "-fno-omit-frame-pointer", "-O1"),
        _ADDRESSES,
    ),
    # The executor tells the race checker about threads and barriers, and is not checked itself.
    "races": _Target(
        ("-fsanitize=thread", "-DCONVSMITH_TSAN"),
        ("-DCONVSMITH_TSAN", "-O1"),
        ("-fsanitize=thread",),
    ),
}
SANITIZERS = ("races", "addresses")

# auto-var-init: a variable that nobody set is not zero by luck. stack-clash: a local array larger
# than the stack cannot jump over the page below it.
_SIMT = (
    *("-DCONVSMITH_SIMT", "-DCONVSMITH_GUARDED", "-Wno-unknown-pragmas", "-O1"),
    *("-ftrivial-auto-var-init=pattern", "-fstack-clash-protection"),
)


def include_folder() -> Path:
    """The folder of shapes.h, device.cuh and the executor: installed, or csrc of a checkout."""
    installed = _PACKAGE / "include"
    return installed if installed.exists() else _PACKAGE.parents[1] / "csrc"


def library(kernel: Kernel) -> Path:
    """A shared library that takes NumPy arrays."""
    return _build(kernel, "library")


def program(kernel: Kernel, sanitizer: str) -> Path:
    """main.cpp with the kernel, under one of SANITIZERS."""
    return _build(kernel, sanitizer)


def cuda_library(kernel: Kernel, architecture: str = "native") -> Path:
    """A shared library that takes CuPy arrays. architecture is what nvcc's -arch takes."""
    nvcc, _ = machine.nvcc()
    if not nvcc:
        raise KernelError(
            f"{kernel.name}: got CuPy arrays but no nvcc to compile {kernel.path} with, looked for "
            "in CUDACXX, PATH and /usr/local/cuda/bin"
        )
    command = [nvcc, "-std=c++17", "-O3", f"-arch={architecture}", *kernel.flags, "-shared"]
    command += ["-Xcompiler=-fPIC,-fvisibility=hidden", f"-I{include_folder()}"]
    return _kept(kernel, "cuda", command, ())


def _build(kernel: Kernel, name: str) -> Path:
    target, include = _TARGETS[name], include_folder()
    command = [*_compiler(), "-std=c++17", "-g1", "-fvisibility=hidden", f"-I{include}"]
    objects: list[Path] = []
    if name != "library":
        command += ["-DCONVSMITH_GUARDED"]
    if kernel.language == "cuda":
        command += _SIMT
    else:
        command += ["-march=native", "-O1" if name in SANITIZERS else "-O3", *kernel.flags]
    if kernel.language == "cuda" or name in SANITIZERS:
        objects = _executor(name)
    command += target.kernel
    more = [*map(str, objects), *target.link, "-pthread"]
    if name in SANITIZERS:
        more.insert(0, str(include / "workbench" / "main.cpp"))
    return _kept(kernel, name, command, more)


def _kept(kernel: Kernel, target: str, command: Sequence[str], more: Sequence[str]) -> Path:
    """The cache's copy of what `command ENTRY more` makes of the kernel."""
    path = kernel.path.resolve()
    if not path.exists():
        raise KernelError(f"{kernel.name}: source: got {kernel.path}, which does not exist")
    files = _own_files(path.parent)
    files += [*_files(include_folder() / "cuda"), *_files(include_folder() / "workbench")]
    files += [include_folder() / "shapes.h"]
    state = digest([*command, *more, _release(command[0]), _entry(kernel, target), *files])

    def make(work: Path) -> None:
        entry = work / ("entry.cu" if target == "cuda" else "entry.cpp")
        entry.write_text(_entry(kernel, target), encoding="utf-8")
        _compile(kernel, [*command, str(entry), *more, "-o", str(work / "kernel")])

    return keep(f"{kernel.name}-{digest([str(path)])}-{target}", state, make) / "kernel"


def _entry(kernel: Kernel, target: str) -> str:
    """The C function through which the kernel is called; entry.h does the work."""
    lines = ['#include "workbench/entry.h"', f'#include "{kernel.path.resolve()}"']
    if kernel.language == "cuda":
        lines += ["using namespace convsmith::cuda;"]
    lines += [
        "using namespace convsmith;",
        "CONVSMITH_ENTRY int convsmith_run(const workbench::Argument* arguments, char* message,",
        "                                  int64_t bytes) {",
        '#line 1 "wanted"',
        f"  void (*const kernel)({parameter_list(kernel.op, kernel.language)}) = {kernel.op};",
        "  return workbench::run(kernel, arguments, message, bytes);",
        "}",
    ]
    if kernel.language == "cuda" and target == "library":
        lines += [
            "CONVSMITH_ENTRY void convsmith_set_schedule(int policy, uint64_t seed) {",
            "  simt::set_schedule({static_cast<simt::Policy>(policy), seed});",
            "}",
        ]
    return "\n".join(lines) + "\n"


def _executor(target: str) -> list[Path]:
    """The objects of the executor for this target."""
    include = include_folder()
    command = [*_compiler(), "-std=c++17", "-g1", "-DCONVSMITH_SIMT", "-fvisibility=hidden"]
    command += [f"-I{include}", *_TARGETS[target].executor]
    sources = sorted((include / "simt").glob("*.cpp"))
    files = [*_files(include / "simt"), *_files(include / "cuda")]

    def make(work: Path) -> None:
        for source in sources:
            _compile(None, [*command, "-c", str(source), "-o", str(work / f"{source.stem}.o")])

    kept = keep(f"executor-{target}", digest([*command, _release(command[0]), *files]), make)
    return [kept / f"{source.stem}.o" for source in sources]


def _compile(kernel: Kernel | None, command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode == 0:
        return
    said = (done.stderr or done.stdout).strip()
    if kernel is None:
        raise KernelError(f"{command[0]} does not compile convsmith's executor:\n{said}")
    if "wanted:1:" in said:
        said += f"\nwanted: {declaration(kernel.op, kernel.language)}"
    raise KernelError(f"{kernel.name}: {command[0]} does not compile {kernel.path}:\n{said}")


def _compiler() -> list[str]:
    """The host compiler, as a command."""
    command = shlex.split(os.environ.get("CXX", "")) or ["g++"]
    if shutil.which(command[0]) is None:
        raise KernelError(
            f"no C++ compiler: {command[0]} is not on the PATH; install g++ or set CXX to one"
        )
    return command


@cache
def _release(compiler: str) -> str:
    """What the compiler says of itself, so that another one builds anew."""
    return subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout


def _own_files(folder: Path) -> list[Path]:
    """What a kernel may include: all in its folder and below, but for Python and hidden folders."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "." and name != "__pycache__"]
        found += [Path(parent, name) for name in names if not name.endswith((".py", ".pyc"))]
    return sorted(file for file in found if file.is_file())


def _files(folder: Path) -> list[Path]:
    names = {"device.cuh", "types.h"} if folder.name == "cuda" else None
    found = (file for file in folder.iterdir() if file.suffix in _SOURCES)
    return sorted(file for file in found if names is None or file.name in names)
