from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convsmith import nn
from convsmith.io import load_weights
from convsmith.optim import SGD
from convsmith.train import (
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    ModelCheckpoint,
    Trainer,
)

X = np.random.default_rng(0).standard_normal((12, 3)).astype(np.float32)
Y = np.arange(12) % 2


def trainer() -> Trainer:
    model = nn.Linear(3, 2)
    return Trainer(model, SGD(model.parameters(), lr=0.1))


def play(callback: Any, values: list[float], name: str = "val_loss") -> tuple[Trainer, int]:
    """Tells a callback of epochs with these values, until it stops them."""
    ours = trainer()
    weight = ours.model.parameters()[0].data
    callback.on_train_begin(ours)
    epochs = 0
    for epoch, value in enumerate(values, 1):
        weight[...] = epoch
        callback.on_epoch_end(ours, epoch, {name: value})
        epochs = epoch
        if ours.stop:
            break
    callback.on_train_end(ours)
    return ours, epochs


def test_early_stopping_waits() -> None:
    callback = EarlyStopping(patience=2)
    assert play(callback, [3, 2, 2, 1, 1, 1.5, 0])[1] == 6
    assert callback.best == 1
    assert callback.best_epoch == 4
    assert play(callback, [3, 2])[1] == 2  # starts anew
    assert callback.best == 2


def test_early_stopping_with_infinities() -> None:
    inf = math.inf
    callback = EarlyStopping(patience=2)
    assert play(callback, [inf, inf, 1])[1] == 2
    assert callback.best is None
    assert play(callback, [inf, 3, 2, inf, inf, 1])[1] == 5
    assert callback.best == 2
    assert play(callback, [-inf, -inf, -inf, 1])[1] == 3
    assert play(EarlyStopping("score", 2, mode="max"), [-inf, 1, inf, inf, inf], "score")[1] == 5


def test_a_monitor_that_will_not_come_is_noticed_before_training(tmp_path: Path) -> None:
    for callback in (
        EarlyStopping(),
        EarlyStopping("los"),
        ModelCheckpoint(tmp_path / "w.npz"),
    ):
        ours = trainer()
        before = ours.model.state_dict()
        with pytest.raises(ValueError, match=r"monitor: got .*, wanted one of epoch, loss, accur"):
            ours.fit(X, Y, callbacks=[callback], progress=False)
        assert all(np.array_equal(before[k], v) for k, v in ours.model.state_dict().items())
    ours = trainer()
    every = ModelCheckpoint(tmp_path / "w.npz", save_best_only=False)
    ours.fit(X, Y, callbacks=[every, EarlyStopping("loss")], progress=False)
    ours.fit(X, Y, callbacks=[EarlyStopping()], validation_data=(X, Y), progress=False)


def test_checkpoint_formats_the_epoch(tmp_path: Path) -> None:
    path = tmp_path / "{a}" / "w{epoch:03d}-{epoch}.npz"
    trainer().fit(X, Y, callbacks=[ModelCheckpoint(path, "loss")], progress=False)
    assert (tmp_path / "{a}" / "w001-1.npz").exists()
    with pytest.raises(ValueError, match="format"):
        ModelCheckpoint("{epoch:q}.npz")


def test_every_callback_is_told_of_the_end() -> None:
    told = []

    def fail(_: Trainer) -> None:
        told.append("failed")
        raise RuntimeError("disk full")

    callbacks = [
        LambdaCallback(on_train_end=fail),
        LambdaCallback(on_train_end=lambda _: told.append("told")),
    ]
    with pytest.raises(RuntimeError, match="disk full"):
        trainer().fit(X, Y, callbacks=callbacks, progress=False)
    assert told == ["failed", "told"]


def test_early_stopping_modes() -> None:
    assert play(EarlyStopping("val_accuracy", 1), [0.1, 0.2, 0.2], "val_accuracy")[1] == 3
    assert play(EarlyStopping("score", 1, mode="max"), [1, 2, 1, 3], "score")[1] == 3
    assert play(EarlyStopping("score", 1), [1, 2, 3], "score")[1] == 2
    assert play(EarlyStopping(patience=1, min_delta=0.5), [3, 2.6, 1])[1] == 2
    assert play(EarlyStopping(patience=2), [math.nan, math.nan, 1])[1] == 2


