from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import convsmith
from convsmith import nn
from convsmith.data import Batches
from convsmith.optim import SGD, Adam
from convsmith.train import Callback, LambdaCallback, Trainer, top_k_accuracy


def problem(rows: int = 90) -> tuple[Any, Any]:
    """Images with one bright row; its position is the class."""
    rng = np.random.default_rng(0)
    y = np.arange(rows) % 3
    x = rng.standard_normal((rows, 6, 6, 1)).astype(np.float32) * 0.3
    for class_ in range(3):
        x[y == class_, 2 * class_] += 1
    return x, y


def small_model() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(36, 3),
    )


def trainer(**options: Any) -> Trainer:
    convsmith.seed(3)
    model = small_model()
    return Trainer(model, Adam(model.parameters(), lr=0.01), **options)


def test_it_learns() -> None:
    ours = trainer()
    x, y = problem()
    history = ours.fit(x, y, epochs=8, batch_size=16, validation_data=(x, y), progress=False)
    assert history is ours.history
    assert list(history) == [
        "epoch",
        "loss",
        "accuracy",
        "lr",
        "seconds",
        "val_loss",
        "val_accuracy",
    ]
    assert history["epoch"] == list(range(1, 9))
    assert history["loss"][-1] < 0.2 * history["loss"][0]
    assert history["val_accuracy"][-1] > 0.98
    result = ours.evaluate(x, y, batch_size=7)
    assert result["accuracy"] == history["val_accuracy"][-1]
    assert result["loss"] == pytest.approx(history["val_loss"][-1], rel=1e-5)
    outputs = ours.predict(x, batch_size=7)
    assert outputs.shape == (90, 3)
    np.testing.assert_allclose(outputs, ours.model(x), rtol=1e-5, atol=1e-6)
    assert ours.predict(x[:0]).shape == (0, 3)
    ours.fit(x, y, epochs=1, progress=False)
    assert history["epoch"][-1] == 9


def test_the_same_seed_gives_the_same_weights() -> None:
    x, y = problem()

    def run() -> tuple[dict[str, Any], list[float]]:
        ours = trainer()
        ours.fit(x, y, epochs=2, batch_size=16, progress=False)
        return ours.model.state_dict(), ours.history["loss"]

    (first, first_loss), (second, second_loss) = run(), run()
    assert first_loss == second_loss
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key])


def test_it_does_what_the_explicit_loop_does() -> None:
    x, y = problem(20)
    ours = trainer()
    ours.fit(x, y, epochs=2, batch_size=8, progress=False)  # the last batch has 4 rows
    convsmith.seed(3)
    model = small_model()
    optimizer = Adam(model.parameters(), lr=0.01)
    for _ in range(2):
        losses = []
        for x_batch, y_batch in Batches(x, y, batch_size=8, shuffle=True):
            logits, cache = model.forward(x_batch, training=True)
            loss, dlogits = nn.cross_entropy(logits, y_batch)
            model.zero_grad()
            model.backward(dlogits, cache)
            optimizer.step()
            losses.append(loss * len(y_batch))
    assert ours.history["loss"][-1] == pytest.approx(sum(losses) / 20, rel=1e-12)
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value, ours.model.state_dict()[key])


def test_batches_given_by_the_user_and_other_losses() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3)).astype(np.float32)
    y = x @ np.array([[1.0], [2.0], [-1.0]], np.float32)
    model = nn.Linear(3, 1)
    ours = Trainer(model, SGD(model.parameters(), lr=0.1), loss=nn.mse_loss)
    data = Batches(x, y, batch_size=10)
    history = ours.fit(data, epochs=30, validation_data=data, progress=False)
    assert "accuracy" not in history
    assert history["val_loss"][-1] < 1e-3
    assert ours.evaluate(data) == {"loss": history["val_loss"][-1]}


def test_validation_data_of_every_kind() -> None:
    x, y = problem(30)
    found = []
    for data in (
        (x, y),
        [x, y],
        Batches(x, y, batch_size=8),
        list(Batches(x, y, batch_size=8)),
        list(Batches(x, y, batch_size=15)),  # two batches are no pair of arrays
    ):
        ours = trainer()
        ours.fit(x, y, batch_size=8, validation_data=data, progress=False)
        found.append(ours.history["val_loss"][0])
    np.testing.assert_allclose(found, found[0], rtol=1e-5)


def test_validation_runs_by_the_batch_size() -> None:
    x, y = problem(30)
    rows = []

    class Spy(nn.Sequential):
        def forward(self, x: Any, training: bool = False) -> Any:
            rows.append(len(x))
            return super().forward(x, training)

    model = Spy(nn.Flatten(), nn.Linear(36, 3))
    ours = Trainer(model, Adam(model.parameters()))
    ours.fit(x, y, batch_size=10, validation_data=(x, y), progress=False)
    assert rows == [10] * 6


