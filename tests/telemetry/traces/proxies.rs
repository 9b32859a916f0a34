//! Server spans behind a proxy.

use testing::{
    Db,
    collector::{Collector, prompt},
    trace_of,
};

use super::find;

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
