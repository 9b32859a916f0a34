//! The shape of traces.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, Database};
use serde_json::json;
use testing::{
    Db, Service,
    collector::{Collector, Span, observed, prompt, tree},
    trace_of,
};

use crate::page;

const NESTED: &str = "query Nested($first: Int) { books(first: $first) { nodes {
    title authors { name books(first: 3) { nodes { title } } } } } }";

const NESTED_TREE: &str = "\
POST /graphql SERVER
  query INTERNAL
    GraphQL Document Parsing INTERNAL
    GraphQL Document Validation INTERNAL
    GraphQL Operation Execution INTERNAL
      Query.books INTERNAL
        SELECT book CLIENT
      Book.authors INTERNAL
        GraphQL DataLoader Batch authors INTERNAL
          SELECT book_author author CLIENT
      Author.books INTERNAL
        GraphQL DataLoader Batch books INTERNAL
          SELECT SELECT book book_author CLIENT
";

async fn fill(service: &Service, books: usize) {
    for number in 0..books {
        let authors = [json!({ "name": format!("Author {}", number % 7) })];
        service.create(json!({ "title": format!("Book {number}"), "authors": authors })).await;
    }
}

fn find<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}: {spans:#?}"))
}

async fn a_nested_query_is_one_trace(db: Db) {
    let collector = Collector::start();
    let service = observed(&db, &collector).await;
    fill(&service, 5).await;
    let (trace, answer) = service.traced(NESTED, json!({ "first": 5 })).await;
    assert!(answer.get("errors").is_none(), "{answer:#}");
    let spans = collector.trace(&trace);
    assert_eq!(
        tree(&spans),
        NESTED_TREE.replace("        SELECT book CLIENT", &format!("        {} CLIENT", page(&db)))
    );
    assert!(spans.iter().all(|span| span.status == 0 && span.events.is_empty()), "{spans:#?}");

    let server = find(&spans, "POST /graphql");
    assert_eq!(server.parent, "");
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/graphql"),
        ("http.response.status_code", "200"),
        ("url.path", "/graphql"),
        ("url.scheme", "http"),
        ("network.protocol.version", "1.1"),
        ("client.address", "127.0.0.1"),
        ("network.peer.address", "127.0.0.1"),
        ("server.address", "127.0.0.1"),
    ] {
        assert_eq!(server.attribute(name), value, "{name}");
    }
    assert!(server.attribute("server.port").parse::<u16>().is_ok());
    let number = r#""http.response.status_code","value":{"intValue":"200"}"#;
    assert!(collector.raw().contains(number), "numbers arrive as numbers");

    let operation = find(&spans, "query");
    for (name, value) in [
        ("graphql.operation.type", "query"),
        ("graphql.operation.name", "Nested"),
        ("graphql.root_field", "Query.books"),
        ("graphql.error.count", "0"),
    ] {
        assert_eq!(operation.attribute(name), value, "{name}");
    }
    assert_eq!(operation.attribute("graphql.operation.hash").len(), 64);
    profile_adds_up(operation);

    let field = find(&spans, "Author.books");
    for (name, value) in [
        ("graphql.selection.field.name", "books"),
        ("graphql.selection.field.parent_type", "Author"),
        ("graphql.selection.field.coordinate", "Author.books"),
        ("graphql.selection.path", "books.nodes.authors.books"),
        ("graphql.field.calls", "5"),
        ("graphql.field.errors", "0"),
    ] {
        assert_eq!(field.attribute(name), value, "{name}");
    }
    assert!(field.attribute("graphql.field.duration.max").parse::<f64>().unwrap() > 0.0);

    for (batch, field, size) in [("authors", "Book.authors", "5"), ("books", "Author.books", "5")] {
        let batch = find(&spans, &format!("GraphQL DataLoader Batch {batch}"));
        assert_eq!(batch.attribute("graphql.dataloader.batch.size"), size);
        assert_eq!(batch.links, [find(&spans, field).id.clone()]);
    }

    let statement = find(&spans, page(&db));
    let system = if db.is_sqlite() { "sqlite" } else { "postgresql" };
    for (name, value) in [
        ("db.system.name", system),
        ("db.operation.name", "SELECT"),
        ("db.collection.name", "book"),
        ("db.query.summary", page(&db)),
        ("db.response.returned_rows", "5"),
    ] {
        assert_eq!(statement.attribute(name), value, "{name}");
    }
    let text = statement.attribute("db.query.text");
    assert!(text.contains("SELECT \"book\".\"id\""), "{text}");
    assert!(!statement.attribute("db.namespace").is_empty());
    assert_eq!(statement.attributes.contains_key("server.address"), !db.is_sqlite());
}

