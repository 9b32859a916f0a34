//! A runtime whose workers are all blocked.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testing::{Db, PATIENCE, Service};

use crate::lab_with;

async fn livez(service: &Service) -> (u16, Value) {
    let answer = service.client.get(format!("{}/livez", service.admin)).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn wait_for_livez(service: &Service, status: u16) -> Value {
    let started = Instant::now();
    loop {
        let (told, body) = livez(service).await;
        if told == status {
            return body;
        }
        assert!(started.elapsed() < PATIENCE, "/livez never says {status}: {body}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_blocked_workers_from_outside() {
    let service = lab_with(&Db::sqlite(), &[("COLOPHON_STALL_LIMIT", "500ms")]).await;
    assert_eq!(livez(&service).await.0, 200);
    let block = futures_util::future::join_all(
        (0..4).map(|_| service.traced("{ labBlock(ms: 2500) }", json!({}))),
    );
    let look = async {
        let body = wait_for_livez(&service, 503).await;
        assert_eq!(body["status"], "blocked");
        let workers = body["workers"].as_array().unwrap();
        assert_eq!(workers.len(), 2, "{body}");
        for worker in workers {
            assert_eq!(worker["field"], "Query.labBlock", "{body}");
            assert_eq!(worker["traceId"].as_str().unwrap().len(), 32, "{body}");
        }
        // Nothing but the thread of its own answers now.
        assert!(service.scrape().await.contains("tokio_slow_polls_total"));
        let started = Instant::now();
        service.readyz().await;
        assert!(started.elapsed() < Duration::from_secs(3));
    };
    let (answers, ()) = tokio::join!(block, look);
    wait_for_livez(&service, 200).await;
    assert!(answers.iter().all(|(_, answer)| answer["data"]["labBlock"] == true));
    let reports: Vec<_> =
        service.log().into_iter().filter(|event| event["event"] == "tokio.slow_poll").collect();
    let of_blocks: Vec<_> = reports
        .iter()
        .filter(|event| event["graphql.selection.field.coordinate"] == "Query.labBlock")
        .collect();
    assert_eq!(of_blocks.len(), 4, "{reports:#?}");
    for report in of_blocks {
        assert_eq!(report["tokio.poll.ended"], false);
        // The threshold is 10 ms.
        assert!(report["tokio.poll.duration"].as_f64().unwrap() < 0.11, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_slow_can_be_set_and_reports_do_not_drown_the_log() {
    let db = Db::sqlite();
    let service = lab_with(&db, &[("COLOPHON_SLOW_POLL", "400ms")]).await;
    let name = "tokio_slow_polls_total{graphql_root_field=\"Query.labBlock\"}";
    service.data("{ labBlock(ms: 200) }", json!({})).await;
    // Counted where it is reported, and at once: a log line would come later than this looks.
    let counted = crate::series(&service.scrape().await, name).unwrap_or(0.0);
    assert!(counted < 1.0, "{counted}");
    drop(service);

    let service = lab_with(&db, &[("COLOPHON_SLOW_POLL", "1ms")]).await;
    for _ in 0..60 {
        service.data("{ labBlock(ms: 5) }", json!({})).await;
    }
    let scrape = service.scrape().await;
    let counted = crate::series(&scrape, name).unwrap();
    let told = service
        .log()
        .iter()
        .filter(|event| event["tokio.task.operation"] == "query Query.labBlock")
        .filter(|event| event["event"] == "tokio.slow_poll")
        .count();
    assert!(counted >= 60.0, "{counted}");
    assert!((1..60).contains(&told), "{told} told of {counted}");
}
