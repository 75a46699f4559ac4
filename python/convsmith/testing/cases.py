"""The one list of cases that the tests, `convsmith check` and the benchmarks run on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import cast

from convsmith.testing.conv2d_cases import Conv2dCase, conv2d_cases
from convsmith.testing.gemm_cases import GemmCase, gemm_cases
from convsmith.testing.norm_cases import (
    BatchNormCase,
    LocalResponseNormCase,
    batch_norm_cases,
    local_response_norm_cases,
)
from convsmith.testing.pool2d_cases import (
    AdaptivePool2dCase,
    Pool2dCase,
    adaptive_pool2d_cases,
    pool2d_cases,
)
from convsmith.testing.problem import Case
from convsmith.testing.rows_cases import (
    CrossEntropyCase,
    ElementwiseCase,
    SoftmaxCase,
    UpdateCase,
    cross_entropy_cases,
    elementwise_cases,
    softmax_cases,
    update_cases,
)
from convsmith.testing.upsample2d_cases import UpsampleCase, upsample2d_cases

__all__ = [
    "AdaptivePool2dCase",
    "BatchNormCase",
    "Case",
    "Conv2dCase",
    "CrossEntropyCase",
    "ElementwiseCase",
    "GemmCase",
    "LocalResponseNormCase",
    "Pool2dCase",
    "SoftmaxCase",
    "UpdateCase",
    "UpsampleCase",
    "all_cases",
    "cases_for",
]

DEFAULT_SEED = 20250301


def _generate(seed: int) -> Iterator[object]:
    yield from conv2d_cases(seed)
    yield from gemm_cases(seed)
    yield from pool2d_cases(seed)
    yield from adaptive_pool2d_cases(seed)
    yield from batch_norm_cases()
    yield from local_response_norm_cases()
    yield from elementwise_cases()
    yield from softmax_cases()
    yield from cross_entropy_cases()
    yield from upsample2d_cases()
    yield from update_cases()


@lru_cache(maxsize=4)
def all_cases(seed: int = DEFAULT_SEED) -> tuple[Case, ...]:
    """Every case, each id once; another seed draws other random geometries."""
    unique: dict[str, Case] = {}
    for made in _generate(seed):
        case = cast(Case, made)
        unique.setdefault(case.id, case)
    return tuple(unique.values())


@lru_cache(maxsize=128)
def cases_for(op: str, seed: int = DEFAULT_SEED) -> tuple[Case, ...]:
    """The cases that exercise `op`."""
    return tuple(case for case in all_cases(seed) if op in case.ops)
