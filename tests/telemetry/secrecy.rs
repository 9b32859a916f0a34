//! Secrets that are never exported or logged, and log lines that have their trace.

use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};
use testing::{
    Db, PATIENCE, Service,
    collector::{Collector, Record, observed, prompt},
    stdout, trace_of,
};

/// Where a secret could go.
async fn everything_told(service: &Service, collector: &Collector) -> String {
    let lines: Vec<String> = service.log().iter().map(Value::to_string).collect();
    [collector.raw(), service.scrape().await, lines.join("\n")].join("\n")
}

/// Sends a marker by every way in, and lets the database say it.
async fn no_secret_is_told(db: Db, raise: &str) {
    const INPUT: &str = "s3cretInput";
    const HIDDEN: &str = "s3cretHidden";
    let collector = Collector::start();
    let mut variables = prompt(&collector.http);
    // The most that can be asked for.
    variables.extend([("RUST_LOG", "trace"), ("COLOPHON_TRACE_DOCUMENTS", "true")]);
    let headers = format!("authorization=Bearer%20{HIDDEN}");
    variables.push(("OTEL_EXPORTER_OTLP_HEADERS", &headers));
    let service = db.serve_in(&variables).await;
    let url = format!("{}/graphql", service.url);
    let mut answers = String::new();
    let mut traces = Vec::new();
    let connection = Database::connect(&db.url).await.unwrap();
    service.create(json!({ "title": INPUT, "authors": [{ "name": INPUT }] })).await;
    let literal = format!("{{ search(query: \"{INPUT}\") {{ totalCount }} }}");
    let broken = format!("{{ books(filter: {{ titleContains: {INPUT}");
    let documents = [
        json!({ "query": literal }),
        json!({ "query": broken }),
        json!({ "query": format!("{{ {INPUT} }}") }),
        json!({ "query": "query($q: String!) { search(query: $q) { totalCount } }",
                "variables": { "q": INPUT } }),
        json!({ "query": "query($q: Int) { books(first: $q) { totalCount } }",
                "variables": { "q": INPUT } }),
        json!({ "query": "query($q: String!) { bookByIsbn(isbn: $q) { id } }",
                "variables": { "q": INPUT } }),
    ];
    for body in &documents {
        let request = service.client.post(&url).bearer_auth(HIDDEN).header("cookie", HIDDEN);
        let response = request.header("x-api-key", HIDDEN).json(body).send().await.unwrap();
        traces.push(trace_of(&response));
        answers.push_str(&response.text().await.unwrap());
    }
    let by_get = service.client.get(&url).query(&[
        ("query", "query($q: String!) { search(query: $q) { totalCount } }"),
        ("variables", &json!({ "q": INPUT }).to_string()),
        (INPUT, INPUT),
    ]);
    let response = by_get.send().await.unwrap();
    assert_eq!(response.status(), 200);
    traces.push(trace_of(&response));

    connection.execute_unprepared(&raise.replace("MARKER", HIDDEN)).await.unwrap();
    let (trace, answer) = service
        .traced(
            &format!("mutation {{ createBook(input: {{ title: \"{INPUT}\" }}) {{ id }} }}"),
            json!({}),
        )
        .await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{answer:#}");
    answers.push_str(&answer.to_string());
    traces.push(trace);

    for trace in &traces {
        collector.trace(trace);
        collector.wait("its log records", |c| c.records().iter().any(|r| r.trace == *trace));
    }
    let told = everything_told(&service, &collector).await;
    assert!(told.contains("search(query: \\\"\\\")"), "the text of a document is exported");
    assert!(
        told.contains("SQLSTATE") || told.contains("SQLite result code"),
        "the fault is exported"
    );
    for secret in [INPUT, HIDDEN] {
        if let Some(at) = told.find(secret) {
            let start = told.floor_char_boundary(at.saturating_sub(300));
            panic!("{secret} is exposed: …{}", &told[start..at + secret.len()]);
        }
    }
    assert!(!answers.contains(HIDDEN), "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_no_secret_on_sqlite() {
    let raise = "CREATE TRIGGER t BEFORE INSERT ON book BEGIN SELECT RAISE(ABORT, 'MARKER'); END";
    no_secret_is_told(Db::sqlite(), raise).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_no_secret_on_postgres() {
    let mut db = Db::postgres().await;
    // The cluster trusts whoever comes, so that any password will do.
    db.url = db.url.replace("postgres@", "postgres:s3cretHidden@");
    let raise = "DO $$ BEGIN EXECUTE $f$ CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql
        AS $b$ BEGIN RAISE EXCEPTION 'MARKER' USING DETAIL = 'MARKER', HINT = 'MARKER'; END $b$ $f$;
        EXECUTE 'CREATE TRIGGER t BEFORE INSERT ON book EXECUTE FUNCTION raise()'; END $$";
    no_secret_is_told(db, raise).await;
}

/// Tokens, good and bad, wherever a client may put them.
#[tokio::test(flavor = "multi_thread")]
async fn exports_no_token() {
    const BAD: &str = "s3cretBad";
    const ADMIN: &str = "s3cretAdmin012345";
    let collector = Collector::start();
    let db = Db::sqlite();
    let made = stdout(&db.run(&["token", "--name", "test", "--scope", "books:read"]));
    let lines: Vec<_> = made.lines().filter(|line| !line.starts_with('#')).collect();
    let (token, file) = (lines[0], db.file("tokens", lines[1]));
    let hash = lines[1].rsplit_once(':').unwrap().1;
    let mut variables = prompt(&collector.http);
    variables.extend([("RUST_LOG", "trace"), ("COLOPHON_TRACE_DOCUMENTS", "true")]);
    let file = file.to_str().unwrap();
    variables.extend([("COLOPHON_TOKENS_FILE", file), ("COLOPHON_ADMIN_TOKEN", ADMIN)]);
    // Keys that are nowhere: fetching them fails, which is logged.
    let keys = format!("http://ada:{BAD}@127.0.0.1:1/keys?token={BAD}");
    variables.extend([("COLOPHON_JWT_ISSUER", "i"), ("COLOPHON_JWT_AUDIENCE", "a")]);
    variables.push(("COLOPHON_JWT_KEYS", &keys));
    let service = db.serve_in(&variables).await;
    let url = format!("{}/graphql", service.url);
    // {"alg":"RS256"} and what is no JSON.
    let signed = format!("eyJhbGciOiJSUzI1NiJ9.{BAD}.{BAD}");
    let body = json!({ "query": "{ books { totalCount } }" });
    let mut traces = Vec::new();
    for (token, status) in [(token, 200), (BAD, 401), (&signed, 401)] {
        let get = [("query", "{ __typename }"), ("access_token", token), (token, token)];
        let place = |request: reqwest::RequestBuilder| request.bearer_auth(token);
        for (request, status) in [
            (place(service.client.post(&url).json(&body)), status),
            (place(service.client.get(&url).query(&get)), status),
            (service.client.get(&url).query(&get), 401),
            (service.client.post(&url).basic_auth("ada", Some(token)).json(&body), 401),
            (service.client.post(&url).header("authorization", token).json(&body), 401),
        ] {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), status);
            traces.push(trace_of(&response));
            assert!(!response.text().await.unwrap().contains(token));
        }
    }
    for path in ["/metrics", "/debug/tasks"] {
        let response = service.client.get(format!("{}{path}", service.admin)).bearer_auth(ADMIN);
        assert_eq!(response.send().await.unwrap().status(), 200);
    }
    for trace in &traces {
        collector.trace(trace);
        collector.wait("its log records", |c| c.records().iter().any(|r| r.trace == *trace));
    }
    let lines: Vec<String> = service.log().iter().map(Value::to_string).collect();
    assert!(lines.iter().any(|line| line.contains("security.keys_unavailable")), "it is logged");
    let scrape = service.client.get(format!("{}/metrics", service.admin)).bearer_auth(ADMIN);
    let scrape = scrape.send().await.unwrap().text().await.unwrap();
    assert!(scrape.contains("UNAUTHENTICATED"), "refusals are counted");
    let told = [collector.raw(), scrape, lines.join("\n")].join("\n");
    for secret in [token, BAD, ADMIN, hash] {
        if let Some(at) = told.find(secret) {
            let start = told.floor_char_boundary(at.saturating_sub(300));
            panic!("{secret} is exposed: …{}", &told[start..at + secret.len()]);
        }
    }
}

/// The log lines and the log records of a request have its trace, and name a span that is there.
#[tokio::test(flavor = "multi_thread")]
async fn log_lines_find_their_trace() {
    let collector = Collector::start();
    let db = Db::sqlite();
    let mut service = observed(&db, &collector).await;
    let connection = Database::connect(&db.url).await.unwrap();
    connection.execute_unprepared("ALTER TABLE book RENAME TO volume").await.unwrap();
    let (trace, _) = service.traced("{ books { nodes { id } } }", json!({})).await;
    let spans = collector.trace(&trace);
    let is_last =
        |line: &Value| line["event"] == "http.access" && line["trace_id"] == trace.as_str();
    service.wait_for_log("the access line", is_last);

    let lines: Vec<_> =
        service.log().into_iter().filter(|line| line["trace_id"] == trace.as_str()).collect();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["graphql.error", "http.access"]);
    for line in &lines {
        assert!(spans.iter().any(|span| line["span_id"] == span.id.as_str()), "{line}");
        assert_eq!(line["trace_flags"], "01");
    }
    let records = collector.wait_for("the records", PATIENCE, |collector| {
        let of_trace: Vec<_> =
            collector.records().into_iter().filter(|record| record.trace == trace).collect();
        (of_trace.len() == 2).then_some(of_trace)
    });
    for line in &lines {
        let is_same = |record: &&Record| record.event == line["event"];
        let record = records.iter().find(is_same).unwrap_or_else(|| panic!("{line}: {records:#?}"));
        assert_eq!(record.span, line["span_id"]);
        assert_eq!(record.body, line["message"]);
        for field in ["error.type", "http.response.status_code"] {
            let told = record.attributes.get(field).map(String::as_str);
            assert_eq!(told.is_some(), !line[field].is_null(), "{field} of {line}");
        }
    }
    // Nothing else happened on behalf of a request.
    let of_requests = |line: &&Value| {
        let event = line["event"].as_str().unwrap_or_default();
        event.starts_with("http.") || event.starts_with("graphql.")
    };
    let log = service.log();
    assert!(log.iter().filter(of_requests).all(|line| line["trace_id"].is_string()));
    // Libraries have events without a name.
    let own = ["colophon", "graphql_telemetry", "runtime_insight", "otlp_export", "migration"];
    let is_own = |line: &&Value| {
        let target = line["target"].as_str().unwrap();
        own.contains(&target.split("::").next().unwrap_or_default())
    };
    let mut lines = log.iter().filter(is_own);
    assert!(lines.all(|line| line["event"].is_string()), "every event has a name: {log:#?}");
}
