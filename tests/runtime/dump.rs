//! `/debug/tasks`

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testing::{Db, PATIENCE, Service, repository};

use crate::lab;

/// A service that has made a dump: the first takes a second or two, to read where functions are.
async fn warm(db: &Db) -> Service {
    let service = lab(db).await;
    dump(&service).await;
    service
}

async fn dump(service: &Service) -> Value {
    let request = service.client.get(format!("{}/debug/tasks", service.admin));
    let answer = request.header("accept", "application/json").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

/// Dumps until there is a task as wanted.
async fn find(service: &Service, is_it: impl Fn(&Value) -> bool) -> Value {
    let started = Instant::now();
    loop {
        let dump = dump(service).await;
        if let Some(task) = dump["tasks"].as_array().unwrap().iter().find(|task| is_it(task)) {
            return task.clone();
        }
        assert!(started.elapsed() < PATIENCE, "not among the tasks: {dump:#}");
    }
}

/// The places on one way to where a task is parked.
fn places(task: &Value) -> Vec<String> {
    let stacks = task["stacks"].as_array().into_iter().flatten();
    let frames = stacks.flat_map(|frames| frames.as_array().unwrap());
    frames.filter_map(|frame| frame["place"].as_str().map(str::to_owned)).collect()
}

/// Where in a source file something stands.
fn line_of(file: &str, text: &str) -> String {
    let source = std::fs::read_to_string(repository().join(file)).unwrap();
    let line = source.lines().position(|line| line.contains(text)).unwrap() + 1;
    format!("{file}:{line}")
}

#[tokio::test(flavor = "multi_thread")]
async fn dumps_a_task_parked_at_a_lock() {
    let service = warm(&Db::sqlite()).await;
    let holder = service.traced("{ labLock(ms: 4000) }", json!({}));
    let waiter = async {
        let sleeping = line_of("src/graphql/lab.rs", "sleep(time).await");
        let waiting = line_of("src/graphql/lab.rs", "LOCK.lock().await");
        find(&service, |task| places(task).contains(&sleeping) && task["age"].as_f64() > Some(0.0))
            .await;
        let second = service.traced("{ labLock(ms: 0) }", json!({}));
        let look = async {
            let task = find(&service, |task| {
                task["name"] == "query Query.labLock" && places(task).contains(&waiting)
            })
            .await;
            assert_eq!(task["state"], "parked");
            assert_eq!(task["operation"], "query Query.labLock");
            task["trace_id"].as_str().unwrap().to_owned()
        };
        let ((trace, _), seen) = tokio::join!(second, look);
        assert_eq!(seen, trace, "a task is found by its trace id");
    };
    tokio::join!(holder, waiter);
}

#[tokio::test(flavor = "multi_thread")]
async fn dumps_tasks_parked_at_an_sqlite_statement() {
    let service = warm(&Db::sqlite()).await;
    let slow = service.traced("{ labSlowSql(ms: 1500) }", json!({}));
    let statement = line_of("src/graphql/lab.rs", "db.query_one_raw(statement)");
    let look = find(&service, |task| places(task).contains(&statement));
    let (_, task) = tokio::join!(slow, look);
    assert_eq!(task["state"], "parked");
}

#[tokio::test(flavor = "multi_thread")]
async fn dumps_other_tasks_while_one_blocks_a_worker() {
    let service = warm(&Db::sqlite()).await;
    let block = service.traced("{ labBlock(ms: 4000) }", json!({}));
    let look = async {
        let blocked = find(&service, |task| task["state"] == "running").await;
        let started = Instant::now();
        let all = dump(&service).await;
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        let accept = all["tasks"].as_array().unwrap().iter().find(|t| t["name"] == "http accept");
        assert_eq!(accept.unwrap()["state"], "parked");
        blocked
    };
    let ((trace, _), task) = tokio::join!(block, look);
    assert_eq!(task["name"], "query Query.labBlock");
    assert_eq!(task["field"], "Query.labBlock");
    assert_eq!(task["trace_id"], *trace);
    assert!(task["seconds"].as_f64().unwrap() > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_has_a_name_and_the_text_says_the_same() {
    let service = lab(&Db::sqlite()).await;
    service.data("{ labLeak }", json!({})).await;
    let all = dump(&service).await;
    let names: Vec<_> =
        all["tasks"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    for name in ["http accept", "http connection", "telemetry upkeep", "lab leak"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    let leak = all["tasks"].as_array().unwrap().iter().find(|t| t["name"] == "lab leak").unwrap();
    assert_eq!(leak["operation"], "query Query.labLeak", "whose doing it is");
    let answer = service.client.get(format!("{}/debug/tasks", service.admin)).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
    let text = answer.text().await.unwrap();
    for part in ["lab leak", "for query Query.labLeak", "parked at", "src/http/server.rs:"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dump_at_a_time() {
    let service = lab(&Db::sqlite()).await;
    let get = || service.client.get(format!("{}/debug/tasks", service.admin)).send();
    let answers = futures_util::future::join_all((0..4).map(|_| get())).await;
    let statuses: Vec<_> = answers.iter().map(|a| a.as_ref().unwrap().status().as_u16()).collect();
    assert!(statuses.contains(&200) && statuses.contains(&409), "{statuses:?}");
}
