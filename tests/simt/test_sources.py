"""What only device.cuh may contain: everything else must mean the same to nvcc and to g++."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CUDA = ROOT / "csrc" / "cuda"
MACHINE = ("device.cuh",)
KERNELS = sorted(p for p in CUDA.glob("*.cu*") if p.name not in MACHINE)

FORBIDDEN = {
    "inline assembly": r"\basm\b",
    "raw shared memory": r"__shared__",
    "a launch": r"<<<",
    "a barrier or warp intrinsic": r"__sync\w*|__shfl\w*|__ballot\w*|__any\w*|__all_sync",
    "an atomic": r"\batomic[A-Z]\w*",
    "fast arithmetic": r"__f\w+_r[nzud]\b|__expf|__logf|__powf|__fdividef|__frcp\w*|__ldg\w*",
    "a CUDA header": r"#include\s*<(cuda|cooperative|mma)",
    "the runtime": r"\bcuda[A-Z]\w+\(",
    "pybind11": r"pybind11",
}


def _code(text):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return re.sub(r"//[^\n]*", "", text)


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.name)
@pytest.mark.parametrize("what", FORBIDDEN)
def test_kernels_reach_the_machine_through_device_cuh(path, what):
    found = re.search(FORBIDDEN[what], _code(path.read_text()))
    assert found is None, f"{path.name}: {what}: {found.group() if found else ''}"


def test_the_executor_is_free_of_pybind11():
    for path in (ROOT / "csrc" / "simt").glob("*.[ch]*"):
        assert "pybind11" not in _code(path.read_text()), path.name


def test_every_name_of_the_machine_exists_on_both_sides():
    """What device.cuh defines for nvcc, executor.h defines for the host compiler."""
    name = re.compile(r"^(?:CONVSMITH_(?:HOST_)?DEVICE|inline|void|template).*?\b(\w+)\(", re.M)
    executor = (ROOT / "csrc" / "simt" / "executor.h").read_text()
    gpu = "".join((CUDA / file).read_text() for file in MACHINE)
    known_here = set(re.findall(r"\b(\w+)\(", executor)) | set(
        re.findall(r"\b(\w+)\(", gpu_common(gpu))
    )
    for needed in set(name.findall(gpu)) - {"shared_address", "check_status"}:
        assert needed in known_here, needed


def gpu_common(text):
    """The part of device.cuh behind the two sides."""
    return text.partition("#endif  // CONVSMITH_SIMT")[2]