def test_empty_data_is_noticed_before_training() -> None:
    x, y = problem(10)
    ours = trainer()
    before = ours.model.state_dict()
    for empty in ((x[:0], y[:0]), []):
        with pytest.raises(ValueError, match="validation_data: got no batch"):
            ours.fit(x, y, validation_data=empty, progress=False)
    with pytest.raises(ValueError, match="x: got no batch"):
        ours.fit(x[:0], y[:0], progress=False)
    after = ours.model.state_dict()
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_gradients_of_frozen_parameters_do_not_pile_up() -> None:
    x, y = problem(20)
    model = small_model()
    ours = Trainer(model, SGD(model[-1].parameters()))
    ours.train_batch(x, y)
    once = model.parameters()[0].grad.copy()
    ours.optimizer.lr = 0.0  # type: ignore[union-attr]
    ours.train_batch(x, y)
    again = model.parameters()[0].grad
    assert abs(again).max() < 1.5 * abs(once).max()


def test_integers_that_are_no_classes_have_no_accuracy() -> None:
    x = np.ones((8, 3), np.float32)
    model = nn.Linear(3, 1)
    ours = Trainer(model, SGD(model.parameters()), loss=lambda o, y: nn.mse_loss(o, y + 0.0 * o))
    assert list(ours.evaluate(x, np.ones((8, 1), np.int64))) == ["loss"]


def test_lists_and_tensors_are_refused() -> None:
    x, y = problem(10)
    ours = trainer()
    for act in (
        lambda: ours.fit(x.tolist(), y),
        lambda: ours.fit(x, y.tolist()),
        lambda: ours.evaluate(x, y.tolist()),
        lambda: ours.fit(x, y, validation_data=(x.tolist(), y)),
        lambda: ours.predict(x.tolist()),
    ):
        with pytest.raises(TypeError, match=r"got a builtins\.list, wanted a numpy\.ndarray"):
            act()


def test_metrics_of_the_user() -> None:
    x, y = problem(12)
    ours = trainer(metrics={"top2": lambda outputs, labels: top_k_accuracy(outputs, labels, 2)})
    result = ours.evaluate(x, y)
    assert list(result) == ["loss", "top2"]
    assert ours.history == {}


def test_ctrl_c_leaves_the_history_of_whole_epochs() -> None:
    x, y = problem(30)
    ended = []

    def interrupt(trainer: Trainer, batch: int, logs: Any) -> None:
        if trainer.history.epochs == 2 and batch == 1:
            raise KeyboardInterrupt

    callback = LambdaCallback(on_batch_end=interrupt, on_train_end=ended.append)
    ours = trainer()
    with pytest.raises(KeyboardInterrupt):
        ours.fit(x, y, epochs=5, batch_size=8, callbacks=[callback], progress=False)
    assert ours.history["epoch"] == [1, 2]
    assert len({len(column) for column in ours.history.values()}) == 1
    assert ended == [ours]
    ours.fit(x, y, epochs=1, progress=False)
    assert ours.history["epoch"] == [1, 2, 3]


def test_callbacks_are_told_everything_in_order() -> None:
    told: list[Any] = []

    class Listener(Callback):
        def on_train_begin(self, trainer: Trainer) -> None:
            told.append("train begin")

        def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
            told.append(("epoch begin", epoch))

        def on_batch_end(self, trainer: Trainer, batch: int, logs: Any) -> None:
            told.append(("batch", batch, sorted(logs)))

        def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Any) -> None:
            told.append(("epoch end", epoch, logs["loss"] == trainer.history["loss"][-1]))
            trainer.stop = True

        def on_train_end(self, trainer: Trainer) -> None:
            told.append("train end")

    x, y = problem(10)
    trainer().fit(x, y, epochs=9, batch_size=5, callbacks=[Listener()], progress=False)
    assert told == [
        "train begin",
        ("epoch begin", 1),
        ("batch", 0, ["loss"]),
        ("batch", 1, ["loss"]),
        ("epoch end", 1, True),
        "train end",
    ]


@pytest.mark.parametrize("installed", [True, False])
def test_progress(
    installed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if installed:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    x, y = problem(10)
    trainer().fit(x, y, epochs=2, batch_size=5)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "epoch 1/2" in printed.err
    assert "epoch 2/2" in printed.err
    assert "accuracy" in printed.err
    assert not installed or "loss=" in printed.err
    trainer().fit(x, y, progress=False)
    assert capsys.readouterr() == ("", "")


def test_bad_arguments() -> None:
    x, y = problem(10)
    ours = trainer()
    with pytest.raises(ValueError, match="no optimizer"):
        Trainer(small_model()).fit(x, y)
    with pytest.raises(TypeError, match="y: got None"):
        ours.fit(x)
    with pytest.raises(ValueError, match="same number of rows"):
        ours.fit(x, y[:5])
    with pytest.raises(ValueError, match="epochs: got -1"):
        ours.fit(x, y, epochs=-1)
    with pytest.raises(ValueError, match="validation_data: got 3"):
        ours.fit(x, y, validation_data=(x, y, y))
    with pytest.raises(ValueError, match="got no batch"):
        ours.evaluate(x[:0], y[:0])

    def once() -> Iterator[Any]:
        yield x, y

    with pytest.raises(ValueError, match="used up before"):
        ours.fit(once(), epochs=2, progress=False)
    with pytest.raises(ValueError, match=r"^0: Conv2d\(1, 4, 3, padding=1\): x: got shape"):
        ours.fit(x[..., 0], y, progress=False)
