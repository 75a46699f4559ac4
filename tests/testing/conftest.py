"""Fewer cases, for tests that run the whole list."""

from __future__ import annotations

import pytest
from planted import few

from convsmith.testing import check


@pytest.fixture
def fewer_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "cases_for", few)
