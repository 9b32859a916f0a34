"""Loading a server, and waiting until it has done what that left behind."""

import json
import re
import subprocess
import time
from pathlib import Path

import servers
from programs import Failure, get

HERE = Path(__file__).resolve().parent
# Single requests, from which follows how many spans one of them makes.
SAMPLES = 10
# A server is through with its work when it used less than this many seconds of CPU time in each of so
# many periods. Spans that wait for their batch are sent every second.
QUIET, PERIOD, PERIODS, PATIENCE = 0.02, 0.5, 3, 20


def spans_of_one(server, workload):
    """The spans that a request makes where every trace is sampled."""
    # What only a first request makes does not count.
    server.check(workload, 1)
    settle(server)
    before = server.spans()
    for sample in range(SAMPLES):
        server.check(workload, sample + 1)
    settle(server)
    made = sum(difference(server.spans(), before).values())
    if made == 0 or made % SAMPLES:
        raise Failure(f"{SAMPLES} times {workload.what}: {made} spans, which are not as many for each")
    return made // SAMPLES


def difference(now, before):
    return {what: now[what] - before[what] for what in now}


def settle(server):
    """Waits until a server has done what the last requests left behind."""
    deadline = time.monotonic() + PATIENCE
    quiet, last = 0, server.cpu()
    while quiet < PERIODS:
        if time.monotonic() > deadline:
            raise Failure(f"{server.name} does not come to rest")
        time.sleep(PERIOD)
        now = server.cpu()
        quiet = quiet + 1 if now - last <= QUIET else 0
        last = now


def wrk(options, server, workload, seconds, seed):
    """Loads a server and gives wrk's counts."""
    method, path, body = server.request(workload)
    command = [
        "wrk", "--threads", "1", "--connections", str(options.connections),
        "--duration", f"{seconds}s", "--timeout", "10s", "--script", HERE / "compare.lua", server.url(),
        "--", method, path, body, str(options.books), str(seed), workload.beginning(),
    ]
    with servers.on_cpu(options.load_cpu):
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode != 0:
        raise Failure(f"wrk failed: {done.stdout}{done.stderr}")
    *_, example, last = done.stdout.splitlines()
    return json.loads(last) | {"example": example}


def loaded(options, server, workload, seconds, seed):
    """wrk's counts, the CPU time that it took the server, and how much of the CPU others had. Wrong answers
    end all."""
    before, busy = server.cpu(), servers.busy(options.server_cpu)
    counts = wrk(options, server, workload, seconds, seed)
    cpu, busy = server.cpu() - before, servers.busy(options.server_cpu) - busy
    if not counts["requests"] or counts["wrong"] or counts["broken"]:
        raise Failure(f"{server.name}, {workload.what}: wrong or broken answers: {counts}")
    rate = counts["requests"] / counts["seconds"]
    return counts | {"cpu_s": cpu, "rate": rate, "others": max(0, busy - cpu) / counts["seconds"]}


def h2load(options, server, workload, requests, folder, rate=None):
    """Sends exactly so many requests for the first book, at a constant rate if one is given, and gives the
    rate there was. The answers must have the size that one has, which is asked for at the beginning."""
    _, path, body = server.request(workload)
    (folder / "body.json").write_text(body.replace("{id}", "1"))
    size = len(get(server.url(path), (folder / "body.json").read_bytes()).encode())
    pace = [f"--rps={rate / options.connections:.3f}"] if rate else []
    command = [
        "h2load", "--h1", "-t", "1", "-c", str(options.connections), "-n", str(requests - 1), *pace,
        "-d", folder / "body.json", "-H", "Content-Type: application/json", server.url(path),
    ]
    with servers.on_cpu(options.load_cpu):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    right = f"{requests - 1} succeeded, 0 failed, 0 errored, 0 timeout"
    if done.returncode != 0 or right not in done.stdout or f"({size * (requests - 1)}) data" not in done.stdout:
        raise Failure(f"h2load: not {requests - 1} answers of {size} bytes: {done.stdout}{done.stderr}")
    took, unit = re.search(r"finished in ([\d.]+)(ms|s|m)", done.stdout).groups()
    return requests / (float(took) * {"ms": 1e-3, "s": 1, "m": 60}[unit])
