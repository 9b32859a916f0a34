"""Whether the spans arrive: at 80 % of what the service can do nearly all, and those that are lost at its
peak are counted. A book by its id, on PostgreSQL, every trace sampled, to a real collector."""

import statistics

from catalog import WORKLOADS
from load import difference, h2load, settle, spans_of_one, wrk
from place import POSTGRES
from programs import Failure
from rows import Row

BOOK = next(workload for workload in WORKLOADS if workload.name == "book")
SHARE, STEADY, PEAK = 0.8, 60, 10


def measure(place):
    options = place.options
    with place.serving(POSTGRES, options.books, cpu=options.server_cpu) as server:
        per_request = spans_of_one(server, BOOK)
        peak = throughput(options, server)
        yield at_peak(place, server, round(peak) * PEAK, per_request)
        yield steady(place, server, peak * SHARE, per_request)


def throughput(options, server):
    wrk(options, server, BOOK, options.warm_up, seed=-1)
    runs = [wrk(options, server, BOOK, options.seconds, seed) for seed in range(1, options.repeats + 1)]
    if any(run["wrong"] or run["broken"] for run in runs):
        raise Failure(f"wrong or broken answers: {runs}")
    return statistics.median(run["requests"] / run["seconds"] for run in runs)


def steady(place, server, rate, per_request):
    requests = round(rate * STEADY)
    had, spans, received = run(place, server, requests, rate)
    made = per_request * requests
    share = received / made
    return Row(
        f"spans delivered at {SHARE:.0%} of the peak, {STEADY} s",
        "≥ 99.9 %",
        f"{share:.3%} of {made:,} at {had:,.0f} of {rate:,.0f} requests/s asked for; {lost(spans)}",
        share >= 0.999,
    )


def at_peak(place, server, requests, per_request):
    had, spans, received = run(place, server, requests)
    made, told = per_request * requests, sum(spans.values())
    return Row(
        f"spans at the peak, {PEAK} s: made = exported + lost, exported = received",
        "to the span",
        f"{made:,} made at {had:,.0f} requests/s, {told:,} told of; {spans['exported']:,} exported, "
        f"{received:,} received; {lost(spans)}",
        made == told and spans["exported"] == received,
    )


def run(place, server, requests, rate=None):
    """The rate there was, what the service says became of the spans, and how many the collector received."""
    server.check(BOOK, 1)
    settle(server)
    spans, received = server.spans(), place.spans_received()
    had = h2load(place.options, server, BOOK, requests, place.folder, rate)
    settle(server)
    spans = difference(server.spans(), spans)
    return had, spans, place.spans_received() - received


def lost(spans):
    return f"{spans['dropped']:,} dropped, {spans['failed']:,} failed"
