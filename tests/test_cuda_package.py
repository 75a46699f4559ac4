"""The package on machines with less and less CUDA: it imports, and says plainly what is missing.

Each machine is a Python process with stand-ins for CuPy, for convsmith._cuda and for the driver.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import fake_cupy
import pytest

import convsmith

PACKAGE = Path(convsmith.__file__).parent.parent

# A native module with one op, which notes its arguments and writes a mark.
CUDA = """
import sys, types
calls = []
def add(a, b, y, *, stream):
    calls.append(stream)
    y[...] = 7
def batch_norm_forward(x, gamma, beta, y, mean, var, *, eps, stream):
    calls.append([str(a.dtype) for a in (x, gamma, beta, y, mean, var)])
    y[...], mean[...], var[...] = 1, 2, 3
module = types.ModuleType("convsmith._cuda")
module.add, module.batch_norm_forward = add, batch_norm_forward
module.algorithms = lambda op, shape, dtype: ["direct", dtype]
module.architectures = lambda: ["80", "90a"]
sys.modules["convsmith._cuda"] = module
"""
# The CUDA kernels themselves, with the simt executor for a GPU.
SIMT = "import sys, convsmith._simt; sys.modules['convsmith._cuda'] = convsmith._simt\n"
NO_CUDA = "import sys; sys.modules['convsmith._cuda'] = None\n"
NO_CUPY = "import sys; sys.modules['cupy'] = None\n"
DRIVER = """
from convsmith import machine
machine.cuda_driver = lambda: ("13.0", "")
machine.gpus = lambda: ["NVIDIA A100, 40960 MiB, 580.00"]
"""
NO_DRIVER = """
from convsmith import machine
machine.cuda_driver = lambda: ("", "libcuda.so.1 is not installed")
machine.gpus = lambda: []
"""
ENV = "from convsmith.cli import main; sys.exit(main(['env', '--json']))"


def run(code: str, *folders: Path) -> str:
    paths = [str(folder) for folder in (*folders, PACKAGE)]
    code = f"import sys; sys.path[:0] = {paths!r}\n{code}"
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def env(code: str, *folders: Path) -> dict:
    return json.loads(run(code + ENV, *folders))


def states(found: dict) -> dict[str, str]:
    (row,) = (row for row in found["backends"] if row["arrays"] == "cupy.ndarray")
    return row["backends"]


def test_no_driver(tmp_path):
    folder = fake_cupy.write(tmp_path, available=False)
    found = env(CUDA + NO_DRIVER, folder)
    assert found["CUDA"]["GPU arrays"].startswith("none: this machine has no NVIDIA driver")
    assert found["CUDA"]["kernels for"] == "80, 90a"
    assert all("finds no GPU" in state for state in states(found).values())


def test_nothing_at_all():
    found = env(NO_CUDA + NO_CUPY + NO_DRIVER)
    assert "no NVIDIA driver" in found["CUDA"]["GPU arrays"]
    assert "not built" in states(found)["native_cuda"]
    assert "convsmith[cuda13]" in states(found)["cupy_fallback"]


def test_a_driver_but_no_cupy():
    found = env(CUDA + NO_CUPY + DRIVER)
    assert found["CUDA"]["GPU arrays"].startswith("none: CuPy is missing")
    assert "pip install 'convsmith[cuda13]'" in found["CUDA"]["GPU arrays"]
    assert "CuPy cannot be imported" in states(found)["native_cuda"]


def test_cupy_but_no_native_module(tmp_path):
    folder = fake_cupy.write(tmp_path)
    found = env(NO_CUDA + DRIVER, folder)
    says = found["CUDA"]["GPU arrays"]
    assert says.startswith("run by CuPy's own operations (cupy_fallback), since the native module")
    assert states(found)["cupy_fallback"] == "active"
    assert "not built into this installation" in states(found)["native_cuda"]


def test_everything(tmp_path):
    found = env(CUDA + DRIVER, fake_cupy.write(tmp_path))
    assert found["CUDA"]["GPU arrays"] == "run by convsmith's kernels (native_cuda)"
    assert states(found)["native_cuda"] == "active"
    assert "takes what native_cuda does not" in states(found)["cupy_fallback"]


def test_a_gpu_that_is_too_old(tmp_path):
    found = env(CUDA + DRIVER, fake_cupy.write(tmp_path, capability=75))
    assert "compute capability 7.5, and the kernels need 8.0" in states(found)["native_cuda"]
    assert states(found)["cupy_fallback"] == "active"


def test_a_cupy_that_does_not_fit_the_system(tmp_path):
    (tmp_path / "cupy").mkdir()
    (tmp_path / "cupy" / "__init__.py").write_text("raise OSError('libnvrtc.so.13 is missing')")
    found = env(CUDA + DRIVER, tmp_path)
    assert "libnvrtc.so.13 is missing" in states(found)["native_cuda"]


def test_a_native_module_that_does_not_load(tmp_path):
    broken = """
