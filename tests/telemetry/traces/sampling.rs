//! Which traces are exported: the caller's sampling, and the sampler.

use serde_json::json;
use testing::{
    Db,
    collector::{Collector, Span, prompt},
    trace_of,
};

use super::find;

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
