"""What subscriptions take: memory while nothing happens, and the time from a change to the last of many subscribers."""

import contextlib
import http.client
import json
import re
import resource
import subprocess
import time
from pathlib import Path

from place import POSTGRES, SQLITE
from programs import Failure, tell
from rows import Row

HERE = Path(__file__).resolve().parent
IDLE, SUBSCRIBERS, RATE, SECONDS = 10_000, 1_000, 50, 10
BOOKS = 1_000
DOCUMENT = "subscription { bookChanged { kind id version at book { title } } }"
LIMITS = {
    f"COLOPHON_{name}": "20000" for name in
    ("MAX_CONNECTIONS", "MAX_CONNECTIONS_PER_PEER", "MAX_SUBSCRIPTIONS", "MAX_CALLER_SUBSCRIPTIONS")
}


def measure(place):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    client = place.folder / "subscribers"
    command = ["rustc", "-O", "--edition", "2024", HERE / "subscribers.rs", "-o", client]
    subprocess.run(command, check=True)
    for kind in (SQLITE, POSTGRES):
        with place.serving(kind, BOOKS, further=LIMITS) as server:
            yield idle(server.service, client, kind)
            yield fan_out(server.service, client, kind)


def idle(service, client, kind):
    """A connection for each, which a browser would have, too."""
    before = memory(service)
    with subscribed(service, client, IDLE) as subscribers:
        time.sleep(1)
        each = (memory(service) - before) / IDLE / 1e3
        subscribers.stdin.close()
        subscribers.wait()
    return Row(f"idle subscription, one of {IDLE:,}, {kind}", "< 20 kB", f"{each:.1f} kB", each < 20)


def fan_out(service, client, kind):
    with subscribed(service, client, SUBSCRIBERS) as subscribers:
        tell(f"{RATE} changes/s for {SECONDS} s to {SUBSCRIBERS} subscribers, {kind}")
        before, started = service.cpu(), time.monotonic()
        changes = change(service)
        time.sleep(1)
        cpu = (service.cpu() - before) / (time.monotonic() - started)
        subscribers.stdin.close()
        received = json.loads(subscribers.stdout.readline())
        subscribers.wait()
    expected = changes * SUBSCRIBERS
    if received["events"] != expected or received["refetches"]:
        raise Failure(f"{expected} events were expected, and these came: {received}")
    ms = {name: received[name] / 1e3 for name in ("p50", "p99", "max")}
    measured = f"p99 {ms['p99']:.1f} ms (p50 {ms['p50']:.1f}, at most {ms['max']:.1f}; {cpu:.2f} CPUs)"
    what = f"from a change to its event, {SUBSCRIBERS:,} subscribers, {RATE}/s, {kind}"
    return Row(what, "p99 ≤ 100 ms", measured, ms["p99"] <= 100)


def change(service):
    """Changes a book again and again, and returns how often it did."""
    connection = http.client.HTTPConnection(service.public)
    headers = {"Content-Type": "application/json"}
    for number in range(RATE * SECONDS):
        due = time.monotonic() + 1 / RATE
        query = f'mutation {{ updateBook(id: "book_1", input: {{ title: "Title {number}" }}) {{ id }} }}'
        connection.request("POST", "/graphql", json.dumps({"query": query}), headers)
        answer = json.loads(connection.getresponse().read())
        if "errors" in answer:
            raise Failure(f"a change failed: {answer}")
        time.sleep(max(0, due - time.monotonic()))
    return RATE * SECONDS


@contextlib.contextmanager
def subscribed(service, client, count):
    process = subprocess.Popen(
        [client, service.public, str(count), DOCUMENT],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    try:
        if process.stdout.readline() != "ready\n":
            raise Failure("the subscribers did not start")
        yield process
    finally:
        process.kill()
        process.wait()


def memory(service):
    """Bytes of resident memory."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024
