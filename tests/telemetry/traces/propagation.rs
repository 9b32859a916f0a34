//! The trace context of callers: `traceparent` and `tracestate`.

use testing::{
    Db,
    collector::{Collector, observed, prompt},
    trace_of,
};

use super::find;

#[tokio::test(flavor = "multi_thread")]
async fn continues_the_callers_trace() {
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
