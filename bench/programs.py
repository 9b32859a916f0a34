"""The programs that a benchmark runs: started, asked, looked at and stopped."""

import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """Why there is no result."""


@dataclass
class Service:
    """A running service."""

    name: str
    process: subprocess.Popen
    log: Path
    public: str
    admin: str

    def cpu(self):
        """Seconds of CPU time so far, of all threads, in user and kernel mode."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        # The program's name comes second, in parentheses, and may have spaces.
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def spans(self):
        """What became of the spans so far, or None if it offers no metrics."""
        try:
            text = get(f"http://{self.admin}/metrics")
        except urllib.error.HTTPError:
            return None
        series = re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE)
        spans = {"exported": 0, "dropped": 0, "failed": 0}
        for name, labels, value in series:
            if name == "otel_sdk_exporter_span_exported_total":
                spans["failed" if labels else "exported"] += round(float(value))
            elif name == "otel_sdk_processor_span_processed_total" and labels:
                spans["dropped"] += round(float(value))
        return spans

    def ask(self, query):
        """The data of an answer."""
        body = json.dumps({"query": query}).encode()
        answer = json.loads(get(f"http://{self.public}/graphql", body))
        if "errors" in answer:
            raise Failure(f"{self.name} answered {answer['errors']}")
        return answer["data"]


def fill(program, books, url):
    tell(f"importing {books}")
    command = [program, "import", books]
    done = subprocess.run(
        command, env=environment({"DATABASE_URL": url}), capture_output=True, text=True, timeout=600
    )
    # 3: all rows went in but some that are wrong.
    if done.returncode not in (0, 3):
        raise Failure(f"the import failed: {done.stderr.strip()}")


def start_collector(arguments, folder, stack):
    """The collector's endpoints, by protocol. What it receives it tells in `collector.out`."""
    path = arguments.collector
    if not path:
        found = subprocess.run([HERE.parent / "scripts/collector"], stdout=subprocess.PIPE, text=True)
        path = found.stdout.strip()
        if found.returncode != 0:
            raise Failure("there is no collector")
    log = folder / "collector.log"
    command = [path, "--config", HERE / "collector.yaml"]
    with log.open("w") as stderr, (folder / "collector.out").open("w") as stdout:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr)
    stack.callback(stop, process)
    pattern = r'"Starting (GRPC|HTTP) server".*"endpoint":"([^"]+)"'
    found = await_lines(process, log, pattern, 2)
    return {protocol: f"http://{address}" for protocol, address in found}


def start_service(arguments, folder, stack, name, settings):
    log = folder / f"{name}.log"
    listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    # Appending: the file is emptied between runs.
    with log.open("a") as output:
        process = subprocess.Popen(
            [arguments.program, "serve", *listen],
            env=environment(settings), cwd=folder, stdout=output, stderr=output,
        )
    stack.callback(stop, process)
    [line] = await_lines(process, log, r'(.*"service\.listening".*)', 1)
    addresses = json.loads(line)
    service = Service(name, process, log, addresses["listen.public"], addresses["listen.admin"])
    deadline = time.monotonic() + 30
    while True:
        try:
            get(f"http://{service.admin}/readyz")
            return service
        except urllib.error.HTTPError:
            if time.monotonic() > deadline:
                raise Failure(f"{name} does not get ready: {log.read_text()}") from None
            time.sleep(0.1)


def environment(settings):
    """This process's environment with these settings and no others of the service."""
    foreign = ("OTEL_", "COLOPHON_", "TOKIO_", "DATABASE_URL", "RUST_LOG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | settings


def await_lines(process, log, pattern, count):
    """What `pattern` finds in a log, as soon as it is there `count` times."""
    deadline = time.monotonic() + 30
    while len(found := re.findall(pattern, log.read_text())) < count:
        if process.poll() is not None or time.monotonic() > deadline:
            raise Failure(f"{process.args[0]} did not start: {log.read_text()}")
        time.sleep(0.05)
    return found


def stop(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def number(name, default, least=1):
    name = f"COLOPHON_BENCH_{name}"
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or int(text) < least:
        raise Failure(f"{name} is {text!r}, and has to be a number from {least}")
    return int(text)


def machine(arguments, url):
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    version = subprocess.run([arguments.program, "--version"], capture_output=True, text=True)
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "colophon": version.stdout.strip(),
        "database": url.partition(":")[0],
        "connections": arguments.connections,
        "seconds": arguments.seconds,
        "repeats": arguments.repeats,
    }


def get(url, body=None):
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
        return answer.read().decode()


def tell(text):
    print(text, file=sys.stderr, flush=True)
