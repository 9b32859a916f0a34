//! A measurement, which goes to the scrape and to OTLP: of a series that is kept, and of one that is
//! looked up among the known ones of its metric.

use colophon::error::Code;
use divan::{Bencher, black_box};
use graphql_telemetry::{
    catalog::{GRAPHQL_ACTIVE, GRAPHQL_ERRORS, GRAPHQL_WAIT},
    graphql::count_error,
};

#[divan::bench]
fn counter(bencher: Bencher) {
    let counter = GRAPHQL_ERRORS.counter(Vec::new());
    bencher.bench_local(|| counter.increment(black_box(1)));
}

#[divan::bench]
fn gauge(bencher: Bencher) {
    let gauge = GRAPHQL_ACTIVE.gauge(Vec::new());
    bencher.bench_local(|| gauge.increment(black_box(1)));
}

#[divan::bench]
fn histogram(bencher: Bencher) {
    let histogram = GRAPHQL_WAIT.histogram(Vec::new());
    bencher.bench_local(|| histogram.record(black_box(0.003)));
}

#[divan::bench]
fn counter_looked_up() {
    count_error(black_box(Code::NotFound));
}
