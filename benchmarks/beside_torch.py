"""Does importing PyTorch in the same process slow either library down?

    python benchmarks/beside_torch.py

Each row is a fresh process: the library alone, or the other imported (and used once) before or
after it. The time is the median of a 3x3 convolution of ResNet-50 at batch 8. The processes take
turns for several rounds, and each library's rows are compared with its row alone.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

ROUNDS = 5

OURS = """
import convsmith
from convsmith import ops
from convsmith.bench.layers import conv_layers
import numpy as np
shape = next(l for l in conv_layers("resnet50") if l.name == "res2a_branch2b").shape(8)
x, w = np.ones(shape.x_shape, np.float32), np.ones(shape.weight_shape, np.float32)
def ours(): return ops.conv2d_forward(x, w, shape)
ours()
"""
TORCH = """
import torch
tx = torch.ones(8, 64, 56, 56).to(memory_format=torch.channels_last)
tw = torch.ones(64, 64, 3, 3).to(memory_format=torch.channels_last)
def theirs(): return torch.nn.functional.conv2d(tx, tw, padding=1)
theirs()
"""
MEASURE = """
import statistics
from convsmith.bench.timing import alternate
print(statistics.median(alternate({{"it": lambda: {name}}}, repeats=15)["it"].ms))
"""
ROWS = {
    "convsmith alone": OURS + MEASURE.format(name="ours"),
    "convsmith, torch before": TORCH + OURS + MEASURE.format(name="ours"),
    "convsmith, torch after": OURS + TORCH + MEASURE.format(name="ours"),
    "torch alone": TORCH + MEASURE.format(name="theirs"),
    "torch, convsmith before": OURS + TORCH + MEASURE.format(name="theirs"),
    "torch, convsmith after": TORCH + OURS + MEASURE.format(name="theirs"),
}


def main() -> None:
    times_ms: dict[str, list[float]] = {name: [] for name in ROWS}
    for _ in range(ROUNDS):
        for name, code in ROWS.items():
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            )
            times_ms[name].append(float(done.stdout))
    for name, times in times_ms.items():
        alone = statistics.median(times_ms[f"{name.split()[0].rstrip(',')} alone"])
        median = statistics.median(times)
        print(f"{name:26} {median:7.2f} ms   {median / alone:5.2f} of its time alone")


if __name__ == "__main__":
    main()
