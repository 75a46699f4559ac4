"""Compiles every CUDA source with nvcc and reads what the compiler says of each kernel.

    python scripts/cuda_compile_check.py                 sm_80 and sm_90a
    python scripts/cuda_compile_check.py --all-archs     every architecture that is shipped, and the
                                                         table in benchmarks/results
    python scripts/cuda_compile_check.py gemm conv2d     only files whose names begin so

Fails on a warning, on a register spill, on one of ptxas' C75 remarks (a tensor-core pipeline that
was serialised), and where a kernel lacks the instructions that it was written for: such code
compiles and computes the right thing, slowly. The instructions are those of the machine code where
nvdisasm is there to read it (on the PATH or beside nvcc; `pip install nvidia-cuda-nvdisasm`), else
those of the PTX. Needs no GPU; without nvcc it says so and exits 0. Answers are remembered in
build/cuda_compile_check by the content of the sources.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "csrc"
CACHE = ROOT / "build" / "cuda_compile_check"
TABLE = ROOT / "benchmarks" / "results" / "cuda_compile_table.md"
ARCHS = ("80", "90a")
ALL_ARCHS = ("80", "86", "89", "90a", "100", "120")
FLAGS = ("-std=c++17", "-O3", "-Xptxas", "-v", "-Werror", "all-warnings")

# Counted in each kernel. nvcc may not know that an address is global; shared memory says so.
PTX = {
    "mma.sync": r"\bmma\.sync\.",
    "ldmatrix": r"\bldmatrix\.sync\.",
    "cp.async": r"\bcp\.async\.c[ag]\.",
    "128-bit load": r"\bld(?:\.global)?(?:\.nc)?\.(?:v4\.[a-z]?32|v2\.[a-z]?64)\b",
    "128-bit store": r"\bst(?:\.global)?\.(?:v4\.[a-z]?32|v2\.[a-z]?64)\b",
}
SASS = {
    "mma.sync": r"\bHMMA\.",
    "ldmatrix": r"\bLDSM\.",
    "cp.async": r"\bLDGSTS\.",
    "128-bit load": r"\bLDG?\.E\.(?:\w+\.)*128\b",
    "128-bit store": r"\bSTG?\.E\.(?:\w+\.)*128\b",
}


@dataclass(frozen=True)
class Rule:
    """Kernels whose name matches have each of these instructions; at least one kernel matches."""

    kernels: str
    instructions: tuple[str, ...]


RULES = (
    Rule(r"_tensor_core_kernel<", ("mma.sync", "cp.async")),
    # TF32 operands that lie transposed are read word by word: ldmatrix transposes 16-bit elements.
    Rule(r"_tensor_core_kernel<b?float16\b", ("ldmatrix",)),
    # The widest access of each storage type.
    Rule(
        r"^(add|activation_\w+|sgd_update|adam_update|separable)_kernel<.*(float, 4|float16, 8)\b",
        ("128-bit load", "128-bit store"),
    ),
    Rule(r"^max_pool2d_\w+_kernel<float, .*, 4\b", ("128-bit load", "128-bit store")),
    Rule(r"_direct_kernel<float, DirectTile<.*, 4\b", ("128-bit load",)),
)


@dataclass
class Kernel:
    """What nvcc says of one instance of a kernel."""

    name: str
    registers: int = 0
    shared_bytes: int = 0
    stack_bytes: int = 0
    spill_bytes: int = 0
    dynamic_shared: bool = False
    instructions: dict[str, int] = field(default_factory=dict)


@dataclass
class Compilation:
    """One source for one architecture."""

    source: str
    arch: str
    kernels: list[Kernel]
    problems: list[str]


def find_nvcc() -> str | None:
    """CUDACXX, then PATH, then the usual place."""
    named = os.environ.get("CUDACXX")
    return named or shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")


def find_disassembler(nvcc: str) -> str | None:
    return shutil.which("nvdisasm") or shutil.which(Path(nvcc).resolve().parent / "nvdisasm")


# Reading what the compiler wrote.


def read_ptxas(text: str) -> tuple[dict[str, Kernel], list[str]]:
    """Kernels by mangled name, and the lines that should not be there."""
    kernels: dict[str, Kernel] = {}
    problems = []
    current: Kernel | None = None
    for line in text.splitlines():
        if found := re.search(r"Compiling entry function '(\S+)'", line):
            current = kernels.setdefault(found[1], Kernel(found[1]))
        elif "Function properties for" in line:
            # A device function that was not inlined has properties of its own: not the kernel's.
            current = kernels.get(line.rpartition(" ")[2])
        elif current and (found := re.search(r"(\d+) bytes stack frame, (.*)", line)):
            current.stack_bytes = int(found[1])
            current.spill_bytes = sum(map(int, re.findall(r"(\d+) bytes spill", found[2])))
        elif current and (found := re.search(r"Used (\d+) registers", line)):
            current.registers = int(found[1])
            if shared := re.search(r"(\d+) bytes smem", line):
                current.shared_bytes = int(shared[1])
        if re.search(r"\bC75\d\d\b", line) or re.search(r"\bwarning\b|\berror\b", line, re.I):
            problems.append(line.strip())
    return kernels, problems


def bodies(text: str, head: str) -> dict[str, str]:
    """For each kernel the text between its head and the next."""
    parts = re.split(head, text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def bodies_of_ptx(text: str) -> dict[str, str]:
    return bodies(text, r"\.entry\s+([\w$]+)\s*\(")


def bodies_of_sass(text: str) -> dict[str, str]:
    return bodies(text, r"^\.text\.([\w$]+):")


def count_instructions(body: str, patterns: dict[str, str]) -> dict[str, int]:
    return {label: len(re.findall(pattern, body)) for label, pattern in patterns.items()}


def readable(names: Iterable[str]) -> dict[str, str]:
    """'gemm_kernel<float, 4>' for each mangled name; by rough means where c++filt is missing."""
    mangled = list(names)
    tool = shutil.which("c++filt")
    if tool and mangled:
        found = subprocess.run(
            [tool], input="\n".join(mangled), capture_output=True, text=True, check=True
        ).stdout.splitlines()
    else:
        found = [
            match[1] if (match := re.search(r"\d([a-z]\w*?_kernel)", name)) else name
            for name in mangled
        ]
    return dict(zip(mangled, map(_short, found), strict=True))


def _short(name: str) -> str:
    """Without return type, namespaces and parameters."""
    name = re.sub(r"\(anonymous namespace\)::|convsmith::(?:cuda::)?|^void ", "", name)
    depth = 0
    for i, letter in enumerate(name):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            return name[:i]
    return name


# Compiling.


def dependencies(source: Path) -> list[Path]:
    """The source and every header of ours that it includes, directly or not."""
    found: dict[Path, None] = {}
    waiting = [source]
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_file():
            continue
        found[path] = None
        included = re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M)
        waiting += [base / name for name in included for base in (SOURCES, path.parent)]
    return sorted(found)


def fingerprint(source: Path, arch: str, compiler: str, reads_sass: bool) -> str:
    fields = sorted(Kernel.__dataclass_fields__)
    patterns = SASS if reads_sass else PTX
    digest = hashlib.sha256(repr((compiler, arch, FLAGS, fields, patterns)).encode())
    for path in dependencies(source):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:24]


def compile_one(
    nvcc: str, compiler: str, disassembler: str | None, cache: Path, source: Path, arch: str
) -> Compilation:
    """Compile to machine code, reading PTX and ptxas' report on the way; or remember."""
    key = fingerprint(source, arch, compiler, disassembler is not None)
    remembered = cache / f"{source.stem}-{arch}-{key}.json"
    if remembered.exists():
        raw = json.loads(remembered.read_text())
        return Compilation(
            raw["source"], raw["arch"], [Kernel(**kernel) for kernel in raw["kernels"]], []
        )
    with tempfile.TemporaryDirectory() as folder:
        command = [nvcc, *FLAGS, f"-arch=sm_{arch}", f"-I{SOURCES}", "-cubin"]
        command += ["--keep", "--keep-dir", folder, "-o", f"{folder}/out.cubin", str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        kernels, problems = read_ptxas(said)
        if done.returncode:
            tail = said.strip().splitlines()[-20:]
            return Compilation(source.name, arch, [], [f"nvcc failed: {line}" for line in tail])
        ptx = bodies_of_ptx((Path(folder) / f"{source.stem}.ptx").read_text())
        sass = {}
        if disassembler:
            command = [disassembler, "-c", f"{folder}/out.cubin"]
            read = subprocess.run(command, capture_output=True, text=True, check=True)
            sass = bodies_of_sass(read.stdout)
    names = readable(kernels)
    for mangled, kernel in kernels.items():
        kernel.name = names[mangled]
        kernel.dynamic_shared = "convsmith_dynamic_shared" in ptx[mangled]
        if disassembler:
            kernel.instructions = count_instructions(sass[mangled], SASS)
        else:
            kernel.instructions = count_instructions(ptx[mangled], PTX)
    result = Compilation(source.name, arch, list(kernels.values()), problems)
    if not problems:
        for old in cache.glob(f"{source.stem}-{arch}-*.json"):
            old.unlink(missing_ok=True)
        cache.mkdir(parents=True, exist_ok=True)
        remembered.write_text(json.dumps(asdict(result)))
    return result


# Judging.


def faults(compilations: Iterable[Compilation], rules: Iterable[Rule]) -> Iterator[str]:
    """A line for each thing that must not be."""
    everything = list(compilations)
    for compilation in everything:
        where = f"{compilation.source} (sm_{compilation.arch})"
        for problem in compilation.problems:
            yield f"{where}: {problem}"
        for kernel in compilation.kernels:
            if kernel.spill_bytes:
                yield f"{where}: {kernel.name}: spills {kernel.spill_bytes} bytes of registers"
    for rule in rules:
        matched = False
        for compilation in everything:
            for kernel in compilation.kernels:
                if not re.search(rule.kernels, kernel.name):
                    continue
                matched = True
                missing = [name for name in rule.instructions if not kernel.instructions.get(name)]
                if missing:
                    yield (
                        f"{compilation.source} (sm_{compilation.arch}): {kernel.name}: has no "
                        f"{', '.join(missing)}"
                    )
        if not matched and not any(compilation.problems for compilation in everything):
            yield f"no kernel matches {rule.kernels!r}: the rule has outlived what it checks"


def table(compilations: Iterable[Compilation], compiler: str, read_from: str) -> str:
    """A Markdown row per kernel, its template instances together."""
    rows: dict[tuple[str, str], dict[str, list[Kernel]]] = {}
    archs: dict[str, None] = {}
    for compilation in compilations:
        archs[compilation.arch] = None
        for kernel in compilation.kernels:
            name = kernel.name.partition("<")[0]
            row = rows.setdefault((compilation.source, name), {})
            row.setdefault(compilation.arch, []).append(kernel)
    lines = [
        "# What nvcc makes of each kernel",
        "",
        f"Written by scripts/cuda_compile_check.py --all-archs; {compiler}.",
        "A row holds all instances of a template: registers per thread and bytes of shared memory",
        "from the least to the most, spills of the worst. The last column: which of",
        f"{', '.join(PTX)} are in the {read_from} of every instance.",
        "",
        "| source | kernel | instances | "
        + " | ".join(f"registers sm_{arch}" for arch in archs)
        + " | shared bytes | spilled bytes | in every instance |",
        "|---|---|---|" + "---|" * (len(archs) + 3),
    ]
    for (source, name), by_arch in sorted(rows.items()):
        kernels = [kernel for group in by_arch.values() for kernel in group]
        registers = [_span(k.registers for k in by_arch.get(arch, [])) for arch in archs]
        common = [i for i in PTX if all(k.instructions.get(i) for k in kernels)]
        cells = [
            source,
            name,
            str(max(len(group) for group in by_arch.values())),
            *registers,
            _shared(kernels),
            str(max(k.spill_bytes for k in kernels)),
            ", ".join(common),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _shared(kernels: list[Kernel]) -> str:
    """Static bytes, and those that the launch gives: known for tiles, which are in the name."""
    if not any(kernel.dynamic_shared for kernel in kernels):
        return _span(kernel.shared_bytes for kernel in kernels)
    tiles = [re.search(r"TensorTile<([\d, ]+)>", kernel.name) for kernel in kernels]
    if not all(tiles):
        return "by shape, at launch"
    sizes = []
    for tile in filter(None, tiles):  # kTensorSharedBytes of tensor_gemm.cuh
        bm, bn, wm, _, stages, _ = map(int, tile[1].split(","))
        sizes.append(max(stages * (bm + bn) * 64, bm // wm * 16 * (bn + 8) * 4))
    return _span(sizes)


def _span(values: Iterable[int]) -> str:
    found = sorted(values)
    if not found:
        return "-"
    return str(found[0]) if found[0] == found[-1] else f"{found[0]}-{found[-1]}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of file names; default: all")
    parser.add_argument("--all-archs", action="store_true", help=", ".join(ALL_ARCHS))
    parser.add_argument("--arch", action="append", help="this one instead, such as 90a; repeatable")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of remembered answers")
    parser.add_argument("--table", type=Path, help="Markdown file to write")
    args = parser.parse_args(arguments)
    nvcc = find_nvcc()
    if nvcc is None:
        print("cuda_compile_check: nvcc is not installed here: nothing was compiled or checked")
        return 0
    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True)
    compiler = next((s for s in version.stdout.splitlines() if "release" in s), "nvcc").strip()
    sources = sorted((SOURCES / "cuda").glob("*.cu"))
    if args.names:
        sources = [path for path in sources if path.name.startswith(tuple(args.names))]
    archs = tuple(args.arch) if args.arch else ALL_ARCHS if args.all_archs else ARCHS
    # The largest first, so that no core is left alone with one of them at the end.
    work = [(path, arch) for path in sources for arch in archs]
    work.sort(key=lambda pair: pair[0].stat().st_size, reverse=True)
    disassembler = find_disassembler(nvcc)
    tools = (nvcc, compiler, disassembler, args.cache)
    with ThreadPoolExecutor(args.jobs) as pool:
        results = list(pool.map(lambda pair: compile_one(*tools, *pair), work))
    results.sort(key=lambda result: (result.source, archs.index(result.arch)))
    # Rules speak of the whole library.
    found = list(faults(results, () if args.names else RULES))
    for line in found:
        print(line)
    read_from = "machine code" if disassembler else "PTX"
    path = args.table or (TABLE if args.all_archs and not args.names else None)
    if path and not any(result.problems for result in results):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(table(results, compiler, read_from))
    count = sum(len(result.kernels) for result in results)
    verdict = f"{len(found)} faults: FAIL" if found else "no warnings, no spills: ok"
    where = ", ".join(f"sm_{arch}" for arch in archs)
    print(
        f"{len(sources)} sources, {where}: {count} kernels, instructions read from the "
        f"{read_from}: {verdict}"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
