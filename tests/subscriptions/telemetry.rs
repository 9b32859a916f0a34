//! The trace of an event, and what leads to it from the change that caused it.

use serde_json::{Value, json};
use testing::{
    Db,
    collector::{Collector, Span, observed},
    sse::StreamEvent,
};

use crate::{ALL, follow};

/// The mutation at one replica, the event at another: each in its own trace, with a link.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_linked_to_the_mutation_that_caused_it() {
    let collector = Collector::start();
    let db = Db::postgres().await;
    let (one, another) = (observed(&db, &collector).await, observed(&db, &collector).await);
    let mut stream = follow(&another, ALL).await;
    let query =
        "mutation { createBook(input: { title: \"One\", authors: [{ name: \"Ann\" }] }) { id } }";
    let (mutation, _) = one.traced(query, json!({})).await;
    let Some(StreamEvent::Next(response)) = stream.next().await else { panic!("no event") };
    assert_eq!(response["data"]["bookChanged"]["kind"], "CREATED", "{response}");
    let subscription = stream.trace();
    drop(stream);

    let named = |collector: &Collector, trace: Option<&str>, name: &str| -> Option<Span> {
        let is_it = |span: &Span| span.name == name && trace.is_none_or(|it| it == span.trace);
        collector.spans().into_iter().find(is_it)
    };
    let cause = collector.wait_for("the mutation", testing::PATIENCE, |it| {
        named(it, Some(&mutation), "Mutation.createBook")
    });
    let life = collector.wait_for("the subscription", testing::PATIENCE, |it| {
        named(it, Some(&subscription), "subscription")
    });
    let event = collector.wait_for("the event", testing::PATIENCE, |it| {
        named(it, None, "GraphQL Subscription Event")
    });
    assert!(event.parent.is_empty() && event.trace != mutation && event.trace != subscription);
    let (trace, id) = (&event.trace, &event.id);
    assert_eq!(response["extensions"], json!({ "traceresponse": format!("00-{trace}-{id}-01") }));
    let (linked, expected) = (event.links.iter(), [&cause.id, &life.id]);
    assert_eq!(linked.collect::<Vec<_>>(), expected);
    assert_eq!(life.attribute("graphql.subscription.end_reason"), "disconnected");
    assert_eq!(life.attribute("graphql.subscription.events"), "1");
    assert_eq!(event.attribute("graphql.root_field"), "Subscription.bookChanged");
    assert!(event.attributes.contains_key("tokio.task.busy"), "{event:?}");
    let spans = collector.wait_for("its fields and SQL", testing::PATIENCE, |it| {
        let mut spans = it.spans();
        spans.retain(|span| span.trace == event.trace);
        (spans.len() >= 8).then_some(spans)
    });
    let mut found: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "Book.authors",
            "BookChange.book",
            "GraphQL DataLoader Batch authors",
            "GraphQL DataLoader Batch books",
            "GraphQL Operation Execution",
            "GraphQL Subscription Event",
            "SELECT book",
            "SELECT book_author author",
        ]
    );
}

/// The mutation that caused it may be another client's, whose trace a subscriber must not be able to read.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_leads_its_client_to_its_own_trace_only() {
    let service = Db::sqlite().serve().await;
    let mut stream = follow(&service, ALL).await;
    service.create(json!({ "title": "One" })).await;
    let Some(StreamEvent::Next(response)) = stream.next().await else { panic!("no event") };
    let value = response["extensions"]["traceresponse"].as_str().unwrap();
    let url = format!("{}/trace/{value}", service.url);
    let trace: Value = service.client.get(url).send().await.unwrap().json().await.unwrap();
    let spans = trace["spans"].as_array().unwrap();
    let named = |name: &str| spans.iter().find(|span| span["name"] == name).unwrap();
    assert_eq!(named("GraphQL Subscription Event")["links"], json!([]), "{trace:#}");
    assert_eq!(named("SELECT book")["links"], json!([]), "{trace:#}");
    let links = |span: &Value| span["links"].as_array().unwrap().len();
    assert!(spans.iter().map(links).sum::<usize>() > 0, "those of a batch stay: {trace:#}");
}
