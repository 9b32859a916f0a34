"""Loads a program that counts what of it is run (`scripts/release`), on both databases and with all telemetry.

What is measured elsewhere is asked most. Mixed load comes with it, so that nothing users do is taken for what
never happens, and made slow for it.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
from catalog import WORKLOADS
from growth import TITLE, WORD
from load import loaded
from mixed import Load
from place import POSTGRES, SQLITE, Options, Place
from programs import Failure, tell

BOOKS, SECONDS = 10_000, 3
# Of mixed load: seconds, and things done in each.
MIXED, RATE = 10, 200
PROTOCOLS = {POSTGRES: "http/protobuf", SQLITE: "grpc"}


def main():
    # So that all that was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    [program] = sys.argv[1:]
    try:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="colophon-train.")))
            train(Place(options(program), folder, stack))
    except (Failure, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"train: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def options(program):
    cpu = max(os.sched_getaffinity(0))
    return Options(
        program=Path(program).resolve(), collector=os.environ.get("COLOPHON_BENCH_COLLECTOR", ""), books=BOOKS,
        repeats=1, seconds=SECONDS, warm_up=0, connections=16, server_cpu=cpu, load_cpu=cpu,
    )


def train(place):
    for kind, protocol in PROTOCOLS.items():
        with place.serving(kind, BOOKS, protocol=protocol) as server:
            for workload in (*WORKLOADS, TITLE, WORD):
                rate = loaded(place.options, server, workload, SECONDS, seed=1)["rate"]
                tell(f"{kind}, {workload.what}: {rate:,.0f} requests/s")
            mix(server)


def mix(server):
    load = Load(server.service.public, [f"book_{number}" for number in range(1, BOOKS + 1)], RATE, seed=1)
    asyncio.run(load.run(MIXED))
    if load.wrong:
        raise Failure(f"mixed load: {load.wrong[0]}, and {len(load.wrong) - 1} others")
    tell(f"{server.name}, mixed load: {load.requests:,} requests")


if __name__ == "__main__":
    main()
