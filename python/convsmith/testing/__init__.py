"""One case list, tolerances and the machinery that holds any backend against the reference.

``gradcheck`` and ``gradcheck_loss`` hold a layer of your own against central differences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convsmith.testing.gradients import GradcheckReport, gradcheck, gradcheck_loss

__all__ = ["GradcheckReport", "gradcheck", "gradcheck_loss"]


def __getattr__(name: str) -> Any:
    # On first use: `convsmith check` needs the cases here without the layers.
    if name in __all__:
        from convsmith.testing import gradients

        return getattr(gradients, name)
    raise AttributeError(f"module 'convsmith.testing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
