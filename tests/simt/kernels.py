"""The kernels compiled into convsmith._simt, each template instantiation by itself."""

from __future__ import annotations

import re
import subprocess

from convsmith.backends import simt

_SYMBOL = re.compile(r"^([0-9a-f]+) [tTwW] (?:void )?convsmith::cuda::(.*)$")
_KERNEL = re.compile(r"^(?:\(anonymous namespace\)::)?(\w+_kernel)(<.*>)?\(.*\)$")


def existing() -> dict[int, str]:
    """Offset in the module -> name, e.g. add_kernel<float, 4>."""
    module = simt._simt.__file__
    done = subprocess.run(["nm", "-C", module], capture_output=True, text=True, check=True)
    found = {}
    for line in done.stdout.splitlines():
        symbol = _SYMBOL.match(line)
        kernel = symbol and "{lambda" not in line and _KERNEL.match(symbol[2])
        if symbol and kernel:
            found[int(symbol[1], 16)] = short(kernel[1] + (kernel[2] or ""))
    return found


def short(name: str) -> str:
    return name.replace("convsmith::cuda::", "").replace("(anonymous namespace)::", "")


def take_launched() -> set[int]:
    """Offsets of the kernels that ran since the last call."""
    return set(simt._simt.take_launched_kernels())
