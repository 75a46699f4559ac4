"""Everything about the CUDA kernels that only a GPU can tell, in under ten minutes.

    python benchmarks/gpu_report.py --out DIR              build, check, time; DIR/report.json, .md
    python benchmarks/gpu_report.py --out DIR --no-build   what is installed already
    python benchmarks/gpu_report.py --out DIR --only layers gemm

Builds the module for this machine's GPU; runs the op suite on it against float64 and against the
simt executor; compute-sanitizer over small cases (a missing tool is an error); two runs of
everything for equal bits; times every op against a measured copy, ResNet-50's layers against cuDNN
and products against cuBLAS; sweeps the tiles. Each piece runs in processes of its own and the
record is written after each, so that one bad kernel, or the end of the time, hides nothing else.
Needs CuPy, and PyTorch for the peers. Exit code 0: all was right; 1: something failed or did not
run; 2: there is no GPU here.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from gpu.pieces import Outcome, Piece, run_piece
from gpu.render import markdown

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BUILD = ROOT / "build" / "gpu_report"
LIMIT_S = 570.0
BUILD_LIMIT_S = 240.0


def gpu_lines() -> list[str]:
    """A line per GPU: name, compute capability, memory, driver; empty without a GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = "--query-gpu=name,compute_cap,memory.total,driver_version"
    done = subprocess.run(
        [tool, query, "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return [
        line.strip() for line in done.stdout.splitlines() if line.strip() and not done.returncode
    ]


def machine(gpus: Sequence[str]) -> dict[str, str]:
    """What the numbers belong to."""
    found = {"GPU": "; ".join(gpus), "date": time.strftime("%Y-%m-%d")}
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    found["commit"] = commit or "unknown"
    for name in ("cupy", "torch", "numpy"):
        try:
            found[name] = str(importlib.import_module(name).__version__)
        except ImportError as error:
            found[name] = f"missing ({error})"
    if "missing" not in found["torch"]:
        found["cuDNN"] = str(importlib.import_module("torch").backends.cudnn.version())
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    if Path(nvcc).exists():
        done = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=False)
        found["nvcc"] = next((s for s in done.stdout.splitlines() if "release" in s), "unknown")
    return found


def architecture(gpu: str) -> str:
    """'90a' for 'NVIDIA H200, 9.0, ...': Hopper's own instructions need the letter."""
    capability = gpu.split(",")[1].strip().replace(".", "")
    return "90a" if capability == "90" else capability


def build(arch: str, log: Path) -> dict[str, Any]:
    """Installs this checkout for one architecture under build/gpu_report/site."""
    site = BUILD / "site"
    shutil.rmtree(site, ignore_errors=True)
    defines = {
        "CONVSMITH_CUDA": "ON",
        "CONVSMITH_CUDA_ARCHS": arch,
        "CMAKE_CUDA_FLAGS": "-lineinfo",  # so that the sanitizer names lines
    }
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation"]
    command += ["--no-deps", "--target", str(site), "-C", f"build-dir={BUILD / 'cmake'}"]
    for name, value in defines.items():
        command += ["-C", f"cmake.define.{name}={value}"]
    begun = time.monotonic()
    with log.open("w") as stream:
        try:
            code = subprocess.run(
                [*command, str(ROOT)],
                stdout=stream,
                stderr=subprocess.STDOUT,
                timeout=BUILD_LIMIT_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return {"state": "failed", "error": f"longer than {BUILD_LIMIT_S:.0f} s; see {log}"}
    if code:
        last = log.read_text().strip().splitlines()[-3:]
        return {"state": "failed", "error": f"exit code {code}: {' / '.join(last)}"}
    return {"state": "ok", "arch": arch, "seconds": time.monotonic() - begun}


def worker_command(piece: str, items: Sequence[str]) -> list[str]:
    """A worker, under compute-sanitizer for the pieces that are named so."""
    name, _, tool = piece.partition(":")
    command = [sys.executable, "-m", "gpu.worker", name, *items]
    if not tool:
        return command
    sanitizer = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    # Its own findings become the exit code, and the item under way the culprit.
    options = [f"--tool={tool}", "--error-exitcode=86", "--destroy-on-device-error=context"]
    return [sanitizer, *options, *command]


class Launcher:
    """Starts workers that find this folder and the package that was built."""

    def __init__(self, out: Path, site: Path | None) -> None:
        paths = [str(HERE), str(site)] if site else [str(HERE)]
        known = os.environ.get("PYTHONPATH")
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths + ([known] if known else [])),
            "PYTHONUNBUFFERED": "1",
        }
        self._logs = out / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)

    def __call__(self, piece: str, items: Sequence[str]) -> subprocess.Popen[str]:
        log: IO[str] = (self._logs / f"{piece.replace(':', '_')}.log").open("a")
        with log:
            return subprocess.Popen(
                worker_command(piece, items),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=HERE,
                env=self._environment,
                start_new_session=True,
            )


def save(record: dict[str, Any], out: Path) -> None:
    (out / "report.json").write_text(json.dumps(record, indent=1) + "\n")
    (out / "report.md").write_text(markdown(record))


def run_all(
    pieces: Sequence[Piece], start: Any, record: dict[str, Any], out: Path, deadline: float
) -> bool:
    """Every piece; True if all of it was right. One that cannot start is a failure of its own."""
    good = True
    for piece in pieces:
        try:
            outcome = run_piece(piece, start, deadline)
        except OSError as error:
            cause = {"state": "failed", "error": f"{type(error).__name__}: {error}"}
            outcome = Outcome({"start": cause})
        items, bad = outcome.items, outcome.failed
        good = good and not bad
        record.setdefault("pieces", {})[piece.name] = {
            "title": piece.title,
            "seconds": outcome.seconds,
            "items": items,
        }
        save(record, out)
        state = f"{len(bad)} of {len(items)} FAILED: {', '.join(bad[:6])}" if bad else "ok"
        print(f"{piece.title:40} {outcome.seconds:6.1f} s  {state}", flush=True)
    return good


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the report")
    parser.add_argument("--no-build", action="store_true", help="run what is installed")
    parser.add_argument("--only", nargs="+", metavar="PIECE", help="pieces, or their beginnings")
    parser.add_argument(
        "--limit", type=float, default=LIMIT_S, help="seconds (default: %(default)g)"
    )
    args = parser.parse_args(arguments)
    deadline = time.monotonic() + args.limit
    gpus = gpu_lines()
    if not gpus:
        print("gpu_report: there is no GPU here (no nvidia-smi, or none it sees): nothing was run")
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"machine": machine(gpus)}
    site = None
    if not args.no_build:
        record["build"] = build(architecture(gpus[0]), args.out / "build.log")
        save(record, args.out)
        print(f"build: {record['build']}", flush=True)
        if record["build"]["state"] != "ok":
            return 1
        site = BUILD / "site"
        sys.path.insert(0, str(site))
    from gpu.plan import pieces

    chosen = [p for p in pieces() if not args.only or p.name.startswith(tuple(args.only))]
    if not chosen:
        known = ", ".join(piece.name for piece in pieces())
        print(f"gpu_report: --only: got {' '.join(args.only)}, wanted some of {known}")
        return 1
    good = run_all(chosen, Launcher(args.out, site), record, args.out, deadline)
    print(f"written: {args.out / 'report.md'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
