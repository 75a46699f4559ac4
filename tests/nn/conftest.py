from __future__ import annotations

import pytest

import convsmith


@pytest.fixture(autouse=True)
def _seed() -> None:
    convsmith.seed(0)