/// Busy, scheduled and idle are the operation's whole duration, within five in a hundred.
fn profile_adds_up(operation: &Span) {
    let seconds = |state: &str| operation.attribute(state).parse::<f64>().unwrap();
    let sum =
        seconds("tokio.task.busy") + seconds("tokio.task.scheduled") + seconds("tokio.task.idle");
    #[expect(clippy::cast_precision_loss, reason = "some milliseconds")]
    let whole = (operation.ended - operation.started) as f64 / 1e9;
    assert!((sum - whole).abs() <= 0.05 * whole, "{sum} of {whole}: {operation:#?}");
    assert!(operation.attribute("tokio.task.polls").parse::<u32>().unwrap() > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_query_is_one_trace_on_sqlite() {
    a_nested_query_is_one_trace(Db::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_query_is_one_trace_on_postgres() {
    a_nested_query_is_one_trace(Db::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trusted_proxy_says_is_in_the_span() {
    let collector = Collector::start();
    let db = Db::sqlite();
    for (trusted, client, scheme, server, port) in [
        ("127.0.0.1", "2001:db8::7", "https", "localhost", "443"),
        ("10.0.0.0/8", "127.0.0.1", "http", "127.0.0.1", ""),
    ] {
        let exporting = prompt(&collector.http);
        let variables = [&[("COLOPHON_TRUSTED_PROXIES", trusted)], &exporting[..]].concat();
        let service = db.serve_in(&variables).await;
        for (headers, client) in [
            (
                &[
                    ("x-forwarded-for", "198.51.100.1, [2001:db8::7]:4711"),
                    ("x-forwarded-proto", "https"),
                    ("x-forwarded-host", "localhost"),
                ][..],
                client,
            ),
            (
                &[(
                    "forwarded",
                    "for=unknown, for=\"[2001:db8::7]:4711\";proto=https;host=localhost",
                )],
                client,
            ),
            // No address: the peer.
            (
                &[
                    ("x-forwarded-for", "192.0.2.7, unknown"),
                    ("x-forwarded-proto", "https"),
                    ("x-forwarded-host", "localhost"),
                ],
                "127.0.0.1",
            ),
        ] {
            let get = service.client.get(format!("{}/graphql?query=%7B__typename%7D", service.url));
            let get = headers.iter().fold(get, |get, (name, value)| get.header(*name, *value));
            let response = get.send().await.unwrap();
            assert_eq!(response.status(), 200);
            let spans = collector.trace(&trace_of(&response));
            let span = find(&spans, "GET /graphql");
            assert_eq!(span.attribute("client.address"), client, "{trusted}: {headers:?}");
            assert_eq!(span.attribute("url.scheme"), scheme, "{trusted}: {headers:?}");
            assert_eq!(span.attribute("server.address"), server);
            assert_eq!(span.attribute("network.peer.address"), "127.0.0.1");
            assert!(port.is_empty() || span.attribute("server.port") == port);
        }
        let scrape = service.scrape().await;
        let counted = |line: &str| {
            line.starts_with("http_server_request_duration_seconds_count")
                && line.contains("http_route=\"/graphql\"")
                && line.contains(&format!("url_scheme=\"{scheme}\""))
                && line.ends_with(" 3")
        };
        assert!(scrape.lines().any(counted), "{scheme}: {scrape}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_do_not_grow_with_the_list() {
    let collector = Collector::start();
    let service = observed(&Db::sqlite(), &collector).await;
    fill(&service, 100).await;
    // The first time it is parsed and validated besides.
    service.data(NESTED, json!({ "first": 1 })).await;
    let mut counts = BTreeMap::new();
    for first in [5, 100] {
        let (trace, _) = service.traced(NESTED, json!({ "first": first })).await;
        let spans = collector.trace(&trace);
        let calls = find(&spans, "Book.authors").attribute("graphql.field.calls").to_owned();
        assert_eq!(calls, first.to_string());
        counts.insert(first, tree(&spans));
    }
    assert_eq!(counts[&5], counts[&100]);
}

/// Parsing and validation are spared the second time; validation is not where only it can tell
/// whether a variable's value is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_known_document_is_not_read_again() {
    let collector = Collector::start();
    let service = observed(&Db::sqlite(), &collector).await;
    let phases = async |document: &str, variables: serde_json::Value| {
        let (trace, answer) = service.traced(document, variables).await;
        assert!(answer.get("errors").is_none(), "{answer:#}");
        let spans = collector.trace(&trace);
        let has = |name: &str| spans.iter().any(|span| span.name == name);
        let cached = find(&spans, "query").attributes.get("graphql.operation.cached").cloned();
        (has("GraphQL Document Parsing"), has("GraphQL Document Validation"), cached)
    };
    let known = Some("true".to_owned());
    let scalar = "query($n: Int) { books(first: $n) { totalCount } }";
    assert_eq!(phases(scalar, json!({ "n": 1 })).await, (true, true, None));
    assert_eq!(phases(scalar, json!({ "n": 2 })).await, (false, false, known.clone()));
    let input = "query($by: BookOrder) { books(orderBy: $by) { totalCount } }";
    assert_eq!(phases(input, json!({})).await, (true, true, None));
    assert_eq!(phases(input, json!({})).await, (false, false, known));
}

/// One loader that two fields ask at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_linked_to_every_field_that_asked() {
    let collector = Collector::start();
    let service = observed(&Db::sqlite(), &collector).await;
    fill(&service, 3).await;
    let document = "{ books { nodes { authors { id } writers: authors { name } } } }";
    let (trace, _) = service.traced(document, json!({})).await;
    let spans = collector.trace(&trace);
    let paths: Vec<_> =
        spans.iter().filter_map(|s| s.attributes.get("graphql.selection.path")).collect();
    assert!(paths.contains(&&"books.nodes.writers".to_owned()), "{paths:?}");
    let fields: Vec<_> = spans.iter().filter(|span| span.name == "Book.authors").collect();
    assert_eq!(fields.len(), 2, "{}", tree(&spans));
    let batch = find(&spans, "GraphQL DataLoader Batch authors");
    let mut links = batch.links.clone();
    let mut ids: Vec<_> = fields.iter().map(|field| field.id.clone()).collect();
    links.sort();
    ids.sort();
    assert_eq!(links, ids);
    assert!(ids.contains(&batch.parent));
}

/// They are loaded with the list, which is there all the same.
#[tokio::test(flavor = "multi_thread")]
async fn authors_that_cannot_be_loaded_are_errors_of_their_books() {
    let collector = Collector::start();
    let db = Db::sqlite();
    let service = observed(&db, &collector).await;
    fill(&service, 2).await;
    let spoiler = Database::connect(&db.url).await.unwrap();
    spoiler.execute_unprepared("DROP TABLE book_author").await.unwrap();
    let document = "{ books { edges { node { writers: authors { name } } } } }";
    let (trace, answer) = service.traced(document, json!({})).await;
    let paths: Vec<_> =
        answer["errors"].as_array().unwrap().iter().map(|error| &error["path"]).collect();
    let path = |index| json!(["books", "edges", index, "node", "writers"]);
    assert_eq!(paths, [&path(0), &path(1)]);
    let spans = collector.trace(&trace);
    let field = find(&spans, "Book.authors");
    assert_eq!(field.attribute("graphql.selection.path"), "books.edges.node.writers");
    for (attribute, value) in [("graphql.field.calls", "2"), ("graphql.field.errors", "2")] {
        assert_eq!(field.attribute(attribute), value);
    }
    assert_eq!(find(&spans, "Query.books").status, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_traces_its_transaction() {
    let collector = Collector::start();
    let service = observed(&Db::sqlite(), &collector).await;
    let document = r#"mutation { createBook(input: { title: "Dune", authors: [{ name: "Frank" }] }) { title } }"#;
    let (trace, _) = service.traced(document, json!({})).await;
    let spans = collector.trace(&trace);
    let tree = tree(&spans);
    assert!(tree.contains("\n  mutation INTERNAL\n"), "{tree}");
    assert!(tree.contains("\n        BEGIN CLIENT\n        SELECT author CLIENT\n"), "{tree}");
    assert!(
        tree.contains("\n        INSERT book INSERT book_search_place INSERT book_search CLIENT\n"),
        "{tree}"
    );
    assert!(tree.contains("\n        COMMIT CLIENT\n"), "{tree}");
    assert_eq!(find(&spans, "mutation").attribute("graphql.root_field"), "Mutation.createBook");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_in_one_text_is_one_span() {
    let collector = Collector::start();
    let service = observed(&Db::sqlite(), &collector).await;
    let document = r#"mutation { createBook(input: { title: "Dune" }) { title } }"#;
    let (trace, _) = service.traced(document, json!({})).await;
    let spans = collector.trace(&trace);
    let of_sql = spans.iter().filter(|span| span.attributes.contains_key("db.query.text"));
    assert_eq!(of_sql.count(), 1, "{}", tree(&spans));
    let statement = find(&spans, "INSERT book INSERT book_search_place INSERT book_search");
    assert_eq!(statement.attribute("db.operation.name"), "INSERT");
    let text = statement.attribute("db.query.text");
    assert!(text.starts_with("BEGIN IMMEDIATE; INSERT") && text.ends_with("; COMMIT"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_trace_goes_on() {
    let collector = Collector::start();
    let db = Db::sqlite();
    let service = observed(&db, &collector).await;
    let url = format!("{}/graphql?query=%7B__typename%7D", service.url);
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let ask = |traceparent: String| {
        service.client.get(&url).header("traceparent", traceparent).header("tracestate", "a=b")
    };
    let response = ask(format!("00-{trace}-{parent}-01")).send().await.unwrap();
    assert_eq!(trace_of(&response), trace);
    let spans = collector.trace(trace);
    assert_eq!(find(&spans, "GET /graphql").parent, parent);
    assert_eq!(find(&spans, "GET /graphql").attribute("url.query"), "query=REDACTED");

    for invalid in [
        "00-xyz-1-01".to_owned(),
        format!("00-1-{parent}-01"),
        format!("00-{}-{parent}-01", &trace[1..]),
        format!("00-{trace}-{parent}-1"),
        format!("00-{trace}-{parent}-01-"),
        format!("000-{trace}-{parent}-01"),
    ] {
        let response = ask(invalid.clone()).send().await.unwrap();
        let own = trace_of(&response);
        assert_eq!(own.len(), 32);
        assert!(!invalid.contains(&own), "{invalid}");
        assert_eq!(find(&collector.trace(&own), "GET /graphql").parent, "");
    }
    let valid = format!("00-{trace}-{parent}-01");
    let response = ask(valid.clone()).header("traceparent", &valid).send().await.unwrap();
    assert_ne!(trace_of(&response), trace, "of two headers neither counts");

    let mut variables = prompt(&collector.http);
    variables.push(("OTEL_PROPAGATORS", "none"));
    let deaf = db.serve_in(&variables).await;
    let url = format!("{}/graphql?query=%7B__typename%7D", deaf.url);
    let response = deaf.client.get(url).header("traceparent", format!("00-{trace}-{parent}-01"));
    assert_ne!(trace_of(&response.send().await.unwrap()), trace);
}

/// Sends `…-00`, as a client may that wants the faults it causes to leave no trace.
async fn unsampled_caller(variables: &[(&str, &str)]) -> (Collector, String, String) {
    let collector = Collector::start();
    let mut all = prompt(&collector.http);
    all.extend(variables);
    let service = Db::sqlite().serve_in(&all).await;
    let (trace, parent) = ("1af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let response = service
        .client
        .get(format!("{}/graphql?query=%7B__typename%7D", service.url))
        .header("traceparent", format!("00-{trace}-{parent}-00"))
        .header("tracestate", "a=1")
        .header("tracestate", "b=2")
        .send()
        .await
        .unwrap();
    let header = response.headers()["traceresponse"].to_str().unwrap().to_owned();
    assert!(header.contains(trace), "{header}");
    // Later, and so exported later.
    let (last, _) = service.traced("{ __typename }", json!({})).await;
    collector.trace(&last);
    (collector, trace.to_owned(), header)
}

#[tokio::test(flavor = "multi_thread")]
async fn records_a_trace_that_its_caller_does_not_sample() {
    let (collector, trace, header) = unsampled_caller(&[]).await;
    assert!(header.ends_with("-01"), "{header}");
    let spans = collector.trace(&trace);
    assert_eq!(find(&spans, "GET /graphql").parent, "b7ad6b7169203331");
    assert!(collector.raw().contains(r#""traceState":"a=1,b=2""#), "both headers");
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_the_callers_sampling_where_it_is_trusted() {
    let (collector, trace, header) =
        unsampled_caller(&[("COLOPHON_TRUST_CALLER_SAMPLING", "true")]).await;
    assert!(header.ends_with("-00"), "{header}");
    let is_other = |span: &Span| span.trace == trace;
    assert!(!collector.spans().iter().any(is_other), "exported all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sampler_is_a_variable() {
    let collector = Collector::start();
    let mut variables = prompt(&collector.http);
    variables.extend([("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.5")]);
    let service = Db::sqlite().serve_in(&variables).await;
    let mut sampled = Vec::new();
    let mut others = Vec::new();
    for _ in 0..60 {
        let url = format!("{}/graphql?query=%7B__typename%7D", service.url);
        let response = service.client.get(url).send().await.unwrap();
        let header = response.headers()["traceresponse"].to_str().unwrap();
        let list = if header.ends_with("-01") { &mut sampled } else { &mut others };
        list.push(trace_of(&response));
    }
    // Wrong once in 10^17.
    assert!(!sampled.is_empty() && !others.is_empty());
    for trace in &sampled {
        collector.trace(trace);
    }
    assert!(!collector.spans().iter().any(|span| others.contains(&span.trace)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_resource_says_where_telemetry_comes_from() {
    let collector = Collector::start();
    let mut variables = prompt(&collector.http);
    variables.push(("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,team=books"));
    variables.push(("OTEL_SERVICE_NAME", "shelf"));
    let service = Db::sqlite().serve_in(&variables).await;
    let (trace, _) = service.traced("{ __typename }", json!({})).await;
    collector.trace(&trace);
    collector.wait("metrics and logs", |c| !c.metrics().is_empty() && !c.records().is_empty());
    let resources = collector.resources();
    assert_eq!(resources.len(), 1, "all signals have the same: {resources:#?}");
    for (name, value) in [
        ("service.name", "shelf"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.namespace", "colophon"),
        ("deployment.environment.name", "test"),
        ("team", "books"),
        ("os.type", "linux"),
        ("process.executable.name", "colophon"),
        ("telemetry.sdk.language", "rust"),
    ] {
        assert_eq!(resources[0][name], value, "{name}");
    }
    assert_eq!(resources[0]["process.pid"], service.pid().to_string());
    assert_eq!(resources[0]["service.instance.id"].len(), 36);
    assert!(!resources[0]["host.name"].is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_there_only_if_the_operator_names_it() {
    let collector = Collector::start();
    for attributes in ["", "deployment.environment=test"] {
        let mut variables = prompt(&collector.http);
        variables.push(("OTEL_RESOURCE_ATTRIBUTES", attributes));
        let service = Db::sqlite().serve_in(&variables).await;
        let (trace, _) = service.traced("{ __typename }", json!({})).await;
        collector.trace(&trace);
        let target = service.scrape().await;
        let target = target.lines().find(|line| line.starts_with("target_info{")).unwrap();
        assert_eq!(target.contains("deployment_environment="), !attributes.is_empty(), "{target}");
        assert!(!target.contains("deployment_environment_name"), "{target}");
    }
    let resources = collector.resources();
    assert!(!resources.iter().any(|it| it.contains_key("deployment.environment.name")));
}

/// Only one connection, which a transaction keeps: the next one waits, and that is seen.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_connection_is_a_span() {
    let collector = Collector::start();
    let db = Db::sqlite();
    let service = std::sync::Arc::new(observed(&db, &collector).await);
    let create = |number: usize| {
        let service = service.clone();
        async move {
            let document =
                "mutation($title: String!) { createBook(input: { title: $title }) { id } }";
            service.traced(document, json!({ "title": format!("Book {number}") })).await.0
        }
    };
    // SQLite has one connection that writes.
    let traces = futures_util::future::join_all((0..40).map(create)).await;
    let waits = traces.iter().flat_map(|trace| collector.trace(trace));
    let wait = waits.into_iter().find(|span| span.name == "db.pool.acquire");
    let wait = wait.expect("of forty writers at once one has waited for a millisecond");
    assert_eq!(wait.attribute("db.client.connection.pool.name"), "writer");
    assert_eq!(wait.status, 0);
}
