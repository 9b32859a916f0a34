//! A statement on SQLite in memory: as the service asks it, with its span, its metrics and those of the
//! pool, and of the driver alone. SQLite has a thread of its own, which both wait for.

use colophon::{
    database::{
        Database,
        pool::driver::{ConnectOptions, FetchOptional, Query},
    },
    error::Error,
};
use divan::Bencher;
use graphql_telemetry::graphql::Scope;
use opentelemetry::Context;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement};

use super::support::{Trace, database, runtime};

#[divan::bench(sample_size = 100)]
fn by_the_driver(bencher: Bencher) {
    let runtime = runtime();
    let target = ConnectOptions::Sqlite("sqlite::memory:".parse().unwrap());
    let mut connection = runtime.block_on(target.connect()).unwrap();
    bencher.bench_local(|| runtime.block_on(FetchOptional(select()).run(&mut connection)).unwrap());
}

#[divan::bench(args = Trace::ALL, sample_size = 100)]
fn by_a_session(bencher: Bencher, trace: Trace) {
    let runtime = runtime();
    let db = database(&runtime);
    let context = trace.context().with_value(Scope::new("Query.book", "/graphql"));
    bencher.bench_local(|| runtime.block_on(ask(&db, Some(&context))).unwrap());
}

/// Asks for one row, on behalf of `parent`.
pub async fn ask(db: &Database, parent: Option<&Context>) -> Result<Option<QueryResult>, Error> {
    Ok(db.reader(parent).query_one_raw(select()).await?)
}

fn select() -> Statement {
    Statement::from_string(DbBackend::Sqlite, "SELECT 1")
}
