"""judge.py MODULE MUTANT: runs a mutant's ops on the case list until one is wrong, and says how.

Prints "error: ..." for a fault that the executor saw, "result: ..." for a wrong result or for bits
that depend on the order of threads, nothing where all is well.
"""

from __future__ import annotations

import importlib.util
import sys
from itertools import chain


def use_module(path: str) -> None:
    """Has `import convsmith._simt` give this module."""
    import convsmith

    spec = importlib.util.spec_from_file_location("convsmith._simt", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["convsmith._simt"] = convsmith._simt = module
    spec.loader.exec_module(module)


def judge(name: str) -> str:
    from every_case import runs, wrong
    from mutants import MUTANTS

    from convsmith.testing.cases import cases_for

    schedules = (("round_robin", 0), ("skew", 1), ("random", 2))
    mutant = next(mutant for mutant in MUTANTS if str(mutant) == name)
    for op in mutant.ops:
        cases = sorted(cases_for(op), key=lambda case: case.cost)
        for run in chain(runs(op, cases), runs(op, mutant.cases)):
            found = wrong(run, schedules)
            if found:
                return f"{'error' if ': simt: ' in found else 'result'}: {found}"
    return ""


if __name__ == "__main__":
    use_module(sys.argv[1])
    print(judge(sys.argv[2]))
