//! A service of orders with a stock transport and a plain connection, and all of its telemetry.
use std::{env::args, thread::sleep, time::Duration};

use async_graphql::{Context, EmptyMutation, EmptySubscription, Error, Object, Result, Schema};
use axum::{Router, routing::post_service};
use graphql_telemetry::{
    Telemetry, admin::Admin, graphql, http, runtime, sea_orm::Instrumented,
    trace_store::TraceStoreOptions,
};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement, TryGetable};

const SETUP: &str = "CREATE TABLE purchase AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL \
                     SELECT id + 1 FROM n WHERE id < 50) SELECT id, 'book ' || id AS item FROM n";

async fn load<T: TryGetable>(context: &Context<'_>, sql: &str, id: i32) -> Result<Vec<T>> {
    let db = context.data_unchecked::<Instrumented<DatabaseConnection>>();
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [id.into()]);
    let rows = db.query_all_raw(statement).await.map_err(Error::new_with_source)?;
    rows.iter().map(|row| row.try_get("", "value").map_err(Error::new_with_source)).collect()
}

struct Order(i32);
#[Object]
impl Order {
    async fn items(&self, context: &Context<'_>) -> Result<Vec<String>> {
        load(context, "SELECT item AS value FROM purchase WHERE id = ?", self.0).await
    }
}

struct Query;
#[Object]
impl Query {
    async fn orders(&self, context: &Context<'_>) -> Result<Vec<Order>> {
        let ids = load(context, "SELECT id AS value FROM purchase WHERE id <= ?", 50).await?;
        Ok(ids.into_iter().map(Order).collect())
    }

    async fn invoice(&self) -> bool {
        sleep(Duration::from_millis(200)); // Blocks its worker: a slow poll.
        true
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let telemetry = Telemetry::builder("orders", "1.0.0").from_env()?;
    let telemetry = telemetry.trace_store(Some(TraceStoreOptions::default())).install()?;
    runtime::builder().build()?.block_on(async {
        let url = "sqlite::memory:";
        let db = Instrumented::new(sea_orm::Database::connect(url).await?, url);
        db.execute_unprepared(SETUP).await?;
        let schema = Schema::build(Query, EmptyMutation, EmptySubscription).data(db);
        let schema = schema.extension(graphql::TelemetryExtension::new());
        let graphql = post_service(async_graphql_axum::GraphQL::new(schema.finish()));
        let app = Router::new().route("/graphql", graphql).layer(http::TelemetryLayer::new());
        let address = |number, standard: &str| args().nth(number).unwrap_or(standard.to_owned());
        let listener = tokio::net::TcpListener::bind(address(1, "127.0.0.1:8000")).await?;
        let admin = Admin::new(&telemetry).serve(address(2, "127.0.0.1:9464"))?;
        tracing::info!(listen.public = %listener.local_addr()?, listen.admin = %admin, "listening");
        runtime_insight::spawn("mailer", std::future::pending::<()>());
        let stop = async { _ = tokio::signal::ctrl_c().await };
        Ok(axum::serve(listener, app).with_graceful_shutdown(stop).await?)
    })
}
