"""The runs of a comparison as rows, and the rows as a table."""

import statistics

from servers import FLOOR, OFF

HEAD = (
    "| | CPU µs/request | × floor | × off | requests/s | p50, ms | p99, ms | peak MB "
    "| spans/request | delivered |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def cpu_us(run):
    return run["cpu_s"] / max(1, run["requests"]) * 1e6


def percent(share, digits=1):
    return f"{100 * share:.{digits}f} %"


def progress(run):
    """A run in a line."""
    return (
        f"{run['workload']}, {run['server']}: {cpu_us(run):.1f} µs, "
        f"{run['requests'] / run['seconds']:.0f} requests/s, others had {percent(run['others'], 0)} of the CPU"
        + "".join(f"; {fault}" for fault in run["faults"])
    )


def rows(runs):
    """The runs of each workload and server in one row, as medians."""
    groups = {}
    for run in runs:
        groups.setdefault((run["workload"], run["server"]), []).append(run)
    result = {key: row(*key, group) for key, group in groups.items()}
    for (workload, _), each in result.items():
        for base in (FLOOR, OFF):
            each[f"to_{base}"] = each["cpu_us"] / result[workload, base]["cpu_us"]
    return list(result.values())


def row(workload, server, runs):
    cpu = [cpu_us(run) for run in runs]
    median = lambda value: statistics.median(map(value, runs))
    return {
        "workload": workload,
        "server": server,
        "cpu_us": statistics.median(cpu),
        "cpu_us_least": min(cpu),
        "cpu_us_greatest": max(cpu),
        "requests_per_second": median(lambda run: run["requests"] / run["seconds"]),
        "p50_ms": median(lambda run: run["p50_us"] / 1e3),
        "p99_ms": median(lambda run: run["p99_us"] / 1e3),
        "peak_mb": median(lambda run: run["peak_mb"]),
        **spans(runs),
    }


def spans(runs):
    """Spans of a request, and the share of them that the collector received."""
    if not all(run["spans"] for run in runs):
        return {"spans_per_request": None, "delivered": None}
    made = sum(sum(run["spans"].values()) for run in runs)
    received = sum(run["spans_received"] for run in runs)
    return {
        "spans_per_request": made / max(1, sum(run["requests"] for run in runs)),
        "delivered": received / made if made else None,
    }


def markdown(result):
    about = result["machine"]
    lines = [
        f"{about['colophon']} on {about['database']}, {about['books']:,} books; {about['cpu']}, "
        f"Linux {about['kernel']}. "
        f"The server has one CPU; wrk with {about['connections']} connections, PostgreSQL and the collector "
        f"have another. {about['repeats']} × {about['seconds']} s, medians; in parentheses the least and the "
        "greatest.",
        "",
        HEAD,
    ]
    for workload, what in result["workloads"].items():
        lines.append(f"| *{what}* " + "| " * 9 + "|")
        lines += [line(row) for row in result["rows"] if row["workload"] == workload]
    others = [run["others"] for run in result["runs"]]
    lines += [
        "",
        f"Others had {percent(statistics.median(others), 0)} of the server's CPU in a run, at most "
        f"{percent(max(others), 0)}.",
    ]
    return "\n".join(lines) + "\n"


def line(row):
    cells = [
        row["server"],
        f"{row['cpu_us']:.1f} ({row['cpu_us_least']:.1f}–{row['cpu_us_greatest']:.1f})",
        f"{row['to_floor']:.2f}",
        "–" if row["server"] == FLOOR else f"{row['to_off']:.2f}",
        f"{row['requests_per_second']:,.0f}",
        f"{row['p50_ms']:.2f}",
        f"{row['p99_ms']:.2f}",
        f"{row['peak_mb']:.0f}",
        "–" if row["spans_per_request"] is None else f"{row['spans_per_request']:.2f}",
        "–" if row["delivered"] is None else percent(row["delivered"]),
    ]
    return f"| {' | '.join(cells)} |"
