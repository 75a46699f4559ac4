"""The native module, and its settings put back after each test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

_cpu = pytest.importorskip("convsmith._cpu")


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    isa, threads = _cpu.isa(), _cpu.num_threads()
    yield
    _cpu.set_isa(isa)
    _cpu.set_num_threads(threads)
    _cpu.set_poison(False)


@pytest.fixture(params=_cpu.available_isas())
def isa(request: Any) -> str:
    _cpu.set_isa(request.param)
    return str(request.param)
