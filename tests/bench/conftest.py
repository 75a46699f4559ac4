"""A network of small layers, one of each kind, and a machine with small caches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from convsmith.bench import cold, limits, session, timing, works
from convsmith.bench.layers import ConvLayer, OtherLayer


def conv_layer(name: str = "conv", count: int = 1, **changes: Any) -> ConvLayer:
    values = {"in_h": 9, "in_w": 9, "in_c": 8, "out_c": 16, "kernel": (3, 3), "stride": (1, 1)}
    values |= {"padding": (1, 1), "dilation": (1, 1), "groups": 1} | changes
    return ConvLayer("resnet18", name, count, **values)


CONVS = (
    conv_layer("conv1", in_c=3, kernel=(7, 7), stride=(2, 2), padding=(3, 3)),
    conv_layer("conv2", count=3),
    conv_layer("conv3", kernel=(1, 1), padding=(0, 0)),
    conv_layer("conv4", out_c=8, groups=8),
)
_KINDS = (
    ("max_pool2d", "maxpool", 3, 2, 1, 0),
    ("avg_pool2d", "avgpool", 3, 2, 1, 0),
    ("adaptive_avg_pool2d", "adaptive", 0, 0, 0, 1),
    ("batch_norm", "bn", 0, 0, 0, 0),
    ("local_response_norm", "lrn", 0, 0, 0, 0),
    ("relu", "relu", 0, 0, 0, 0),
    ("add", "add", 0, 0, 0, 0),
    ("linear", "fc", 0, 0, 0, 10),
    ("softmax", "loss", 0, 0, 0, 0),
    ("update", "parameters", 0, 0, 0, 0),
)
OTHERS = tuple(
    OtherLayer("resnet18", kind, name, 2, 9, 9, 24, *rest) for kind, name, *rest in _KINDS
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything that takes long on a real machine made short."""
    monkeypatch.setattr(works, "conv_layers", lambda network: iter(CONVS))
    monkeypatch.setattr(works, "other_layers", lambda network: iter(OTHERS))
    monkeypatch.setattr(works, "_SQUARE", (32,))
    monkeypatch.setattr(works, "_SKINNY", ((1, 40, 24),))
    monkeypatch.setattr(cold, "last_level_bytes", lambda: 1 << 18)
    monkeypatch.setattr(limits, "last_level_bytes", lambda: 1 << 18)
    monkeypatch.setattr(limits, "_ROUNDS", 1000)
    monkeypatch.setattr(limits, "_TRIES", 2)
    sticks = partial(limits.Yardsticks, elements=1 << 12)
    monkeypatch.setattr(session.limits, "Yardsticks", sticks)
    monkeypatch.setattr(session, "HostClock", partial(timing.HostClock, settle_s=0.0))
    yield


def layer_of(work: Any) -> str:
    return str(work.uses[0].layer)
