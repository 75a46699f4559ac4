"""Progress on standard error: a tqdm bar where tqdm is installed, a line per epoch otherwise."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any


class Progress:
    """Shows one epoch. ``enabled=False`` shows nothing."""

    def __init__(self, enabled: bool, epoch: int, epochs: int, batches: int | None) -> None:
        self.title = f"epoch {epoch}/{epochs}"
        self.enabled = enabled
        self._bar: Any = None
        if enabled:
            try:
                tqdm = importlib.import_module("tqdm")
            except ImportError:
                return
            self._bar = tqdm.tqdm(total=batches, desc=self.title, unit="batch")

    def batch_done(self, loss: float) -> None:
        """Counts a batch and shows ``loss``, the mean over the epoch so far."""
        if self._bar is not None:
            self._bar.set_postfix({"loss": f"{loss:.4g}"}, refresh=False)
            self._bar.update()

    def finish(self, logs: Mapping[str, float]) -> None:
        """Shows the epoch's values."""
        values = {k: f"{v:.4g}" for k, v in logs.items() if k not in ("epoch", "lr", "seconds")}
        if self._bar is not None:
            self._bar.set_postfix(values)
        elif self.enabled:
            text = ", ".join(f"{name} {value}" for name, value in values.items())
            print(f"{self.title}: {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
