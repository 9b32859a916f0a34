"""What targets are measured on: a collector, catalogs of any size in both databases, and the service."""

import contextlib
import itertools
import os
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import servers
import stock
from programs import TICK, number, start_collector, start_service

POSTGRES, SQLITE = "PostgreSQL", "SQLite"


@dataclass(frozen=True)
class Options:
    program: Path
    collector: str
    books: int
    repeats: int
    seconds: int
    warm_up: int
    connections: int
    server_cpu: int
    load_cpu: int

    @classmethod
    def read(cls, program):
        return cls(
            program=Path(program).resolve(),
            collector=os.environ.get("COLOPHON_BENCH_COLLECTOR", ""),
            books=number("BOOKS", 100_000, least=1000),
            repeats=number("REPEATS", 5),
            seconds=number("SECONDS", 3),
            warm_up=number("WARM_UP", 1),
            connections=number("CONNECTIONS", 16),
            server_cpu=number("SERVER_CPU", 0, least=0),
            load_cpu=number("LOAD_CPU", 1, least=0),
        )


class Place:
    """Starts what is asked for when it is asked for, and stops it with `stack`."""

    def __init__(self, options, folder, stack):
        self.options, self.folder, self.stack = options, folder, stack
        self.stores = {}
        # Each service has a log of its own.
        self.numbers = itertools.count(1)

    @cached_property
    def collector(self):
        """Its endpoints, by protocol."""
        with servers.on_cpu(self.options.load_cpu):
            found = start_collector(self.options, self.folder, self.stack)
        return {"http/protobuf": found["HTTP"], "grpc": found["GRPC"]}

    def spans_received(self):
        return servers.spans_received(self.folder / "collector.out")

    @cached_property
    def cluster(self):
        with servers.on_cpu(self.options.load_cpu):
            return servers.start_database(self.options, self.folder, self.stack)

    def database_cpu(self, kind):
        """Seconds of CPU time of the database so far. SQLite's are the server's own."""
        if kind == SQLITE:
            return 0
        first = int((self.cluster.log.parent / "data/postmaster.pid").read_text().split()[0])
        others = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        # The first one's time includes that of its children that ended.
        return times(first, 4) + sum(times(other, 2) for other in others)

    def catalog(self, kind, books):
        """A database of so many books, always the same one."""
        if (kind, 0) not in self.stores:
            self.stores[kind, 0] = self.store(kind, "stocked")
            stock.compare(self.options.program, self.stores[kind, 0], self.store(kind, "imported"), self.folder)
        if (kind, books) not in self.stores:
            self.stores[kind, books] = self.store(kind, f"books_{books}")
            stock.stock(self.options.program, self.stores[kind, books], books)
        return self.stores[kind, books]

    def store(self, kind, name):
        if kind == SQLITE:
            return stock.Sqlite(self.folder / f"{name}.db")
        self.cluster.sql(f"CREATE DATABASE {name}")
        url = re.sub(r"/postgres$", f"/{name}", self.cluster.url)
        return stock.Postgres(replace(self.cluster, url=url), self.folder)

    @contextlib.contextmanager
    def serving(self, kind, books, variant=servers.ON, cpu=None, protocol="http/protobuf", further=None):
        """A service on that catalog with further settings, on one CPU or on all."""
        store = self.catalog(kind, books)
        settings = self.settings(store, variant, protocol) | (further or {})
        name = f"{next(self.numbers)}. {kind}, {books} books, {variant}"
        with contextlib.ExitStack() as stack:
            with servers.on_cpu(cpu) if cpu is not None else contextlib.nullcontext():
                service = start_service(self.options, self.folder, stack, name, settings)
            yield servers.Server(name, service, is_graphql=True)

    def settings(self, store, variant, protocol="http/protobuf"):
        endpoint = {} if variant == servers.OFF else {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.collector[protocol], "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        }
        return {"DATABASE_URL": store.url, **endpoint, **servers.SETTINGS[variant]}


def times(process, count):
    """A process's first so many of: user, kernel, children's user, children's kernel time, in seconds."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return 0
    return sum(map(int, stat.rpartition(")")[2].split()[11:11 + count])) / TICK
