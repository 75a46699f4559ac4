"""The training loop, for those who do not want to write their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import Any, TypeAlias

import numpy as np

from convsmith.arrays import Array
from convsmith.data.batches import Batches
from convsmith.nn.layer import Layer
from convsmith.nn.loss import cross_entropy
from convsmith.ops.geometry import as_int, check_range
from convsmith.optim.optimizer import Optimizer
from convsmith.train.callbacks import Callback
from convsmith.train.history import History
from convsmith.train.metrics import accuracy
from convsmith.train.progress import Progress

Loss: TypeAlias = Callable[[Array, Array], tuple[float, Array]]
Metric: TypeAlias = Callable[[Array, Array], float]

# Arrays, or something that gives batches (x, y) each time it is iterated over.
Data: TypeAlias = Any


class Trainer:
    """Trains and evaluates a model.

    loss(outputs, y) gives (value, gradient); metrics name further functions (outputs, y) -> float
    and default to the accuracy where y are integers, one per row of outputs. ``history`` grows
    with every epoch of every ``fit`` and is complete up to the last finished epoch whatever ends
    the training, Ctrl-C included. The same seed, data, build and device give the same weights, bit
    for bit.

    >>> trainer = Trainer(model, Adam(model.parameters()))
    >>> history = trainer.fit(x_train, y_train, epochs=10, validation_data=(x_test, y_test))
    >>> trainer.evaluate(x_test, y_test)
    {'loss': 0.05, 'accuracy': 0.99}
    """

    def __init__(
        self,
        model: Layer,
        optimizer: Optimizer | None = None,
        loss: Loss = cross_entropy,
        metrics: Mapping[str, Metric] | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.metrics = metrics
        self.history = History()
        self.stop = False
        # What the epochs of the current ``fit`` may be asked for: loss, val_accuracy, ...
        self.quantities: tuple[str, ...] = ()

    def fit(
        self,
        x: Data,
        y: Array | None = None,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: Data = None,
        callbacks: Sequence[Callback] = (),
        shuffle: bool = True,
        progress: bool = True,
    ) -> History:
        """Trains for ``epochs`` more epochs and returns ``history``.

        x and y are arrays with rows in the first dimension; or x alone gives batches (x, y), of
        its own size and in its own order, each time it is iterated over. validation_data is (x,
        y), read by batch_size too, or such an iterable, a list of batches for one. A smaller last
        batch counts by its rows. Values of the training set are means over the epoch, while the
        model changes; "seconds" are those of the epoch without validation.
        """
        if self.optimizer is None:
            raise ValueError("Trainer.fit: got no optimizer; give one to Trainer(...)")
        epochs = as_int("Trainer.fit", "epochs", epochs)
        check_range("Trainer.fit", "epochs", epochs, 0)
        batches = _batches("Trainer.fit", x, y, batch_size, shuffle)
        validation = _validation(validation_data, batch_size)
        for name, data in (("x", batches), ("validation_data", validation)):
            if data is not None and _length(data) == 0:
                raise ValueError(f"Trainer.fit: {name}: got no batch; the data is empty")
        self.stop = False
        self.quantities = self._quantities(validation is not None)
        first = self.history.epochs + 1
        try:
            for callback in callbacks:
                callback.on_train_begin(self)
            for epoch in range(first, first + epochs):
                for callback in callbacks:
                    callback.on_epoch_begin(self, epoch)
                bar = Progress(progress, epoch, first + epochs - 1, _length(batches))
                try:
                    logs = self._train_epoch(epoch, batches, callbacks, bar)
                    if validation is not None:
                        found = self.evaluate(validation)
                        logs.update({f"val_{name}": value for name, value in found.items()})
                    bar.finish(logs)
                finally:
                    bar.close()
                self.history.append(logs)
                for callback in callbacks:
                    callback.on_epoch_end(self, epoch, logs)
                if self.stop:
                    break
        finally:
            self._tell_end(callbacks)
        return self.history

    def train_batch(self, x: Array, y: Array) -> tuple[float, Array]:
        """One step of the optimizer; returns the loss and the outputs before it."""
        assert self.optimizer is not None
        outputs, cache = self.model.forward(x, training=True)
        loss, dy = self.loss(outputs, y)
        # Of all the model's parameters, also those that this optimizer does not update.
        self.model.zero_grad()
        self.model.backward(dy, cache, input_grad=False)
        self.optimizer.step()
        return loss, outputs

    def evaluate(
        self, x: Data, y: Array | None = None, *, batch_size: int = 128
    ) -> dict[str, float]:
        """Loss and metrics in inference mode, means over all rows: {"loss": ..., ...}."""
        means = _Means()
        for x_batch, y_batch in _batches("Trainer.evaluate", x, y, batch_size, False):
            outputs = self.model(x_batch)
            self._measure(means, self.loss(outputs, y_batch)[0], outputs, y_batch)
        return means.values("Trainer.evaluate")

    def predict(self, x: Array, *, batch_size: int = 128) -> Array:
        """The model's outputs for all rows of x, in inference mode."""
        batches = Batches(x, batch_size=batch_size)
        outputs = [self.model(x_batch) for x_batch, _ in batches]
        if not outputs:
            return self.model(batches.x)
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    def _train_epoch(
        self, epoch: int, batches: Iterable[Any], callbacks: Sequence[Callback], bar: Progress
    ) -> dict[str, float]:
        assert self.optimizer is not None
        start = time.perf_counter()
        means = _Means()
        for number, (x, y) in enumerate(batches):
            loss, outputs = self.train_batch(x, y)
            self._measure(means, loss, outputs, y)
            bar.batch_done(means.mean("loss"))
            for callback in callbacks:
                callback.on_batch_end(self, number, {"loss": loss})
        return {
            "epoch": epoch,
            **means.values("Trainer.fit"),
            "lr": self.optimizer.lr,
            "seconds": time.perf_counter() - start,
        }

    def _quantities(self, validation: bool) -> tuple[str, ...]:
        measured = ("loss", *(("accuracy",) if self.metrics is None else self.metrics))
        if validation:
            measured += tuple(f"val_{name}" for name in measured)
        return ("epoch", *measured, "lr", "seconds")

    def _tell_end(self, callbacks: Sequence[Callback]) -> None:
        # Every callback is told, also when one before it raises.
        if callbacks:
            try:
                callbacks[0].on_train_end(self)
            finally:
                self._tell_end(callbacks[1:])

    def _measure(self, means: _Means, loss: float, outputs: Array, y: Array) -> None:
        rows = len(y)
        means.add("loss", loss, rows)
        metrics = self.metrics
        if metrics is None:
            classes = y.dtype.kind in "iu" and y.shape == outputs.shape[:-1]
            metrics = {"accuracy": accuracy} if classes else {}
        for name, metric in metrics.items():
            means.add(name, metric(outputs, y), rows)


