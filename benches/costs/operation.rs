//! The telemetry of an operation: its span, that of its execution and of its one field, and their
//! metrics; and the same with a statement below the field, on SQLite.

use async_graphql::{QueryPathNode, QueryPathSegment, parser::types::OperationType};
use colophon::{database::Database, error::Error};
use divan::Bencher;
use graphql_telemetry::graphql::{Call, ErrorCode, Identity, Operation, Source};

use super::{
    statement,
    support::{Trace, database, runtime},
};

#[divan::bench(args = Trace::ALL, sample_size = 100)]
fn of_one_field(bencher: Bencher, trace: Trace) {
    let _attached = trace.context().attach();
    bencher.bench_local(|| operation(|call| call.end(Ok::<_, Error>(())).unwrap()));
}

#[divan::bench(args = Trace::ALL, sample_size = 100)]
fn of_one_field_and_statement(bencher: Bencher, trace: Trace) {
    let runtime = runtime();
    let db: Database = database(&runtime);
    let _attached = trace.context().attach();
    bencher.bench_local(|| {
        operation(|call| {
            let asked = runtime.block_on(statement::ask(&db, Some(call.field().context())));
            call.end(asked).unwrap();
        });
    });
}

/// An operation as the engine tells of it. `work` is what its field does.
fn operation(work: impl FnOnce(Call)) {
    let mut operation = Operation::start(&Source::Request);
    operation.identify(identity(), "/graphql");
    let execution = operation.execution();
    let path = QueryPathNode { parent: None, segment: QueryPathSegment::Name("book") };
    work(execution.call("Query", "book", &path));
    drop(execution);
    operation.end::<ErrorCode>(&[], None);
}

fn identity() -> Identity {
    Identity {
        kind: OperationType::Query,
        root_field: "Query.book",
        name: Some("BookById".into()),
        label: None,
        hash: Some("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into()),
        is_known: true,
    }
}
