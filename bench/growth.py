"""Whether an answer costs more in a large catalog, or deep in a list: pairs of requests, in turns, from one
client, to services without telemetry. What counts is CPU time of the service and its database for each
request, and how long it takes."""

import contextlib
import json
import statistics
from dataclasses import dataclass, replace

import servers
from catalog import PAGE, WORKLOADS, Workload, page_from, data, operation, title
from load import loaded
from place import POSTGRES, SQLITE
from programs import tell
from rows import Row

SMALL, LARGE, DEPTH = 10_000, 1_000_000, 50_000
# Items of a page on the way down.
STEP = 100
BOOK, FIRST = (next(each for each in WORKLOADS if each.name == name) for name in ("book", "books"))


def search(name, what, text, first, answer):
    query = (
        "query Search($query: String!, $first: Int!) "
        "{ search(query: $query, first: $first) { nodes { id title } } }"
    )
    # The floor is not asked.
    return Workload(name, what, operation(query, query=text, first=first), rest=(), answer=answer)


def found(*numbers):
    return data(search={"nodes": [{"id": f"book_{number}", "title": title(number)} for number in numbers]})


# Of the words of a title one is in all titles, and the other in one only; authors' names have it too.
TITLE = search("title", "a search for a title", "volume {id}", 1, lambda number: found(number))
# Every eighth book has it, and of equal ones those with the lowest numbers come first.
WORD = search("word", "a search for a word that an eighth has", "amber", 20, lambda _: found(*range(8, 161, 8)))
WORKLOADS_THAT_GROW = (BOOK, FIRST, TITLE, WORD)


@dataclass
class Side:
    """What is asked of whom."""

    server: servers.Server
    workload: Workload
    # In its catalog.
    books: int


def measure(place):
    for kind in (SQLITE, POSTGRES):
        with contextlib.ExitStack() as stack:
            small, large = (
                stack.enter_context(place.serving(kind, books, servers.OFF, place.options.server_cpu))
                for books in (SMALL, LARGE)
            )
            sides = Side(large, FIRST, LARGE), Side(large, page_at(large, DEPTH), LARGE)
            what = f"a page behind {DEPTH:,} books, to the first one, of {LARGE:,}, {kind}"
            yield compare(place, kind, what, 1.1, *sides)
            for workload in WORKLOADS_THAT_GROW:
                what = f"{workload.what} of {LARGE:,}, to that of {SMALL:,}, {kind}"
                sides = Side(small, workload, SMALL), Side(large, workload, LARGE)
                yield compare(place, kind, what, 1.3, *sides)


def page_at(server, depth):
    """The first page's request with a cursor in it, which is sought page by page."""
    cursor = ""
    for _ in range(depth // STEP):
        answer = server.service.ask(f"{{ books(first: {STEP}{cursor}) {{ pageInfo {{ endCursor }} }} }}")
        cursor = f', after: {json.dumps(answer["books"]["pageInfo"]["endCursor"])}'
    query = (
        "query Nested($first: Int!) "
        f"{{ books(first: $first{cursor}) {{ nodes {{ id title authors {{ name }} }} }} }}"
    )
    what = f"the page behind {depth}"
    return Workload("deep", what, operation(query, first=PAGE), rest=(), answer=lambda _: page_from(depth + 1))


def compare(place, kind, what, mark, base, other):
    """`other` in multiples of `base`."""
    tell(what)
    runs = [], []
    for seed in range(1, place.options.repeats + 1):
        for side, done in zip((base, other), runs):
            done.append(cost(place, kind, side, seed))
    (cpu, latency), (other_cpu, other_latency) = (map(statistics.median, zip(*done)) for done in runs)
    ratios = other_cpu / cpu, other_latency / latency
    measured = (
        f"CPU {ratios[0]:.2f} × ({cpu:,.0f}, {other_cpu:,.0f} µs), "
        f"latency {ratios[1]:.2f} × ({latency:,.0f}, {other_latency:,.0f} µs)"
    )
    return Row(what, f"≤ {mark} ×", measured, max(ratios) <= mark)


def cost(place, kind, side, seed):
    """Of a request, in microseconds: CPU time of the service and its database, and latency in the middle."""
    options = replace(place.options, connections=1, books=side.books)
    side.server.check(side.workload, seed)
    loaded(options, side.server, side.workload, options.warm_up, seed=-seed)
    database = place.database_cpu(kind)
    run = loaded(options, side.server, side.workload, options.seconds, seed)
    cpu = run["cpu_s"] + place.database_cpu(kind) - database
    return cpu / run["requests"] * 1e6, run["p50_us"]
