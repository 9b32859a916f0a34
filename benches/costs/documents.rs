//! A request up to its execution: of a document that was seen before, and of one that has to be parsed
//! and validated.

use std::cell::Cell;

use async_graphql::{Request, Variables};
use colophon::{
    graphql::execution::engine::{Engine, RequestInfo},
    security::Caller,
};
use divan::Bencher;
use serde_json::json;
use tokio::runtime::Runtime;

use super::support::{Trace, database, runtime, settings};

const DOCUMENT: &str = "query BookById($id: ID!) { book(id: $id) { id title pages createdAt } }";

#[divan::bench(args = Trace::ALL, sample_size = 100)]
fn known(bencher: Bencher, trace: Trace) {
    prepare(bencher, trace, || DOCUMENT.to_owned());
}

#[divan::bench(args = Trace::ALL, sample_size = 100)]
fn unknown(bencher: Bencher, trace: Trace) {
    let number = Cell::new(0_u64);
    prepare(bencher, trace, || {
        number.set(number.get() + 1);
        format!("{DOCUMENT} # {}", number.get())
    });
}

fn prepare(bencher: Bencher, trace: Trace, text: impl Fn() -> String) {
    let runtime = runtime();
    let engine = engine(&runtime);
    let _attached = trace.context().attach();
    bencher.with_inputs(|| request(text())).bench_local_values(|(request, info)| {
        let prepared = runtime.block_on(engine.prepare(request, info));
        // At once, since it has one of the few places for operations.
        drop(prepared.unwrap_or_else(|_| panic!("it was refused")));
    });
}

fn engine(runtime: &Runtime) -> Engine {
    let db = database(runtime);
    Engine::new(db, &settings())
}

fn request(query: String) -> (Request, RequestInfo) {
    let variables = Variables::from_json(json!({ "id": "book_1" }));
    let info = RequestInfo { caller: Caller::unrestricted(), ..RequestInfo::default() };
    (Request::new(query).variables(variables), info)
}
