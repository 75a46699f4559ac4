"""The package as it is shipped: import time, size, stub, and a README that tells the truth."""

from __future__ import annotations

import importlib.util
import os
import re
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import convsmith
from convsmith.commands import new_kernel

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_import_time():
    # NumPy included. Processor time, which a busy machine does not stretch.
    code = "import time; import convsmith; print(time.process_time())"

    def seconds(code):
        command = [sys.executable, "-c", code]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    start = statistics.median(seconds("import time; print(time.process_time())") for _ in range(5))
    seconds(code)  # the first one also reads the files
    median = statistics.median(seconds(code) for _ in range(7)) - start
    assert median < 0.2, f"import convsmith takes {median:.3f} s"


def test_types_are_shipped():
    package = Path(convsmith.__file__).parent
    assert (package / "py.typed").exists()
    assert (package / "_cpu.pyi").exists()


def test_stub_is_current():
    pytest.importorskip("pybind11_stubgen")
    pytest.importorskip("convsmith._cpu")
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/generate_stubs.py", "--check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_version_is_in_the_changelog():
    if convsmith.__version__ == "0+unknown":
        pytest.skip("convsmith is not installed")
    assert f"## [{convsmith.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    ("name", "words"), [("demo", "convsmith demo"), ("test", "python -m pytest")]
)
def test_readme_has_its_two_commands(name, words):
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/readme_command.py", name],
        check=True,
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith("python3 -m venv") and lines[-1] == words
    extras = re.search(r'"\.\[([a-z]+)\]"', done.stdout)
    assert extras and f"\n{extras[1]} = [" in (ROOT / "pyproject.toml").read_text()


@pytest.mark.skipif(not importlib.util.find_spec("sklearn"), reason="needs the extra demo")
def test_readme_examples_run(tmp_path):
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    assert code.count("import convsmith") == 1
    new_kernel.write("conv2d_forward", "python", tmp_path / "my_conv")
    code = f"import os; os.chdir({str(tmp_path)!r})\n{code}"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_readme_has_room_for_the_figures():
    begin, end = README.index("<!-- figures: begin -->"), README.index("<!-- figures: end -->")
    assert begin < end


def test_wheel_is_small(tmp_path):
    """The installed package, packed as a wheel is: building one again would take minutes."""
    package = Path(convsmith.__file__).parent
    with zipfile.ZipFile(tmp_path / "wheel.zip", "w", zipfile.ZIP_DEFLATED) as wheel:
        for file in package.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                wheel.write(file, file.relative_to(package.parent))
    assert (tmp_path / "wheel.zip").stat().st_size < 10e6


@pytest.mark.parametrize(
    ("required", "status"), [("numpy,json", 0), ("numpy,no_such_module", 4), ("convsmith._gpu", 4)]
)
def test_what_is_required_may_not_be_missing(required, status):
    command = [sys.executable, "-m", "pytest", "--collect-only", __file__]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "CONVSMITH_TEST_REQUIRE": required},
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert status == 0 or "CONVSMITH_TEST_REQUIRE" in done.stderr
