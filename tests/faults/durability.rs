//! What was acknowledged is there, whenever the process was killed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use testing::{Db, Service, allowed, full, on_both_databases};

use super::{CREATE, MACHINE};

/// Clients that write at the same time.
const WRITERS: usize = 8;

on_both_databases! {
    async fn loses_no_acknowledged_write_on_kill(db: Db) {
        let _machine = MACHINE.lock().await;
        let mut acknowledged = Vec::new();
        let mut slowest = Duration::ZERO;
        let rounds = if full() { 20 } else { 5 };
        for round in 0..rounds {
            let started = Instant::now();
            let service = db.serve().await;
            slowest = slowest.max(started.elapsed());
            assert!(started.elapsed() < allowed(Duration::from_secs(2)), "ready after {:?}", started.elapsed());
            acknowledged.extend(write_until_killed(service, round).await);
        }
        assert!(acknowledged.len() > rounds * WRITERS, "hardly anything was written");
        let service = db.serve().await;
        let titles = titles(&db).await;
        for title in &acknowledged {
            assert_eq!(titles.iter().filter(|known| *known == title).count(), 1, "{title}");
        }
        let data = service.data("{ books { totalCount } }", json!({})).await;
        assert_eq!(data["books"]["totalCount"], titles.len());
        println!("{rounds} kills, {} acknowledged, slowest ready after {slowest:?}", acknowledged.len());
    }
}

/// Has clients write and kills the service while they do. Tells the titles that were acknowledged.
async fn write_until_killed(service: Service, round: usize) -> Vec<String> {
    let killed = Arc::<AtomicBool>::default();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (client, url) = (service.client.clone(), format!("{}/graphql", service.url));
            let killed = killed.clone();
            tokio::runtime::Handle::current().spawn(async move {
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    let title = format!("{round}-{writer}-{number}");
                    let body = json!({ "query": CREATE, "variables": { "t": title } });
                    let Ok(response) = client.post(&url).json(&body).send().await else { break };
                    let Ok(answer) = response.json::<Value>().await else { break };
                    assert!(answer.get("errors").is_none(), "{answer}");
                    acknowledged.push(title);
                }
                assert!(killed.load(Ordering::SeqCst), "a request failed before the kill");
                acknowledged
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(150 + 37 * round as u64)).await;
    killed.store(true, Ordering::SeqCst);
    service.signal("-KILL");
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    acknowledged
}

/// All titles, read behind the service's back; the database must say that it is sound.
async fn titles(db: &Db) -> Vec<String> {
    let connection = sea_orm::Database::connect(&db.url).await.unwrap();
    let query =
        |sql: &str| Statement::from_string(connection.get_database_backend(), sql.to_owned());
    if db.is_sqlite() {
        let row = connection.query_one_raw(query("PRAGMA integrity_check")).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<String>(0).unwrap(), "ok");
    }
    let rows = connection.query_all_raw(query("SELECT title FROM book")).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}
