#!/usr/bin/env python3
"""Plants faults in the CUDA kernels themselves, one at a time, and asks who sees them.

    python scripts/simt_mutants.py [--keep FOLDER] [NAME:DETECTOR ...]

Each mutant (tests/simt/mutants/*.txt) is one change of text in a file of csrc/cuda. Its sources are
compiled by themselves, linked with everybody else's into a module like convsmith._simt, and the
cases of tests/simt/every_case.py run on it until one is wrong; a mutant for the race checker runs
tests/simt/races instead. Needs g++, pybind11 and convsmith with its tests' requirements. Exit code
1: a mutant was seen by nobody, or by another than the detector that it names.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pybind11

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "simt"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from mutants import MUTANTS, Mutant
from simt_races import findings
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
CSRC = ROOT / "csrc"
COMMON = ["-std=c++17", "-O1", "-g1", "-Wno-unknown-pragmas", "-DCONVSMITH_SIMT"]
KERNEL = ["-ftrivial-auto-var-init=pattern", "-fstack-clash-protection"]
LIMIT_S = 300


def _run(command: list[str | Path]) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")


class Build:
    """The objects of a module (tsan=False) or of the race checker's program, and their variants."""

    def __init__(self, folder: Path, tsan: bool) -> None:
        self.folder = folder / ("tsan" if tsan else "module")
        self.tsan = tsan
        self.kernels = sorted((CSRC / "cuda").glob("*.cu"))
        others = sorted((CSRC / "simt").glob("*.cpp"))
        if tsan:
            self.kernels.append(ROOT / "tests" / "simt" / "races" / "main.cpp")
        else:
            others += sorted((CSRC / "bindings_device").glob("*.cpp"))
            others.append(CSRC / "bindings" / "shape_casters.cpp")
        self.sources = [*self.kernels, *others]

    def _object(self, source: Path) -> Path:
        return self.folder / f"{source.parent.name}-{source.name}.o"

    def compile(self, source: Path, to: Path, instead: Path | None = None) -> None:
        """instead: a folder whose files count before those of csrc."""
        flags = list(COMMON)
        if self.tsan:
            flags += ["-DCONVSMITH_TSAN", "-Wno-tsan"]
            flags += ["-fsanitize=thread"] if source in self.kernels else []
        else:
            python = sysconfig.get_paths()["include"]
            flags += ["-fPIC", "-fvisibility=hidden", f"-I{python}"]
            flags += [f"-I{pybind11.get_include()}"]
        if source in self.kernels:
            flags += KERNEL
        if instead:
            flags += [f"-I{instead}"]
            changed = instead / source.relative_to(CSRC)
            source = changed if changed.exists() else source
        _run(["g++", *flags, f"-I{CSRC}", "-MMD", "-x", "c++", "-c", source, "-o", to])

    def _current(self, source: Path) -> bool:
        """Whether the object is there and no older than anything that went into it."""
        made = self._object(source)
        rule = made.with_suffix(".d")
        if not made.exists() or not rule.exists():
            return False
        parts = rule.read_text().replace("\\\n", " ").split(":", 1)[1].split()
        return all(
            Path(part).exists() and Path(part).stat().st_mtime <= made.stat().st_mtime
            for part in parts
        )

    def base(self, jobs: int) -> None:
        """Compiles what is missing or out of date."""
        self.folder.mkdir(parents=True, exist_ok=True)
        old = [source for source in self.sources if not self._current(source)]
        with ThreadPoolExecutor(jobs) as pool:
            todo = pool.map(lambda source: self.compile(source, self._object(source)), old)
            for _ in tqdm(todo, total=len(old), desc=self.folder.name, unit="file", disable=None):
                pass

    def link(self, to: Path, instead: dict[Path, Path]) -> None:
        # The changed ones first: of a function that several objects have, the linker takes the
        # first.
        others = [self._object(source) for source in self.sources if source not in instead]
        objects = [*instead.values(), *others]
        flags = ["-fsanitize=thread"] if self.tsan else ["-shared"]
        _run(["g++", "-pthread", *flags, "-o", to, *objects])

    def mutant(self, mutant: Mutant, folder: Path) -> Path:
        """The module or program with the fault in it."""
        changed = folder / "cuda" / mutant.file
        changed.parent.mkdir(parents=True)
        changed.write_text(mutant.applied((CSRC / "cuda" / mutant.file).read_text()))
        objects = {}
        for name in mutant.compile:
            source = CSRC / "cuda" / name
            objects[source] = folder / f"{name}.o"
            self.compile(source, objects[source], folder)
        made = folder / ("races" if self.tsan else "_simt.so")
        self.link(made, objects)
        return made


def seen_by(mutant: Mutant, made: Path) -> str:
    """'result: ...', 'error: ...', 'race: ...', or empty where nobody saw the fault."""
    if mutant.detector == "race":
        environment = {**os.environ, "TSAN_OPTIONS": "exitcode=66 halt_on_error=1"}
        done = subprocess.run(
            [made, mutant.races], capture_output=True, text=True, env=environment, timeout=LIMIT_S
        )
        return next(iter(findings(done.stderr)), "")
    command = [sys.executable, str(ROOT / "tests" / "simt" / "judge.py"), str(made), str(mutant)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return "timeout"
    if done.returncode:
        return f"crash: {done.returncode}: {done.stderr[-500:]}"
    return done.stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="name:detector; all by default")
    parser.add_argument("--keep", type=Path, help="build here, and use what was built before")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="compilers at once")
    args = parser.parse_args()
    unknown = set(args.names) - {str(mutant) for mutant in MUTANTS}
    if unknown:
        parser.error(f"NAME: got {min(unknown)!r}, wanted one of tests/simt/mutants.py")
    chosen = [mutant for mutant in MUTANTS if not args.names or str(mutant) in args.names]
    missed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        builds = {}
        for tsan in {mutant.detector == "race" for mutant in chosen}:
            builds[tsan] = Build(folder, tsan)
            builds[tsan].base(args.jobs)
        for mutant in tqdm(chosen, unit="mutant", disable=None):
            place = folder / "mutant"
            shutil.rmtree(place, ignore_errors=True)
            said = seen_by(mutant, builds[mutant.detector == "race"].mutant(mutant, place))
            ok = said.startswith(f"{mutant.detector}: ")
            missed += not ok
            tqdm.write(f"{'seen' if ok else 'MISSED'}  {mutant}: {said[:300] or 'by nobody'}")
            sys.stdout.flush()
    print(f"{len(chosen) - missed} of {len(chosen)} seen by the detector they name")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
