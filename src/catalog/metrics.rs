//! What happens to the catalog, counted.

use std::sync::LazyLock;

use graphql_telemetry::catalog::{Kind, Metric};
use metrics::Counter;

static CREATED: Metric =
    counter("books.created", "Books that were entered, by mutation or import.");
static UPDATED: Metric =
    counter("books.updated", "Books that were changed, by mutation or import.");
static DELETED: Metric = counter("books.deleted", "Books that were deleted.");

/// The catalog's own metrics.
pub static METRICS: &[&Metric] = &[&CREATED, &UPDATED, &DELETED];

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, unit: "{book}", help, attributes: &[] }
}

struct Counters {
    created: Counter,
    updated: Counter,
    deleted: Counter,
}

fn counters() -> &'static Counters {
    static COUNTERS: LazyLock<Counters> = LazyLock::new(|| Counters {
        created: CREATED.counter(Vec::new()),
        updated: UPDATED.counter(Vec::new()),
        deleted: DELETED.counter(Vec::new()),
    });
    &COUNTERS
}

/// Counts books that were entered and will stay. Of zero books, it makes the counters known.
pub fn created(books: u64) {
    counters().created.increment(books);
}

/// Counts books that were changed.
pub fn updated(books: u64) {
    counters().updated.increment(books);
}

/// Counts books that were deleted.
pub fn deleted(books: u64) {
    counters().deleted.increment(books);
}
