"""Every test starts from one seed, and nothing that must be there is skipped.

CONVSMITH_TEST_REQUIRE is a comma list of modules ("torch,convsmith._cpu,sklearn") that have to
be importable. Without it, tests of what is not installed are skipped, and a broken build would be
a green run.
"""

from __future__ import annotations

import importlib
import os

import pytest

import convsmith


def pytest_configure(config: pytest.Config) -> None:
    missing = []
    for name in filter(None, os.environ.get("CONVSMITH_TEST_REQUIRE", "").split(",")):
        try:
            importlib.import_module(name.strip())
        except ImportError as error:
            missing.append(f"{name}: {error}")
    if missing:
        raise pytest.UsageError("CONVSMITH_TEST_REQUIRE: " + "; ".join(missing))


@pytest.fixture(autouse=True)
def _seed() -> None:
    convsmith.seed(0)
