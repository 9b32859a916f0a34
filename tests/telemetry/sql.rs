//! Statements that tell the database's administrator who asked.

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, QueryResult, Statement};
use serde_json::json;
use testing::{
    Db,
    collector::{Collector, prompt},
};

use crate::page;

/// The service's connections and their last statements, as its administrator sees them.
async fn activity(connection: &DatabaseConnection) -> Vec<(i32, String)> {
    let query = "SELECT pid, query FROM pg_stat_activity
        WHERE application_name = 'colophon' AND datname = current_database()";
    let statement = Statement::from_string(DbBackend::Postgres, query);
    let rows = connection.query_all_raw(statement).await.unwrap();
    let read =
        |row: &QueryResult| (row.try_get("", "pid").unwrap(), row.try_get("", "query").unwrap());
    rows.iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_sees_the_trace() {
    let collector = Collector::start();
    let db = Db::postgres().await;
    let connection = Database::connect(&db.url).await.unwrap();
    let mut variables = prompt(&collector.http);
    variables.push(("COLOPHON_SQLCOMMENTER", "traceparent"));
    let service = db.serve_in(&variables).await;
    let (trace, _) = service.traced("{ books { nodes { title } } }", json!({})).await;
    let spans = collector.trace(&trace);
    let statement = spans.iter().find(|span| span.name == page(&db)).unwrap();
    let comment = format!(
        " /*action='Query.books',application='colophon',db_driver='sqlx',\
         framework='async-graphql',route='%2Fgraphql',traceparent='00-{trace}-{}-01'*/",
        statement.id
    );
    let seen = activity(&connection).await;
    assert!(seen.iter().any(|(_, query)| query.ends_with(&comment)), "{comment}: {seen:#?}");
    assert!(!statement.attribute("db.query.text").contains("/*"), "the comment is not of the text");
}

/// How often the service asked the server to prepare, and to execute, its list of books when it
/// was asked for twenty times, by the server's own log.
async fn prepared_and_executed(mode: &str) -> (usize, usize) {
    let collector = Collector::start();
    let db = Db::postgres().await;
    let connection = Database::connect(&db.url).await.unwrap();
    let name = db.url.split('/').nth(3).unwrap().split('?').next().unwrap();
    let verbose = format!("ALTER DATABASE {name} SET log_min_duration_statement = 0");
    connection.execute_unprepared(&verbose).await.unwrap();
    let mut variables = prompt(&collector.http);
    variables.extend([("COLOPHON_SQLCOMMENTER", mode), ("COLOPHON_POOL_SIZE", "1")]);
    let service = db.serve_in(&variables).await;
    for _ in 0..20 {
        service.data("{ books { nodes { title } } }", json!({})).await;
    }
    let seen = activity(&connection).await;
    assert!(seen.iter().any(|(_, query)| query.contains("/*action='Query.books'")), "{seen:#?}");
    assert_eq!(mode == "traceparent", seen.iter().any(|(_, query)| query.contains("traceparent")));
    let pid = format!("[{}]", seen[0].0);
    let cluster = db.url.split("host=").nth(1).unwrap();
    let log = std::fs::read_to_string(format!("{cluster}/log")).unwrap();
    let count = |what: &str| {
        let is_it = |line: &&str| {
            line.contains(&pid) && line.contains(what) && line.contains("Query.books")
        };
        log.lines().filter(is_it).count()
    };
    (count(" parse "), count(" execute "))
}

/// With tags a statement has the same text each time, and is prepared once; with the trace in it,
/// it is another one each time.
#[tokio::test(flavor = "multi_thread")]
async fn tags_leave_prepared_statements_alone() {
    assert_eq!(prepared_and_executed("tags").await, (1, 20));
    assert_eq!(prepared_and_executed("traceparent").await, (20, 20));
}