class _Means:
    """Means over rows of values that are means over batches."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.rows: dict[str, int] = {}

    def add(self, name: str, value: float, rows: int) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + value * rows
        self.rows[name] = self.rows.get(name, 0) + rows

    def mean(self, name: str) -> float:
        return self.sums[name] / self.rows[name]

    def values(self, caller: str) -> dict[str, float]:
        if not self.sums:
            raise ValueError(f"{caller}: got no batch; the data is empty, or was used up before")
        return {name: self.mean(name) for name in self.sums}


def _batches(
    caller: str, x: Data, y: Array | None, batch_size: int, shuffle: bool
) -> Iterable[Any]:
    if y is not None:
        return Batches(x, y, batch_size=batch_size, shuffle=shuffle)
    if hasattr(x, "shape") or not isinstance(x, Iterable):
        raise TypeError(
            f"{caller}: y: got None with x a {type(x).__name__}, wanted the labels of x, or an x "
            "that gives batches (x, y)"
        )
    return x


def _validation(data: Data, batch_size: int) -> Iterable[Any] | None:
    if data is None:
        return None
    # A list of two arrays is a pair as well; any other list is one of batches.
    if isinstance(data, tuple) or (
        isinstance(data, list) and any(hasattr(part, "shape") for part in data)
    ):
        if len(data) != 2 or data[1] is None:
            raise ValueError(f"Trainer.fit: validation_data: got {len(data)} things, wanted (x, y)")
        return Batches(*data, batch_size=batch_size)
    return _batches("Trainer.fit: validation_data", data, None, batch_size, False)


def _length(batches: Iterable[Any]) -> int | None:
    return len(batches) if isinstance(batches, Sized) else None