def test_early_stopping_restores_the_best() -> None:
    ours, _ = play(EarlyStopping(patience=2, restore_best=True), [3, 1, 2, 2])
    assert np.all(ours.model.parameters()[0].data == 2)
    ours, _ = play(EarlyStopping(patience=2), [3, 1, 2, 2])
    assert np.all(ours.model.parameters()[0].data == 4)


def test_checkpoint_of_the_best_and_of_all(tmp_path: Path) -> None:
    best = tmp_path / "new" / "best.npz"
    play(ModelCheckpoint(best), [3, 1, 2])
    other = nn.Linear(3, 2)
    load_weights(other, best)
    assert np.all(other.weight.data == 2)
    play(ModelCheckpoint(tmp_path / "all" / "{epoch}.safetensors", save_best_only=False), [3, 1, 2])
    names = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert names == ["1.safetensors", "2.safetensors", "3.safetensors"]
    load_weights(other, tmp_path / "all" / "3.safetensors")
    assert np.all(other.weight.data == 3)


def test_csv_is_written_epoch_by_epoch(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "history.csv"
    lengths = []
    look = LambdaCallback(
        on_epoch_end=lambda *_: lengths.append(len(path.read_text().splitlines()))
    )
    ours = trainer()
    ours.fit(X, Y, epochs=3, callbacks=[CSVLogger(path), look], progress=False)
    assert lengths == [2, 3, 4]
    assert History.from_csv(path) == ours.history
    ours.fit(X, Y, epochs=2, callbacks=[CSVLogger(path)], progress=False)
    assert History.from_csv(path) == ours.history
    assert ours.history.epochs == 5


def test_a_learning_rate_set_by_a_callback_is_recorded() -> None:
    ours = trainer()

    def halve(trainer: Trainer, epoch: int, logs: Any) -> None:
        assert trainer.optimizer is not None
        trainer.optimizer.lr *= 0.5

    ours.fit(X, Y, epochs=3, callbacks=[LambdaCallback(on_epoch_end=halve)], progress=False)
    assert ours.history["lr"] == [0.1, 0.05, 0.025]


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="patience: got 0"):
        EarlyStopping(patience=0)
    with pytest.raises(ValueError, match="mode: got 'best'"):
        EarlyStopping(mode="best")
    with pytest.raises(ValueError, match="min_delta: got -1"):
        EarlyStopping(min_delta=-1)
    with pytest.raises(ValueError, match="path: got 'weights'"):
        ModelCheckpoint("weights")
    with pytest.raises(ValueError, match=r"monitor: got 'val_loss'.*validation_data"):
        trainer().fit(X, Y, callbacks=[EarlyStopping()], progress=False)


def test_history_round_trip(tmp_path: Path) -> None:
    history = History()
    assert history.last() == {}
    history.append({"epoch": 1, "loss": 0.1 + 0.2})
    history.append({"epoch": 2, "loss": math.inf, "val_loss": 1e-300})
    assert history.epochs == 2
    assert history.last() == {"epoch": 2, "loss": math.inf, "val_loss": 1e-300}
    history.to_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text().splitlines()[1] == "1,0.30000000000000004,nan"
    loaded = History.from_csv(tmp_path / "h.csv")
    assert loaded["loss"] == history["loss"]
    assert math.isnan(loaded["val_loss"][0])
    assert loaded["val_loss"][1] == 1e-300
    History().to_csv(tmp_path / "empty.csv")
    assert History.from_csv(tmp_path / "empty.csv") == {}


@pytest.mark.parametrize("text", ["a,b\n1\n", "a\nx\n", "a,a\n1,2\n"])
def test_bad_csv(tmp_path: Path, text: str) -> None:
    path = tmp_path / "h.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"h\.csv"):
        History.from_csv(path)
