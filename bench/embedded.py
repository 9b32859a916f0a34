"""Whether SQLite keeps up. The server, and with it SQLite, has one CPU; the load and PostgreSQL have the other."""

import statistics
from dataclasses import replace

from catalog import CREATE, WORKLOADS
from load import loaded, settle
from place import POSTGRES, SQLITE
from programs import Failure
from rows import Row, spread

BOOK = next(workload for workload in WORKLOADS if workload.name == "book")
CLIENTS = 32


def measure(place):
    options = place.options
    cpu = options.server_cpu
    with (
        place.serving(SQLITE, options.books, cpu=cpu) as sqlite,
        place.serving(POSTGRES, options.books, cpu=cpu) as postgres,
    ):
        yield reads(options, sqlite, postgres)
        # Last: the catalog has other books from then on.
        yield creates(options, sqlite, place.catalog(SQLITE, options.books))


def reads(options, sqlite, postgres):
    rates = {SQLITE: [], POSTGRES: []}
    for seed in range(1, options.repeats + 1):
        for kind, server in ((SQLITE, sqlite), (POSTGRES, postgres)):
            server.check(BOOK, seed)
            loaded(options, server, BOOK, options.warm_up, seed=-seed)
            rates[kind].append(loaded(options, server, BOOK, options.seconds, seed)["rate"])
            settle(server)
    of, to = (statistics.median(rates[kind]) for kind in (SQLITE, POSTGRES))
    return Row(
        f"{BOOK.what}: requests/s on SQLite, of those on PostgreSQL",
        "≥ 0.9 ×",
        f"{of / to:.2f} × ({of:,.0f}, {spread(rates[SQLITE])}; {to:,.0f}, {spread(rates[POSTGRES])})",
        of >= 0.9 * to,
    )


def creates(options, server, store):
    options = replace(options, connections=CLIENTS)
    rates = []
    for seed in range(1, options.repeats + 1):
        server.check(CREATE, seed)
        before = count(store)
        run = loaded(options, server, CREATE, options.seconds, seed)
        settle(server)
        created = count(store) - before
        # wrk hangs up with a request on each connection, which may have been done.
        if not run["requests"] <= created <= run["requests"] + CLIENTS:
            raise Failure(f"{created} books created by {run['requests']} requests")
        rates.append(run["rate"])
    rate = statistics.median(rates)
    return Row(
        f"{CREATE.what}: requests/s on SQLite from {CLIENTS} clients",
        "≥ 2,000",
        f"{rate:,.0f} ({spread(rates)})",
        rate >= 2000,
    )


def count(store):
    [[books]] = store.rows("SELECT count(*) FROM book")
    return books
