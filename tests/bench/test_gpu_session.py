"""The way of CuPy arrays through a run, on a GPU that is not one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import fake_cupy

# What timing needs of CuPy beyond the dispatch table: events by the host's clock.
_MORE = """
import time as _time

class _Event:
    def record(self):
        self.at = _time.perf_counter()
    def synchronize(self):
        pass

cuda.Event = _Event
cuda.get_elapsed_time = lambda start, end: 1e3 * (end.at - start.at)
cuda.runtime.getDeviceProperties = lambda number: {"l2CacheSize": 1 << 20}
_Device.id = 0
ndarray.get = lambda self: self.view(np.ndarray).copy()
random = types.SimpleNamespace(
    standard_normal=lambda shape, dtype: _to_device(np.ones(shape, dtype))
)
ones = lambda shape, dtype: _to_device(np.ones(shape, dtype))
"""

_RUN = """
import sys
from convsmith import cli
from convsmith.bench import limits
limits._GEMM_SIZE = 64
limits._GPU_COPY_BYTES = 1 << 16
sys.exit(cli.main(sys.argv[1:]))
"""


def test_cupy_arrays(tmp_path: Path) -> None:
    folder = fake_cupy.write(tmp_path)
    source = folder / "cupy" / "__init__.py"
    source.write_text(source.read_text() + _MORE)
    out = tmp_path / "r.json"
    arguments = ["bench", "--network", "resnet18", "--layer", "layer4", "--batch", "1"]
    arguments += ["--op", "add", "activation", "batch_norm", "--backend", "cupy_fallback"]
    arguments += ["--against", "cupy", "--repeats", "2", "--json", str(out)]
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "copy bandwidth of the GPU" in done.stdout
    found = json.loads(out.read_text())
    assert found["settings"]["clock"] == "CUDA events" and found["settings"]["threads"] is None
    assert found["limits"]["gpu_gflops"]["float32"] > 0
    for row in found["rows"]:
        assert row["threads"] is None and row["yardstick"] is None
        for name in ("cupy_fallback", "cupy"):
            assert len(row["contenders"][name]["samples"]["ms"]) == 2
