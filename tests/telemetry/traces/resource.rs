//! The resource: what says of all telemetry where it comes from.

use serde_json::json;
use testing::{
    Db,
    collector::{Collector, prompt},
};

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
