"""The command line: exit codes, one-line errors, and what each command prints and writes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import convsmith
from convsmith import cli
from convsmith.backends import reference
from convsmith.commands import summary
from convsmith.models import demo_cnn, find_model

needs_demo = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("sklearn", "matplotlib")),
    reason="needs the extra demo",
)


def one_line(capsys):
    """Standard error, which must be a single line."""
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and text.endswith("\n"), text
    return text


def test_no_command_prints_help(capsys):
    assert cli.main([]) == 2
    out = capsys.readouterr().out
    for name, description in cli.COMMANDS.items():
        assert f"{name} " in out and description in out


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in cli.COMMANDS)])
def test_help(arguments, capsys):
    assert cli.main(arguments) == 0
    assert "usage: convsmith" in capsys.readouterr().out


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"convsmith {convsmith.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demoo"], "unknown command 'demoo', wanted one of demo"),
        (["--frob"], "unrecognized arguments: --frob"),
        (["demo", "--frob"], "unrecognized arguments: --frob"),
        (["demo", "--epochs", "0"], "got 0, wanted at least 1"),
        (["demo", "--backend", "abacus"], "invalid choice"),
        (["env", "extra"], "unrecognized arguments: extra"),
        (["check", "--op", "conv3d"], "--op: got 'conv3d', wanted one of"),
        (["summary"], "the following arguments are required: MODEL"),
        (["summary", "demo", "--input", "1"], "expected 3 arguments"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    assert cli.main(arguments) == 2
    assert message in one_line(capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["summary", "demmo"], "model: got 'demmo', wanted one of demo"),
        (["summary", "demo", "--batch", "0"], "wanted sizes of at least 1"),
        (["summary", "demo", "--input", "32", "32", "3"], "wanted [batch, height, width, 1"),
    ],
)
def test_errors_of_a_command(arguments, message, capsys):
    assert cli.main(arguments) == 1
    assert message in one_line(capsys)


def test_ctrl_c(monkeypatch, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("convsmith.commands.env.run", interrupted)
    assert cli.main(["env"]) == 130
    assert "convsmith env: stopped by Ctrl-C" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("convsmith.commands.env.run", lambda args: {}["no such key"])
    with pytest.raises(KeyError):
        cli.main(["env"])


def test_python_m_and_a_closed_pipe():
    command = f"{sys.executable} -m convsmith summary demo"
    done = subprocess.run(command.split(), capture_output=True, text=True, check=True)
    assert "conv1" in done.stdout and not done.stderr
    piped = subprocess.run(f"{command} | true", shell=True, capture_output=True, text=True)
    assert not piped.stderr


def test_help_is_quick_because_commands_are_imported_late():
    code = (
        "import sys, convsmith.cli; convsmith.cli.main(['--help']); "
        "sys.exit('convsmith.commands' in sys.modules or 'convsmith.nn' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_env(capsys):
    assert cli.main(["env", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"]["NumPy"] == np.__version__
    assert set(found["native modules"]) == {"_cpu", "_cuda", "_simt"}
    row = found["backends"][0]
    assert row["arrays"] == "numpy.ndarray"
    assert row["active"] == convsmith.available_backends()[0]
    assert row["backends"][row["active"]] == "active"
    assert cli.main(["env"]) == 0
    text = capsys.readouterr().out
    assert "backends for numpy.ndarray" in text and f"{row['active']}" in text


def test_env_tells_why_a_backend_is_not_active(monkeypatch, capsys):
    from convsmith.backends import native_cpu

    monkeypatch.setattr(native_cpu, "unavailable_reason", lambda: "its file has gone")
    assert cli.main(["env"]) == 0
    text = capsys.readouterr().out
    assert "not available: its file has gone" in text
    assert [line.split() for line in text.splitlines() if line.endswith(" active")] == [
        ["reference", "active"]
    ]


def test_summary_of_the_demo(capsys):
    assert cli.main(["summary", "demo", "--batch", "2"]) == 0
    out = capsys.readouterr().out
    macs = 2 * (30 * 30 * 32 * 9 + 13 * 13 * 64 * 288 + 2304 * 10)
    assert f"multiply-adds      {macs:,} forward" in out
    assert "parameters         41,866" in out
    assert "2 x 6 x 6 x 64" in out


def test_trace_leaves_the_model_as_it_was():
    model = demo_cnn()
    rows = summary.trace(model, (1, 32, 32, 1))
    assert [row.y_bytes > 0 for row in rows] == [True] * 6 + [False, True]
    assert all("forward" not in vars(layer) for _, layer in model.named_layers())


def test_trace_counts_a_shared_layer_once_and_its_work_twice():
    layer = convsmith.nn.Linear(4, 4)
    rows = summary.trace(convsmith.nn.Sequential(layer, layer), (3, 4))
    assert [row.parameters for row in rows] == [20, 0]
    assert [row.macs for row in rows] == [48, 48]


def test_trace_counts_convolutions_as_their_shapes_do():
    nn = convsmith.nn
    x = (2, 9, 8, 4)
    for layer, macs in (
        (nn.Conv2d(4, 6, (3, 2), stride=2, groups=2), 2 * 4 * 4 * 6 * 3 * 2 * 2),
        (nn.ConvTranspose2d(4, 6, 3, stride=2), 2 * 9 * 8 * 4 * 3 * 3 * 6),
    ):
        assert summary.trace(layer, x)[0].macs == macs


def test_models_take_the_input_they_name():
    for name in ("demo", "alexnet", "resnet18"):
        model = find_model(name)
        assert model.build()(np.zeros((1, *model.input_shape), np.float32)).ndim == 2
    with pytest.raises(ValueError, match="demo_cnn: size: got 9, wanted at least 10"):
        demo_cnn(size=9)
    assert demo_cnn(size=10)(np.zeros((1, 10, 10, 1), np.float32)).shape == (1, 10)


def test_check_passes_and_finds_a_planted_fault(monkeypatch, capsys):
    command = ["check", "--op", "add", "--backend", "reference"]
    assert cli.main(command) == 0
    assert capsys.readouterr().out.endswith("ok\n")
    right = reference.add

    def wrong(a, b, y):
        right(a, b, y)
        y.reshape(-1)[-1:] *= 1.001

    monkeypatch.setattr(reference, "add", wrong)
    assert cli.main(command) == 1
    assert "failed: reference add" in capsys.readouterr().out


@needs_demo
def test_demo(tmp_path, capsys):
    arguments = ["demo", "--epochs", "2", "--limit", "96", "--quiet"]
    outputs = []
    for name in ("first", "second"):
        out = tmp_path / "new" / name
        assert cli.main([*arguments, "--out", str(out)]) == 0
        text = capsys.readouterr().out
        assert "machine" in text and "accuracy 0." in text
        assert convsmith.which_backend("conv2d_forward") in text
        assert {path.name for path in out.iterdir()} == {
            "curves.png",
            "misread.png",
            "history.csv",
            "weights.npz",
        }
        assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
        outputs.append((out / "weights.npz").read_bytes())
        history = convsmith.train.History.from_csv(out / "history.csv")
        assert history["epoch"] == [1, 2] and history["loss"][1] < history["loss"][0]
    assert outputs[0] == outputs[1], "the same seed gave other weights"


@needs_demo
def test_demo_on_a_backend_that_is_asked_for(tmp_path, capsys):
    arguments = ["demo", "--epochs", "1", "--limit", "8", "--quiet", "--backend", "reference"]
    assert cli.main([*arguments, "--out", str(tmp_path)]) == 0
    assert "backend   reference\n" in capsys.readouterr().out


def test_demo_names_the_extra_it_needs(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["demo", "--out", str(tmp_path / "out")]) == 1
    assert 'install with: pip install "convsmith[demo]"' in one_line(capsys)
    assert not (tmp_path / "out").exists()


@needs_demo
def test_demo_that_cannot_write(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert cli.main(["demo", "--out", str(tmp_path / "file")]) == 1
    assert "File exists" in one_line(capsys)


@needs_demo
@pytest.mark.slow
@pytest.mark.skipif(
    "native_cpu" not in convsmith.available_backends(), reason="needs the native kernels"
)
def test_demo_reaches_its_accuracy_in_time(tmp_path, capsys):
    assert cli.main(["demo", "--quiet", "--out", str(tmp_path)]) == 0
    history = convsmith.train.History.from_csv(tmp_path / "history.csv")
    assert history["val_accuracy"][-1] >= 0.98, capsys.readouterr().out
    assert sum(history["seconds"]) < 60


@needs_demo
def test_no_display_is_needed(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MPLBACKEND")}
    command = ["demo", "--epochs", "1", "--limit", "8", "--quiet", "--out"]
    subprocess.run(
        [sys.executable, "-m", "convsmith", *command, str(tmp_path)],
        check=True,
        capture_output=True,
        env={**environment, "MPLBACKEND": "qtagg"},
    )
