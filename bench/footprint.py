"""What the service takes: of the disk, of time to start, of memory. With all of its telemetry on."""

import http.client
import re
import statistics
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import servers
from catalog import WORKLOADS
from load import loaded
from place import POSTGRES, SQLITE
from programs import Failure, environment, stop
from rows import Row

BOOKS = next(workload for workload in WORKLOADS if workload.name == "books")
STARTS, PATIENCE, IDLE = 5, 30, 10


def measure(place):
    yield size(place.options.program)
    yield ready(place)
    for kind in (SQLITE, POSTGRES):
        yield from memory(place, kind)


def size(program):
    mb = program.stat().st_size / 1e6
    return Row("size of the program", "≤ 40 MB", f"{mb:.1f} MB", mb <= 40)


def ready(place):
    """From the start of the process to /readyz, on a catalog that is there."""
    store = place.catalog(SQLITE, place.options.books)
    starts = [start(place, place.settings(store, servers.ON)) for _ in range(STARTS)]
    ms = statistics.median(starts) * 1e3
    spread = f"{min(starts) * 1e3:.0f}–{max(starts) * 1e3:.0f}"
    what = f"ready after the start, SQLite, {place.options.books:,} books"
    return Row(what, "≤ 300 ms", f"{ms:.0f} ms ({spread})", ms <= 300)


def start(place, settings):
    admin = f"127.0.0.1:{servers.free_port()}"
    command = [place.options.program, "serve", "--listen", "127.0.0.1:0", "--admin-listen", admin]
    with (place.folder / "start.log").open("w") as log:
        started = time.monotonic()
        process = subprocess.Popen(
            command, env=environment(settings), cwd=place.folder, stdout=log, stderr=log
        )
    try:
        while not is_ready(admin):
            if process.poll() is not None or time.monotonic() > started + PATIENCE:
                raise Failure(f"it does not get ready: {(place.folder / 'start.log').read_text()}")
            time.sleep(0.001)
        return time.monotonic() - started
    finally:
        stop(process)


def is_ready(admin):
    connection = http.client.HTTPConnection(admin, timeout=PATIENCE)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except ConnectionRefusedError:
        return False
    finally:
        connection.close()


def memory(place, kind):
    """At rest, and at its greatest while lists are asked for as fast as they are answered, on all CPUs."""
    options = replace(place.options, seconds=10)
    with place.serving(kind, options.books) as server:
        time.sleep(IDLE)
        mb = resident(server)
        yield Row(f"resident, idle, {kind}", "≤ 40 MB", f"{mb:.1f} MB", mb <= 40)
        server.check(BOOKS, 1)
        server.reset_peak()
        rate = loaded(options, server, BOOKS, options.seconds, seed=1)["rate"]
        mb = server.peak()
        measured = f"{mb:.1f} MB at {rate:,.0f} requests/s"
        yield Row(f"resident, {BOOKS.what}, full load, {kind}", "≤ 120 MB", measured, mb <= 120)


def resident(server):
    status = Path(f"/proc/{server.service.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024 / 1e6
