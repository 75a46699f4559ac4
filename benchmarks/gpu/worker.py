"""`python -m gpu.worker PIECE ITEM...`: one process that works off items and says how it went."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

# Piece -> where the function is that does one item.
PIECES = {
    "correctness": "gpu.correctness:check_op",
    "sixteen_bit": "gpu.correctness:check_op",
    "simt": "gpu.correctness:compare_with_simt",
    "determinism": "gpu.correctness:same_bits",
    "sanitized": "gpu.correctness:run_small_cases",
    "copy": "gpu.timing:copy_bandwidth",
    "ops": "gpu.timing:time_op",
    "layers": "gpu.layers:time_layer",
    "gemm": "gpu.layers:time_gemm",
    "sweep": "gpu.layers:sweep",
}

# After one of these, nothing that this process does on the GPU can be believed.
_STICKY = ("CUDARuntimeError", "DeviceError", "AcceleratorError", "OutOfMemoryError")


def say(item: str, state: str, **rest: Any) -> None:
    print(json.dumps({"item": item, "state": state, **rest}), flush=True)


def work(function: Callable[[str], dict[str, Any]], items: list[str]) -> int:
    """Every item; 1, at once, after an error that leaves the GPU unusable for this process."""
    for item in items:
        say(item, "begin")
        try:
            result = function(item)
        except Exception as error:  # whatever a kernel under test raises is its result
            say(item, "failed", error=f"{type(error).__name__}: {error}")
            traceback.print_exc()
            if type(error).__name__ in _STICKY or "CUDA error" in str(error):
                return 1
            continue
        state = "ok" if result.pop("ok", True) else "failed"
        say(item, state, **result)
    return 0


def main(arguments: list[str]) -> int:
    piece, *items = arguments
    module, _, name = PIECES[piece].partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # a missing library is the result of every item
        traceback.print_exc()
        for item in items:
            say(item, "failed", error=f"{type(error).__name__}: {error}")
        return 0
    return work(function, items)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
