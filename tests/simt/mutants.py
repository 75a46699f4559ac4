"""Faults to plant in the kernels of csrc/cuda, for scripts/simt_mutants.py: mutants/*.txt.

Paragraphs in the manner of a diff. One that begins with `file` says where those after it apply:

    file direct_gemm.cuh            in csrc/cuda
    compile gemm.cu                 sources to compile with it, where the file is a header
    ops gemm                        whose cases must show the fault
    races gemm                      family of tests/simt/races, for the race checker
    rows 70000 64                   besides the shared list, a BatchNormCase of this size

    name: result, race              who must see it, each by itself
     a line that stays              enough of the file to occur in it once
    -a line that goes
    +a line that comes

"error" is the executor (SimtError), "result" a wrong number or bits that depend on the order of
threads, "race" the race checker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from convsmith.testing.cases import BatchNormCase, Case

DETECTORS = ("result", "error", "race")


@dataclass(frozen=True)
class Mutant:
    name: str
    detector: str
    old: str
    new: str
    file: str
    compile: tuple[str, ...]
    ops: tuple[str, ...]
    races: str
    cases: tuple[Case, ...]

    def __str__(self) -> str:
        return f"{self.name}:{self.detector}"

    def applied(self, text: str) -> str:
        """The file's text with the fault in it."""
        if text.count(self.old) != 1:
            raise ValueError(
                f"{self}: {self.file} has this {text.count(self.old)} times:\n{self.old}"
            )
        return text.replace(self.old, self.new)


def parse(text: str) -> Iterator[Mutant]:
    where: dict[str, tuple[str, ...]] = {}
    for paragraph in text.strip("\n").split("\n\n"):
        lines = [line for line in paragraph.split("\n") if not line.startswith("#")]
        if lines[0].startswith("file "):
            words = (line.split() for line in lines)
            where = {key: tuple(values) for key, *values in words}
            continue
        name, _, detectors = lines[0].partition(": ")
        rows = where.get("rows")
        for detector in detectors.split(", "):
            if detector not in DETECTORS:
                raise ValueError(f"{name}: got {detector!r}, wanted one of {', '.join(DETECTORS)}")
            yield Mutant(
                name,
                detector,
                "\n".join(line[1:] for line in lines[1:] if line[0] in " -"),
                "\n".join(line[1:] for line in lines[1:] if line[0] in " +"),
                where["file"][0],
                where.get("compile", where["file"]),
                where["ops"],
                where.get("races", ("",))[0],
                (BatchNormCase(int(rows[0]), int(rows[1])),) if rows else (),
            )


MUTANTS = tuple(
    mutant
    for path in sorted((Path(__file__).parent / "mutants").glob("*.txt"))
    for mutant in parse(path.read_text())
)
