"""Callbacks: objects that a Trainer tells what happens, and that may stop it."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convsmith.arrays import Array
from convsmith.io.weights import save_weights
from convsmith.train.history import csv_text

if TYPE_CHECKING:
    from convsmith.train.trainer import Trainer

Logs = Mapping[str, float]


class Callback:
    """Override what is of interest. ``trainer.stop = True`` ends training after the epoch.

    ``logs`` holds the epoch's values so far, as they go into the history: loss, accuracy,
    val_loss, ... Epochs count from 1, batches from 0.
    """

    def on_train_begin(self, trainer: Trainer) -> None: ...

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None: ...

    def on_batch_end(self, trainer: Trainer, batch: int, logs: Logs) -> None: ...

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None: ...

    def on_train_end(self, trainer: Trainer) -> None:
        """Called once, also when training ends in an error or by Ctrl-C."""


class LambdaCallback(Callback):
    """A callback from functions, which take what the methods of the same names take."""

    def __init__(
        self,
        on_train_begin: Callable[[Trainer], Any] | None = None,
        on_epoch_begin: Callable[[Trainer, int], Any] | None = None,
        on_batch_end: Callable[[Trainer, int, Logs], Any] | None = None,
        on_epoch_end: Callable[[Trainer, int, Logs], Any] | None = None,
        on_train_end: Callable[[Trainer], Any] | None = None,
    ) -> None:
        functions = {
            "on_train_begin": on_train_begin,
            "on_epoch_begin": on_epoch_begin,
            "on_batch_end": on_batch_end,
            "on_epoch_end": on_epoch_end,
            "on_train_end": on_train_end,
        }
        for name, function in functions.items():
            if function is not None:
                setattr(self, name, function)


class _Monitor(Callback):
    """Knows whether an epoch's value of one quantity is the best so far."""

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(
                f'{type(self).__name__}: mode: got {mode!r}, wanted "auto", "min" or "max"'
            )
        if not (math.isfinite(min_delta) and min_delta >= 0):
            raise ValueError(f"{type(self).__name__}: min_delta: got {min_delta}, wanted 0 or more")
        self.monitor = monitor
        self.larger_is_better = mode == "max" or (mode == "auto" and "accuracy" in monitor)
        self.min_delta = float(min_delta)
        self.best: float | None = None
        self.best_epoch = 0

    def check_monitor(self, trainer: Trainer) -> None:
        """Raises ValueError for a quantity that the training ahead will not give."""
        if trainer.quantities and self.monitor not in trainer.quantities:
            raise self._unknown(trainer.quantities)

    def _unknown(self, known: Iterable[str]) -> ValueError:
        return ValueError(
            f"{type(self).__name__}: monitor: got {self.monitor!r}, wanted one of "
            f"{', '.join(known)}" + ("; val_... needs validation_data" * ("val" in self.monitor))
        )

    def improved(self, epoch: int, logs: Logs) -> bool:
        """Notes the value of this epoch. NaN and the worst infinity are never an improvement."""
        if self.monitor not in logs:
            raise self._unknown(logs)
        value = logs[self.monitor]
        sign = 1.0 if self.larger_is_better else -1.0
        # Added, not subtracted: infinity less infinity is NaN.
        least = -math.inf if self.best is None else sign * self.best + self.min_delta
        if not sign * value > least:
            return False
        self.best, self.best_epoch = value, epoch
        return True


class EarlyStopping(_Monitor):
    """Stops when ``monitor`` has not got better, by more than min_delta, for ``patience`` epochs.

    mode "auto" wants accuracies large and everything else small. With restore_best, the model ends
    with the weights of its best epoch.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = False,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if patience < 1:
            raise ValueError(f"EarlyStopping: patience: got {patience}, wanted at least 1")
        self.patience = int(patience)
        self.restore_best = bool(restore_best)
        self._waited = 0
        self._best_state: dict[str, Array] | None = None

    def on_train_begin(self, trainer: Trainer) -> None:
        self.check_monitor(trainer)
        self.best, self.best_epoch, self._waited, self._best_state = None, 0, 0, None

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        if self.improved(epoch, logs):
            self._waited = 0
            if self.restore_best:
                self._best_state = trainer.model.state_dict()
            return
        self._waited += 1
        if self._waited >= self.patience:
            trainer.stop = True

    def on_train_end(self, trainer: Trainer) -> None:
        if self._best_state is not None:
            trainer.model.load_state_dict(self._best_state)
            self._best_state = None


class ModelCheckpoint(_Monitor):
    """Saves the weights after each epoch, or after those alone in which ``monitor`` got better.

    path ends in .npz or .safetensors; "{epoch}" in it becomes the epoch's number, "{epoch:03d}"
    one of three digits. A file is complete or not there: it is written aside and then moved.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str = "val_loss",
        save_best_only: bool = True,
        mode: str = "auto",
    ) -> None:
        super().__init__(monitor, mode, 0.0)
        self.path = os.fspath(path)
        self.save_best_only = bool(save_best_only)
        if Path(self.path).suffix not in (".npz", ".safetensors"):
            raise ValueError(
                f"ModelCheckpoint: path: got {self.path!r}, wanted a name that ends in .npz or "
                ".safetensors"
            )

        self._path_of(1)

    def _path_of(self, epoch: int) -> Path:
        # Not str.format of the whole: other braces may stand in a path.
        return Path(re.sub(r"\{epoch(:[^{}]*)?\}", lambda m: m[0].format(epoch=epoch), self.path))

    def on_train_begin(self, trainer: Trainer) -> None:
        if self.save_best_only:
            self.check_monitor(trainer)

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        if not self.save_best_only or self.improved(epoch, logs):
            path = self._path_of(epoch)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_weights(trainer.model, path)


class CSVLogger(Callback):
    """Writes each epoch's values as a line of a CSV file, at once, so that a crash loses none.

    History.from_csv reads it. The file begins with the epochs that the trainer's history already
    holds; the columns are those of the first epoch.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._names: list[str] = []

    def on_train_begin(self, trainer: Trainer) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._names = list(trainer.history)
        if self._names:
            trainer.history.to_csv(self.path)
        else:
            self.path.write_text("")

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Logs) -> None:
        # Closed after every line, which also hands it to the operating system.
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if not self._names:
                self._names = list(logs)
                writer.writerow(self._names)
            writer.writerow([csv_text(float(logs.get(name, math.nan))) for name in self._names])
