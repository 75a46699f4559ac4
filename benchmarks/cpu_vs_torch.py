"""Times the CPU kernels against PyTorch's: convolution layers, GEMM, a training step.

    python benchmarks/cpu_vs_torch.py                    everything; writes benchmarks/results/
    python benchmarks/cpu_vs_torch.py --network resnet50 --repeats 3 --no-record

One process, the contenders in turn, medians, the same number of threads. The ratio is PyTorch's
best time (of its two memory formats, with huge pages on) over ours: above 1 we are faster. Every
result is compared with PyTorch's before it is timed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import convsmith
from convsmith import _cpu, nn, ops, optim
from convsmith.bench import (
    torch_peer,
)  # first: it sets PyTorch's allocator before torch is imported
from convsmith.bench.hardware import description
from convsmith.bench.layers import NETWORKS, ConvLayer, conv_layers
from convsmith.bench.timing import alternate, geometric_mean

RESULTS = Path(__file__).parent / "results"
DIRECTIONS = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")
GEMMS = [
    (size, transpose_a, transpose_b)
    for size in (1024, 1536, 2048)
    for transpose_a in (False, True)
    for transpose_b in (False, True)
]


def ratio_row(times_ms: dict[str, float], gflop: float | None = None) -> dict[str, Any]:
    peers = {name: time for name, time in times_ms.items() if name != "convsmith"}
    best = min(peers, key=lambda name: peers[name])
    row: dict[str, Any] = {"ms": times_ms, "best_peer": best}
    row["ratio"] = peers[best] / times_ms["convsmith"]
    if gflop is not None:
        row["gflops"] = gflop / times_ms["convsmith"] * 1e3
        row["peer_gflops"] = gflop / peers[best] * 1e3
    return row


def random_array(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def check_same(ours: np.ndarray, theirs: Any, what: str) -> None:
    expected = theirs.numpy()
    if expected.ndim == 4:
        expected = expected.transpose(0, 2, 3, 1)
    error = float(np.linalg.norm(ours - expected) / np.linalg.norm(expected))
    if not error < 1e-5:
        raise SystemExit(f"{what}: differs from PyTorch by {error:.2e} of the norm; not timed")


def time_layer(layer: ConvLayer, batch: int, repeats: int) -> Iterator[dict[str, Any]]:
    shape = layer.shape(batch)
    rng = np.random.default_rng(0)
    x, weight, dy = (
        random_array(rng, s) for s in (shape.x_shape, shape.weight_shape, shape.y_shape)
    )
    ours: dict[str, Callable[[], np.ndarray]] = {
        "conv2d_forward": lambda: ops.conv2d_forward(x, weight, shape),
        "conv2d_backward_input": lambda: ops.conv2d_backward_input(dy, weight, shape),
        "conv2d_backward_weight": lambda: ops.conv2d_backward_weight(x, dy, shape),
    }
    for direction in DIRECTIONS:
        peers = torch_peer.conv2d(direction, x, weight, dy, shape)
        check_same(ours[direction](), next(iter(peers.values()))(), f"{layer.name} {direction}")
        times = alternate({"convsmith": ours[direction], **peers}, repeats=repeats)
        row = ratio_row(times, 2e-9 * shape.macs)
        yield {"network": layer.network, "layer": layer.name, "direction": direction, **row}


def time_convolutions(networks: list[str], batch: int, repeats: int) -> list[dict[str, Any]]:
    rows = []
    wanted = [layer for layer in conv_layers() if layer.network in networks]
    print(f"{'layer':34} {'forward':>18} {'backward_input':>18} {'backward_weight':>18}")
    print(f"{'':34} " + f"{'GFLOP/s   ratio':>18} " * 3)
    for layer in wanted:
        found = list(time_layer(layer, batch, repeats))
        rows += found
        cells = "".join(f"{row['gflops']:11.0f} {row['ratio']:6.2f}x" for row in found)
        print(f"{layer.network + ' ' + layer.name:34} {cells}", flush=True)
    return rows


def time_gemm(repeats: int) -> list[dict[str, Any]]:
    rows = []
    rng = np.random.default_rng(0)
    for size, transpose_a, transpose_b in GEMMS:
        a, b = random_array(rng, (size, size)), random_array(rng, (size, size))
        flags = {"transpose_a": transpose_a, "transpose_b": transpose_b}
        peer = torch_peer.gemm(a, b, transpose_a, transpose_b)
        check_same(ops.gemm(a, b, **flags), peer(), f"gemm {size}")
        ours = lambda a=a, b=b, flags=flags: ops.gemm(a, b, **flags)  # noqa: E731
        row = ratio_row(
            alternate({"convsmith": ours, "torch": peer}, repeats=repeats), 2e-9 * size**3
        )
        name = f"gemm {size} {'T' if transpose_a else 'N'}{'T' if transpose_b else 'N'}"
        print(f"{name:34} {row['gflops']:11.0f} {row['ratio']:6.2f}x", flush=True)
        rows.append({"name": name, **row})
    return rows


def time_demo_step(repeats: int, batch: int = 64) -> dict[str, Any]:
    from convsmith.models import demo_cnn

    rng = np.random.default_rng(0)
    x = random_array(rng, (batch, 32, 32, 1))
    labels = rng.integers(0, 10, batch)
    convsmith.seed(0)
    model = demo_cnn()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)

    def step() -> float:
        model.zero_grad()
        logits, cache = model.forward(x, training=True)
        loss, dlogits = nn.cross_entropy(logits, labels)
        model.backward(dlogits, cache, input_grad=False)
        optimizer.step()
        return loss

    contenders = {"convsmith": step, **torch_peer.demo_steps(x, labels)}
    row = ratio_row(alternate(contenders, repeats=4 * repeats))
    print(f"demo training step, batch {batch}: {row['ms']}  {row['ratio']:.2f}x")
    return {"batch": batch, **row}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", action="append", choices=NETWORKS, help="repeatable")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=_cpu.num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=("conv", "gemm", "step"))
    parser.add_argument("--no-record", action="store_true", help="print only")
    args = parser.parse_args()
    _cpu.set_num_threads(args.threads)
    torch_peer.set_threads(args.threads)

    record: dict[str, Any] = {
        "machine": {**description(args.threads), **torch_peer.describe()},
        "batch": args.batch,
    }
    summary: dict[str, float] = {}
    if args.only in (None, "conv"):
        rows = time_convolutions(args.network or list(NETWORKS), args.batch, args.repeats)
        record["conv2d"] = rows
        for direction in DIRECTIONS:
            ratios = [row["ratio"] for row in rows if row["direction"] == direction]
            summary[direction] = geometric_mean(ratios)
    if args.only in (None, "gemm"):
        record["gemm"] = time_gemm(args.repeats)
        summary["gemm"] = geometric_mean(row["ratio"] for row in record["gemm"])
    if args.only in (None, "step"):
        record["demo_step"] = time_demo_step(args.repeats)
        summary["demo_step"] = record["demo_step"]["ratio"]
    record["geometric_mean_ratio"] = summary
    print("\nPyTorch's time over ours, geometric mean (above 1: convsmith is faster)")
    for name, ratio in summary.items():
        print(f"  {name:26} {ratio:.2f}x")
    if not args.no_record:
        RESULTS.mkdir(exist_ok=True)
        target = RESULTS / f"cpu_vs_torch_{args.threads}threads.json"
        target.write_text(json.dumps(record, indent=1) + "\n")
        print(f"written: {target}")


if __name__ == "__main__":
    main()
