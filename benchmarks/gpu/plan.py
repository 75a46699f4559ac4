"""What the report runs, in the order of what is worth most when the time runs out."""

from __future__ import annotations

from convsmith.backends.table import OPS
from convsmith.bench.layers import conv_layers
from gpu.pieces import Piece

DTYPES = ("float32", "bfloat16")
DIRECTIONS = ("conv2d_forward", "conv2d_backward_input", "conv2d_backward_weight")
SIXTEEN_BIT = tuple(
    f"{op} {dtype}"
    for dtype in ("bfloat16", "float16")
    for op in OPS
    if op not in ("sgd_update", "adam_update")  # 16-bit weights are updated in float32
)
GEMM_SIZES = (1024, 2048, 4096, 8192)
SWEPT = ("conv1", "res2a_branch2b", "res3a_branch1", "res5a_branch2b")
# Of compute-sanitizer, whose other lines begin so too.
FINDINGS = (
    r"^=+ *(Invalid|Program hit|Error:|Warning:|Race|Barrier|Divergent|Uninitialized|Unused)"
    r"|^=+ *Internal Sanitizer Error"
)
SANITIZERS = ("memcheck", "racecheck", "synccheck", "initcheck")


def layer_names() -> tuple[str, ...]:
    return tuple(layer.name for layer in conv_layers("resnet50"))


def pieces() -> tuple[Piece, ...]:
    layers = layer_names()
    swept = tuple(name for name in layers if name in SWEPT) or layers[:2]
    return (
        Piece("copy", "Copy bandwidth", ("1024 MiB", "256 MiB"), 30),
        Piece("correctness", "Ops against float64", OPS, 120, 45),
        Piece("sixteen_bit", "16-bit storage against float64", SIXTEEN_BIT, 100, 30),
        Piece("determinism", "Two runs, the same bits", OPS, 60, 30),
        *(
            Piece(f"sanitized:{tool}", f"compute-sanitizer {tool}", OPS, 60, 50, FINDINGS)
            for tool in SANITIZERS
        ),
        Piece("ops", "Each op", tuple(f"{op} {d}" for op in OPS for d in DTYPES), 60, 20),
        Piece(
            "layers",
            "ResNet-50 layers against cuDNN",
            tuple(f"{n} {d} {t}" for t in DTYPES for d in DIRECTIONS for n in layers),
            150,
            30,
        ),
        Piece(
            "gemm",
            "GEMM against cuBLAS",
            tuple(f"{size} {dtype}" for dtype in DTYPES for size in GEMM_SIZES),
            40,
            20,
        ),
        Piece("simt", "GPU against the simt executor", OPS, 60, 30),
        Piece(
            "sweep",
            "Tile sweep",
            tuple(f"{n} {d} {t}" for n in swept for d in DIRECTIONS for t in DTYPES),
            60,
            20,
        ),
    )
