"""The service without telemetry, with all of it and with every hundredth trace, against a floor.

The floor (`floor/`) gives the same answers from the same tables by REST, with hand-written SQL and no
telemetry. `bench/run` builds what this takes; it says which variables there are.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.dont_write_bytecode = True
import report
import servers
from catalog import CREATE, PAGE, WORKLOADS
from load import difference, settle, spans_of_one, wrk
from programs import Failure, machine, number, tell

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "target/bench"


@dataclass
class Options:
    program: Path
    floor: Path
    collector: str
    books: int
    repeats: int
    seconds: int
    warm_up: int
    connections: int
    server_cpu: int
    load_cpu: int


def main():
    # So that all that was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        options = read_options()
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="colophon-bench.")))
            result = compare(options, folder, stack)
    except (Failure, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    text = report.markdown(result)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "latest.md").write_text(text)
    (RESULTS / "latest.json").write_text(json.dumps(result, indent=2) + "\n")
    print(text, end="")
    faults = [f"{run['workload']}, {run['server']}: {fault}" for run in result["runs"] for fault in run["faults"]]
    if faults:
        sys.exit("\n".join(["bench: the figures mean nothing:", *faults]))


def read_options():
    program, floor = map(Path, sys.argv[1:])
    options = Options(
        program=program.resolve(),
        floor=floor.resolve(),
        collector="",
        books=number("BOOKS", 100_000, least=PAGE),
        repeats=number("REPEATS", 4),
        seconds=number("SECONDS", 5),
        warm_up=number("WARM_UP", 1),
        connections=number("CONNECTIONS", 16),
        server_cpu=number("SERVER_CPU", 0, least=0),
        load_cpu=number("LOAD_CPU", 1, least=0),
    )
    cpus = os.sched_getaffinity(0)
    if options.server_cpu == options.load_cpu or not {options.server_cpu, options.load_cpu} <= cpus:
        raise Failure(f"the servers and the load need two different CPUs of {sorted(cpus)}")
    return options


def compare(options, folder, stack):
    """All runs. Each workload goes round the servers before the next one, so that whatever else the
    machine does strikes all of them alike."""
    about = machine(options, "postgres") | {"books": options.books, "warm_up": options.warm_up}
    bench = servers.start(options, folder, stack)
    about["database"] = f"PostgreSQL {bench.database.sql('SHOW server_version').strip()}"
    on = next(server for server in bench.servers if server.name == servers.ON)
    spans = {workload: spans_of_one(on, workload) for workload in WORKLOADS}
    bench.database.remove_created()
    runs = []
    for repeat in range(1, options.repeats + 1):
        for workload in WORKLOADS:
            for server in bench.servers:
                runs.append(run(options, bench, server, workload, repeat, spans[workload]))
                tell(f"{repeat} of {options.repeats}, {report.progress(runs[-1])}")
    return {
        "machine": about,
        "workloads": {workload.name: workload.what for workload in WORKLOADS},
        "servers": servers.NAMES,
        "rows": report.rows(runs),
        "runs": runs,
    }


def run(options, bench, server, workload, repeat, spans_per_request):
    """One run, with all that the server has to do for it afterwards."""
    server.check(workload, repeat)
    wrk(options, server, workload, options.warm_up, seed=-repeat)
    settle(server)
    os.truncate(server.service.log, 0)
    server.reset_peak()
    before = Counts.of(bench, server, workload)
    busy = servers.busy(options.server_cpu)
    counts = wrk(options, server, workload, options.seconds, seed=repeat)
    busy = servers.busy(options.server_cpu) - busy
    own = server.cpu() - before.cpu
    settle(server)
    after = Counts.of(bench, server, workload)
    server.check(workload, repeat)
    figures = {
        "server": server.name,
        "workload": workload.name,
        "repeat": repeat,
        **counts,
        "cpu_s": after.cpu - before.cpu,
        "peak_mb": server.peak(),
        # What others had of the server's CPU.
        "others": max(0, busy - own) / counts["seconds"],
        "created": after.created - before.created,
        "spans": after.spans and difference(after.spans, before.spans),
        "spans_received": after.spans_received - before.spans_received,
    }
    figures["faults"] = list(faults(options, server, workload, figures, spans_per_request))
    if workload is CREATE:
        if bench.database.created_whole() != bench.database.created():
            figures["faults"].append("some books were not created in full")
        bench.database.remove_created()
    return figures


@dataclass
class Counts:
    """What a server has done so far."""

    spans: dict | None
    cpu: float
    spans_received: int
    created: int

    @classmethod
    def of(cls, bench, server, workload):
        # Scraped first: a scrape is part of what a server with metrics has to do, and that at the end of
        # a run is counted with it.
        return cls(
            spans=server.spans(),
            cpu=server.cpu(),
            spans_received=bench.spans_received(),
            created=bench.database.created() if workload is CREATE else 0,
        )


def faults(options, server, workload, figures, spans_per_request):
    """What is not as it has to be."""
    requests, spans, received = (figures[what] for what in ("requests", "spans", "spans_received"))
    # wrk hangs up with a request on each connection, which may have been done, in part or not at all.
    most = requests + options.connections
    if not requests or figures["wrong"] or figures["broken"]:
        yield f"{figures['wrong']} of {requests} answers wrong, {figures['broken']} broken: {figures['example']}"
    if workload is CREATE and not requests <= figures["created"] <= most:
        yield f"{figures['created']} books created by {requests} requests"
    if received != (spans["exported"] if spans else 0):
        yield f"the collector received {received} spans of {spans}"
    if server.name == servers.ON:
        made = sum(spans.values())
        if not spans_per_request * requests <= made <= spans_per_request * most:
            yield f"{made} spans sent or dropped: {requests} requests with {spans_per_request} each"


if __name__ == "__main__":
    main()