import importlib.abc
class Broken(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "convsmith._cuda":
            raise ImportError("undefined symbol: cudaLaunchKernel")
sys.meta_path.insert(0, Broken())
"""
    found = env(broken + DRIVER, fake_cupy.write(tmp_path))
    assert "undefined symbol: cudaLaunchKernel" in states(found)["native_cuda"]
    assert states(found)["cupy_fallback"] == "active"


def test_env_as_text(tmp_path):
    text = run(NO_CUDA + DRIVER + ENV.replace(", '--json'", ""), fake_cupy.write(tmp_path))
    assert "backends for cupy.ndarray" in text
    assert "cupy_fallback  active" in text


@pytest.mark.parametrize("native", [CUDA, NO_CUDA], ids=["native", "fallback"])
def test_cupy_arrays_in_cupy_arrays_out(tmp_path, native):
    expected = 7 if native is CUDA else 2
    run(
        native
        + f"""
import cupy, numpy, convsmith
from convsmith import ops
x = cupy.asarray(numpy.ones((2, 4, 4, 3), "float32"))
y = ops.add(x, x)
assert type(y) is cupy.ndarray and (y == {expected}).all()
assert {native is NO_CUDA} or calls == [4712], "CuPy's current stream"
from convsmith.backends import native_cuda
if {native is CUDA}:
    assert native_cuda.algorithms("add", x.dtype) == ("direct", "float32")
assert convsmith.which_backend("add", x) == ("native_cuda" if {expected} == 7 else "cupy_fallback")
weight = cupy.asarray(numpy.ones((5, 3, 3, 3), "float32"))
z = convsmith.conv2d(x, weight, padding=1)  # a kernel that the native module lacks
assert type(z) is cupy.ndarray and z.shape == (2, 4, 4, 5) and z[0, 1, 1, 0] == 27
try:
    ops.add(x, numpy.ones((2, 4, 4, 3), "float32"))
except TypeError as error:
    assert "nothing is moved between devices silently" in str(error)
else:
    raise AssertionError("mixed devices")
""",
        fake_cupy.write(tmp_path),
    )


def test_sixteen_bit_batch_norm_has_float_parameters(tmp_path):
    run(
        CUDA
        + """
import cupy, numpy
from convsmith import ops
x, gamma = cupy.asarray(numpy.ones((4, 3), "float16")), cupy.asarray(numpy.ones(3, "float32"))
y, mean, var = ops.batch_norm_forward(x, gamma, gamma, eps=1e-5)
assert calls == [["float16", "float32", "float32", "float16", "float32", "float32"]], calls
assert mean.dtype == var.dtype == numpy.float32 and (mean == 2).all() and (var == 3).all()
""",
        fake_cupy.write(tmp_path),
    )


def test_an_array_on_another_gpu_is_refused(tmp_path):
    run(
        NO_CUDA
        + """
import cupy, numpy
from convsmith import ops
x = cupy.asarray(numpy.ones((2, 3), "float32"))
try:
    ops.add(x, x)
except ValueError as error:
    assert "add: a: got an array on GPU 0, wanted one on GPU 1" in str(error), error
else:
    raise AssertionError("an array on another GPU")
""",
        fake_cupy.write(tmp_path, current=1),
    )


def test_overlap_and_layout_of_device_arrays(tmp_path):
    run(
        NO_CUDA
        + """
import cupy, numpy
from convsmith import ops
a = cupy.asarray(numpy.ones((4, 4), "float32"))
for out, message in ((a, "overlaps a"), (a[:, ::2], "cupy.ascontiguousarray(out)")):
    try:
        ops.gemm(a, a[:, :4], out=out)
    except ValueError as error:
        assert message in str(error), error
    else:
        raise AssertionError(message)
logits, labels = a, cupy.asarray(numpy.array([0, 3, 1, 4], "int32"))
try:
    ops.softmax_cross_entropy(logits, labels)
except ValueError as error:
    assert "got 4 in row 3, wanted 0 to 3" in str(error)
else:
    raise AssertionError("label out of range")
""",
        fake_cupy.write(tmp_path),
    )


def test_a_tensor_of_another_library_on_the_gpu(tmp_path):
    """Its memory is lent through DLPack and the result goes back the same way."""
    run(
        NO_CUDA
        + """
import types, numpy, cupy, convsmith
class Tensor:
    def __init__(self, memory): self.memory = memory
    def __dlpack_device__(self): return (2, 0)
    def __dlpack__(self, **_): raise AssertionError("a copy")
Tensor.__module__ = "otherlib.tensors"
sys.modules["otherlib"] = types.SimpleNamespace(from_dlpack=lambda array: Tensor(array))
x = Tensor(numpy.ones((1, 4, 4, 2), "float32"))
y = convsmith.max_pool2d(x, 2)
assert type(y) is Tensor and type(y.memory) is cupy.ndarray
class OnlyInterface:
    def __init__(self, memory):
        self.memory, self.__cuda_array_interface__ = memory, memory.__array_interface__
OnlyInterface.__module__ = "numba.cuda.devicearray"
cupy.asarray = lambda value: value.memory.view(cupy.ndarray)
sys.modules["numba"] = types.SimpleNamespace()
sys.modules["numba.cuda"] = types.SimpleNamespace(as_cuda_array=lambda array: ("numba", array))
kind, array = convsmith.relu(OnlyInterface(x.memory))
assert kind == "numba" and type(array) is cupy.ndarray
""",
        fake_cupy.write(tmp_path),
    )


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_training_on_cupy_arrays(tmp_path, dtype):
    """From the optimizer to the kernels, as on a GPU: the same bits as on NumPy arrays."""
    pytest.importorskip("convsmith._simt")
    run(
        SIMT
        + f"""
import cupy, numpy, convsmith
from convsmith import nn
from convsmith.optim import SGD

def train(device, backend):
    convsmith.seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(32, 5),
    ).astype("{dtype}")
    if device is cupy:
        model.to_cupy()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    rng, losses = numpy.random.default_rng(0), []
    with convsmith.use_backend(backend):
        for _ in range(3):
            x = device.asarray(rng.standard_normal((6, 8, 8, 3)).astype("{dtype}"))
            labels = device.asarray(rng.integers(0, 5, 6))
            y, cache = model.forward(x, training=True)
            loss, dy = nn.cross_entropy(y, labels)
            dx = model.backward(dy, cache)
            assert type(y) is type(dx) is device.ndarray
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss)
    assert all(type(p.data) is device.ndarray for p in model.parameters())
    return losses

assert train(cupy, "native_cuda") == train(numpy, "simt")
""",
        fake_cupy.write(tmp_path),
    )
