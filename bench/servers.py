"""What is compared: servers on one database, each on the CPU that is theirs alone."""

import contextlib
import os
import re
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import catalog
from programs import (
    TICK, Failure, Service, await_lines, environment, fill, get, start_collector, start_service, stop,
)

HERE = Path(__file__).resolve().parent
FLOOR, OFF, ON, HUNDREDTH = "floor", "off", "on", "1 %"
# The variants of the service.
SETTINGS = {
    OFF: {
        "OTEL_SDK_DISABLED": "true",
        "COLOPHON_RUNTIME_PROFILING": "false",
        # The line that tells the addresses must come all the same.
        "RUST_LOG": "warn,colophon::cli::serve=info",
    },
    ON: {"OTEL_TRACES_SAMPLER": "always_on"},
    HUNDREDTH: {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"},
}
NAMES = (FLOOR, *SETTINGS)


@contextlib.contextmanager
def on_cpu(number):
    """Has all that is started within run on this CPU only. tokio starts as many workers as it may use."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {number})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass
class Database:
    """The throw-away cluster."""

    url: str
    log: Path
    # Of the catalog: what has a greater id was created by a run.
    books: int

    def sql(self, *statements):
        """The output of the statements, each of which is a transaction."""
        command = ["psql", self.url, "-qXAt", "-v", "ON_ERROR_STOP=1"]
        for statement in statements:
            command += ["-c", statement]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            end = "".join(self.log.read_text().splitlines(keepends=True)[-10:])
            raise Failure(f"psql: {done.stderr}PostgreSQL's log ends: {end}")
        return done.stdout

    def check(self):
        """That there is each book as the formula has it, and no other."""
        rows = self.sql(catalog.STORED).splitlines()
        if rows != [catalog.stored(number) for number in range(1, self.books + 1)]:
            raise Failure("the database does not have the catalog that was imported")

    def created(self):
        """The books that were created."""
        return int(self.sql(f"SELECT count(*) FROM book WHERE id > {self.books}"))

    def created_whole(self):
        """Those with everything that a new book has to have."""
        return int(self.sql(
            "SELECT count(*) FROM book "
            f"WHERE id > {self.books} AND pages = {catalog.NEW_PAGES} AND title_words = 2 "
            "AND title ~ '^Bench [0-9]+$' AND title_key = lower(title)"
        ))

    def remove_created(self):
        self.sql(
            f"DELETE FROM book WHERE id > {self.books}",
            f"SELECT setval(pg_get_serial_sequence('book', 'id'), {self.books})",
            "VACUUM book",
        )


@dataclass
class Server:
    """One that is compared."""

    name: str
    service: Service
    is_graphql: bool

    def request(self, workload):
        """Method, path and body, with {id} in them."""
        return workload.graphql if self.is_graphql else workload.rest

    def url(self, path=""):
        return f"http://{self.service.public}{path}"

    def check(self, workload, number):
        """That it answers what it has to."""
        _, path, body = (part.replace("{id}", str(number)) for part in self.request(workload))
        try:
            answer = get(self.url(path), body.encode() or None)
        except OSError as error:
            raise Failure(f"{self.name}, {workload.what}: {error}") from None
        if not workload.is_right(number, answer):
            raise Failure(f"{self.name}, {workload.what}: {answer[:500]!r} to {number}")

    def cpu(self):
        if self.service.process.poll() is not None:
            raise Failure(f"{self.name} ended: {self.service.log.read_text()[-2000:]}")
        return self.service.cpu()

    def spans(self):
        """What became of its spans, or None if it makes none."""
        return self.service.spans() if self.service.admin else None

    def reset_peak(self):
        # 5: the greatest resident size so far. See proc(5).
        Path(f"/proc/{self.service.process.pid}/clear_refs").write_text("5")

    def peak(self):
        """The most resident memory since then, in megabytes."""
        status = Path(f"/proc/{self.service.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6


@dataclass
class Bench:
    """All that runs."""

    database: Database
    servers: list
    # Where the collector tells what it received.
    received: Path

    def spans_received(self):
        return spans_received(self.received)


def spans_received(told):
    """The spans that a collector says it received, which it tells in `told`."""
    return sum(map(int, re.findall(r'^Traces\b.*"spans": (\d+)', told.read_text(), re.MULTILINE)))


def start(options, folder, stack):
    """Starts everything. Servers get a CPU of their own, all else has the other one."""
    with on_cpu(options.load_cpu):
        database = start_database(options, folder, stack)
        endpoint = start_collector(options, folder, stack)["HTTP"]
    with on_cpu(options.server_cpu):
        import_catalogue(options, folder, database)
        servers = [start_floor(options, folder, stack, database)]
        for name, settings in SETTINGS.items():
            settings = {
                "DATABASE_URL": database.url,
                "COLOPHON_POOL_SIZE": "16",
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
                **settings,
            }
            service = start_service(options, folder, stack, name, settings)
            servers.append(Server(name, service, is_graphql=True))
    return Bench(database, servers, folder / "collector.out")


def start_database(options, folder, stack):
    # Also for PostgreSQL, which does not run as root.
    folder.chmod(0o755)
    cluster = folder / "postgres"
    stack.callback(script, "stop", cluster, check=False)
    url = script("start", cluster, str(free_port()), check=True)
    return Database(url, cluster / "log", options.books)


def script(*arguments, check):
    done = subprocess.run(
        [HERE.parent / "scripts/postgres", *arguments], stdout=subprocess.PIPE, text=True, check=check
    )
    return done.stdout.strip()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def import_catalogue(options, folder, database):
    books = folder / "books.csv"
    catalog.write(books, options.books)
    fill(options.program, books, database.url)
    database.sql("VACUUM ANALYZE")
    database.check()


def start_floor(options, folder, stack, database):
    log = folder / f"{FLOOR}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [options.floor], env=environment({"DATABASE_URL": database.url}), stdout=output, stderr=output
        )
    stack.callback(stop, process)
    [address] = await_lines(process, log, r"listening on (\S+)", 1)
    return Server(FLOOR, Service(FLOOR, process, log, address, admin=""), is_graphql=False)


def busy(cpu):
    """Seconds that a CPU was busy so far, for whomever."""
    row = re.search(rf"^cpu{cpu} (.*)", Path("/proc/stat").read_text(), re.MULTILINE)[1].split()
    user, nice, system, _idle, _wait, irq, softirq = map(int, row[:7])
    return (user + nice + system + irq + softirq) / TICK
