"""One real run of `convsmith bench`, with a slowdown planted in one kernel where it is asked for.

python planted_run.py OUT.json [LAYER OP MS]     MS: processor time to burn in every call
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from convsmith.bench import record
from convsmith.bench.session import Plan, Session
from convsmith.bench.work import Contender, Work
from convsmith.bench.works import CONVOLUTIONS, works

LAYERS = ("layer1.0.conv1", "layer2.0.downsample", *(f"layer{n}.0.conv2" for n in (2, 3, 4)))


def burn(ms: float) -> None:
    end = time.thread_time() + ms / 1e3
    while time.thread_time() < end:
        pass


def slower(layer: str, op: str, ms: float) -> Any:
    def alter(work: Work, contender: Contender) -> Contender:
        if work.op != op or work.uses[0].layer != layer:
            return contender

        def bind(inputs: Any) -> Any:
            call = contender.bind(inputs)
            return lambda: (call(), burn(ms))[0]

        return replace(contender, bind=bind)

    return alter


def main() -> None:
    chosen = [
        work
        for work in works(["resnet18"], [4])
        if work.op in CONVOLUTIONS and work.uses[0].layer in LAYERS
    ]
    plan = Plan(chosen, ["native_cpu"], threads=(1,), repeats=12)
    out, *planted = sys.argv[1:]
    if planted:
        layer, op, ms = planted
        session = Session(plan, slower(layer, op, float(ms)))
    else:
        session = Session(plan)
    session.measure_limits()
    for _ in session.run():
        pass
    record.write(session.record(), Path(out))


if __name__ == "__main__":
    main()
