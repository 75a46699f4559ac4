"""`convsmith new-kernel`."""

from __future__ import annotations

import pytest

from convsmith import cli
from convsmith.workbench.signatures import SIGNATURES


def test_it_writes_two_files_and_says_what_is_next(tmp_path, capsys):
    folder = tmp_path / "deep" / "my_conv"
    assert cli.main(["new-kernel", "conv2d_forward", "--language", "cuda", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out == (
        f"{folder}/kernel.py\n{folder}/conv2d_forward.cu\n"
        f"check it: convsmith check --kernel {folder}\n"
    )
    assert sorted(path.name for path in folder.iterdir()) == ["conv2d_forward.cu", "kernel.py"]


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    kept = tmp_path / "mine" / "add.cpp"
    kept.write_text("my work")
    assert cli.main(["new-kernel", "add", "--language", "cpp", str(tmp_path / "mine")]) == 1
    assert f"DIR: got {tmp_path}/mine, where {kept} exists already" in capsys.readouterr().err
    assert kept.read_text() == "my work" and not (tmp_path / "mine" / "kernel.py").exists()


def test_an_op_without_a_template(tmp_path, capsys):
    assert cli.main(["new-kernel", "adam_update", "--language", "cpp", str(tmp_path / "a")]) == 1
    message = capsys.readouterr().err
    assert "op: got 'adam_update', wanted one of gemm, " in message
    assert all(op in message for op in SIGNATURES) and not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["2fast", "with space"])
def test_a_folder_that_cannot_name_a_kernel(tmp_path, capsys, name):
    assert cli.main(["new-kernel", "add", "--language", "cpp", str(tmp_path / name)]) == 1
    assert f"name: got '{name}', wanted letters" in capsys.readouterr().err
