"""What this machine is: read from the system, never guessed."""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

NATIVE_MODULES = ("_cpu", "_cuda", "_simt")


def cpu_model() -> str:
    """The processor's own name for itself, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Hardware", "Processor") and value.strip():
            return " ".join(value.split())
    return platform.processor() or platform.machine()


def usable_cpus() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def native_module(name: str) -> tuple[Any, str]:
    """(the module convsmith.<name>, "") or (None, why it cannot be imported)."""
    full_name = f"convsmith.{name}"
    try:
        return importlib.import_module(full_name), ""
    except ModuleNotFoundError as error:
        if error.name == full_name:
            return None, "not built into this installation"
        return None, str(error)
    except ImportError as error:
        return None, str(error)


def nvcc() -> tuple[str, str]:
    """(path, release) of the CUDA compiler; the path is empty where there is none."""
    path = os.environ.get("CUDACXX") or shutil.which("nvcc") or ""
    if not path:
        standard = Path("/usr/local/cuda/bin/nvcc")
        path = str(standard) if standard.exists() else ""
    if not path:
        return "", ""
    try:
        text = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return path, f"does not run: {error}"
    for line in text.splitlines():
        if "release" in line:
            return path, line.partition("release")[2].strip(" ,")
    return path, "unknown release"


def cuda_driver() -> tuple[str, str]:
    """(CUDA version that the driver supports, "") or ("", why there is none)."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "", "libcuda.so.1 is not installed"
    version = ctypes.c_int()
    code = driver.cuDriverGetVersion(ctypes.byref(version))
    if code:
        return "", f"cuDriverGetVersion failed with code {code}"
    return f"{version.value // 1000}.{version.value % 1000 // 10}", ""


def gpus() -> list[str]:
    """A line per GPU: name, memory, driver."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    query = "--query-gpu=name,memory.total,driver_version"
    try:
        text = subprocess.run(
            [tool, query, "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


def cupy_state() -> tuple[str, str]:
    """(CuPy's version, what it says of the GPU); the version is empty where CuPy is missing."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        return "", str(error)
    except Exception as error:  # a CuPy that does not fit the system raises what it likes
        return "", f"import fails: {type(error).__name__}: {error}"
    try:
        usable = bool(cupy.cuda.is_available())
    except Exception as error:
        return str(cupy.__version__), f"{type(error).__name__}: {error}"
    return str(cupy.__version__), "sees a GPU" if usable else "sees no GPU"
