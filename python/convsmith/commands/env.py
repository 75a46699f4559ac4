"""`convsmith env`: what a bug report needs to say about the machine and the installation."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib import metadata
from typing import Any

import convsmith
from convsmith import machine
from convsmith.backends.table import ROWS, registered, why_not

DESCRIPTION = "Prints what this machine has, what was built, and which backend is active and why."

_OPTIONAL = {
    "matplotlib": "plots",
    "scikit-learn": "the digits of the demo",
    "tqdm": "progress bars",
    "safetensors": "weight files",
    "pillow": "images",
    "torch": "comparisons",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the same as one JSON object")
    parser.add_argument(
        "--kernel", metavar="DIR", nargs="+", default=[], help="register kernels of your own first"
    )


def run(args: argparse.Namespace) -> int:
    for folder in args.kernel:
        convsmith.register_kernel(folder)
    found = collect()
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(lines(found)))
    return 0


def collect() -> dict[str, Any]:
    """Everything, as plain values that JSON can hold; sections of name -> text, list or null."""
    return {
        "versions": {
            "convsmith": convsmith.__version__,
            "location": os.path.dirname(convsmith.__file__),
            "Python": f"{platform.python_version()} ({platform.python_implementation()})",
            "NumPy": metadata.version("numpy"),
            "OS": _system(),
        },
        "processor": _processor(),
        "native modules": {
            name: machine.native_module(name)[1] or "built" for name in machine.NATIVE_MODULES
        },
        "CUDA": _cuda(),
        "backends": _backends(),
        "registered kernels, for use_backend": _kernels(),
        "optional packages": {name: _version(name) for name in _OPTIONAL},
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith("CONVSMITH_") or name in ("CUDA_VISIBLE_DEVICES", "CUDACXX")
        },
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The report as aligned text."""
    result: list[str] = []
    for section, entries in found.items():
        if section == "backends":
            result += _backend_lines(entries)
            continue
        if not entries:
            continue
        result += [section]
        width = max(map(len, entries))
        for name, value in entries.items():
            text = ", ".join(value) if isinstance(value, list) else value
            if section == "optional packages":
                text = value or f"not installed ({_OPTIONAL[name]})"
            result.append(f"  {name:<{width}}  {text if text not in (None, '') else 'none'}")
    return result


def _system() -> str:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        name = ""
    kernel = f"{platform.system()} {platform.release()} {platform.machine()}"
    return f"{name}, {kernel}" if name else kernel


def _processor() -> dict[str, Any]:
    found: dict[str, Any] = {"model": machine.cpu_model(), "processors": machine.usable_cpus()}
    cpu, reason = machine.native_module("_cpu")
    if cpu is None:
        found["instruction set"] = f"unknown: convsmith._cpu: {reason}"
        return found
    found["instruction set"] = cpu.isa()
    found["instruction sets available"] = list(cpu.available_isas())
    found["threads"] = cpu.num_threads()
    return found


def _cuda() -> dict[str, Any]:
    path, release = machine.nvcc()
    driver, why_no_driver = machine.cuda_driver()
    cupy, says = machine.cupy_state()
    return {
        "GPU arrays": _gpu_arrays(driver, why_no_driver, cupy, says),
        "compiler": f"{path} ({release})" if path else "none (nvcc not found)",
        "driver": f"supports CUDA {driver}" if driver else f"none ({why_no_driver})",
        "kernels for": _kernels_for(),
        "GPUs": machine.gpus(),
        "CuPy": f"{cupy} ({says})" if cupy else f"none ({says})",
    }


def _gpu_arrays(driver: str, why_no_driver: str, cupy: str, says: str) -> str:
    """One sentence: what runs CuPy arrays, or what is missing first."""
    missing = why_not("native_cuda")
    if not missing:
        return "run by convsmith's kernels (native_cuda)"
    if not why_not("cupy_fallback"):
        return f"run by CuPy's own operations (cupy_fallback), since {missing}"
    if not driver:
        return f"none: this machine has no NVIDIA driver ({why_no_driver})"
    if not cupy:
        extra = "cuda12" if driver.startswith("12") else "cuda13"
        return f"none: CuPy is missing ({says}); pip install 'convsmith[{extra}]'"
    return f"none: {why_not('cupy_fallback')}"


def _kernels_for() -> str | None:
    """The GPU architectures that the native module holds code for."""
    module, _ = machine.native_module("_cuda")
    return ", ".join(module.architectures()) if hasattr(module, "architectures") else None


def _backends() -> list[dict[str, Any]]:
    """Per row of the table: the array type, its first backend that can run, and the others."""
    rows = []
    for row in ROWS:
        reasons = {name: why_not(name) for name in row.backends}
        active = next((name for name in row.backends if not reasons[name]), None)
        states = {}
        for name, reason in reasons.items():
            if name == active:
                states[name] = "active"
            elif reason:
                states[name] = f"not available: {reason}"
            else:
                states[name] = f"available: takes what {active} does not support"
        rows.append({"arrays": row.array_type, "active": active, "backends": states})
    return rows


def _kernels() -> dict[str, str]:
    """What register_kernel was given in this process."""
    found = {}
    for name, by_type in registered().items():
        kernel = next(iter(by_type.values())).kernel
        found[name] = f"{kernel.description}, for {', '.join(by_type)}"
    return found


def _backend_lines(rows: list[dict[str, Any]]) -> list[str]:
    result = []
    for row in rows:
        result.append(f"backends for {row['arrays']}")
        width = max(map(len, row["backends"]))
        result += [f"  {name:<{width}}  {state}" for name, state in row["backends"].items()]
    return result


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def one_line() -> str:
    """The machine in a line, for the head of a log."""
    cpu, _ = machine.native_module("_cpu")
    kernels = f", {cpu.isa()}, {cpu.num_threads()} threads" if cpu is not None else ""
    versions = f"Python {sys.version.split()[0]}, NumPy {metadata.version('numpy')}"
    return f"{machine.cpu_model()}{kernels}; {versions}"
