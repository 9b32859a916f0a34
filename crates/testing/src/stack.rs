//! Service, collector and Prometheus, as they stand together in `collector/compose.yaml`.

use sea_orm::{ConnectionTrait, Database};

use crate::{
    Db, Service,
    collector::{Collector, Options, free_port, prompt},
    prometheus::{Prometheus, Targets},
};

/// All of it. In the place of Tempo and Loki there is another collector, which writes down what it
/// gets.
pub struct Stack {
    /// The service.
    pub service: Service,
    /// The collector that it sends to, and that scrapes it.
    pub collector: Collector,
    /// What stands in for Tempo and Loki.
    pub backend: Option<Collector>,
    /// Prometheus with the rules of the repository.
    pub prometheus: Prometheus,
}

impl Stack {
    /// Starts everything, the service with these variables and the laboratory.
    pub async fn start(db: &Db, variables: &[(&str, &str)]) -> Self {
        let backend = Collector::start();
        let targets = Targets::choose();
        // The collector must know where to scrape before the service is there, and the service where
        // to send.
        let admin = format!("127.0.0.1:{}", free_port());
        let collector = Collector::start_with(&Options {
            layers: &["grafana"],
            scrape: Some(&admin),
            variables: &[
                ("TEMPO_OTLP_ENDPOINT", backend.grpc.trim_start_matches("http://")),
                ("LOKI_OTLP_ENDPOINT", &backend.http),
                ("COLLECTOR_PROMETHEUS", &targets.exposed),
                ("COLLECTOR_METRICS_PORT", targets.own_port()),
            ],
            ..Options::default()
        });
        let mut all = prompt(&collector.http);
        all.push(("COLOPHON_LAB", "true"));
        all.extend(variables);
        let service = db.serve_at(&admin, &all).await;
        let prometheus = Prometheus::start(&targets).await;
        Self { service, collector, backend: Some(backend), prometheus }
    }
}

/// A mutation that fails through the database, once [`make_unbearable`] has been called.
pub const FAULT: &str = "mutation { createBook(input: { title: \"unbearable\" }) { id } }";

/// Has PostgreSQL refuse books with a certain title.
pub async fn make_unbearable(db: &Db) {
    let connection = Database::connect(&db.url).await.unwrap();
    connection
        .execute_unprepared(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON book FOR EACH ROW
             WHEN (NEW.title = 'unbearable') EXECUTE FUNCTION refuse()",
        )
        .await
        .unwrap();
}
