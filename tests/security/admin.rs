//! The admin listener's token.

use std::process::Command;

use testing::{Db, Service};

const TOKEN: &str = "0123456789s3cret";
/// Paths that tell more than whether the service is well.
const TELLING: [&str; 13] = [
    "/metrics",
    "/debug/tasks",
    "/debug/pprof/profile?seconds=1",
    "/debug/recording",
    "/debug/api/history",
    "/debug/api/events",
    "/debug/api/slow-polls",
    "/debug/api/tasks",
    "/debug/api/profile?seconds=1",
    "/debug/api/database",
    "/debug/api/telemetry",
    "/debug/api/settings",
    "/debug/api/nothing",
];

async fn get(service: &Service, path: &str, token: Option<&str>) -> reqwest::Response {
    let request = service.client.get(format!("{}{path}", service.admin));
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    request.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_debugging_take_the_token() {
    let db = Db::sqlite();
    let service = db.serve_in(&[("COLOPHON_ADMIN_TOKEN", TOKEN)]).await;
    for token in [None, Some("0123456789s3cres"), Some("0123456789s3cre"), Some("x")] {
        for path in TELLING {
            let response = get(&service, path, token).await;
            assert_eq!(response.status(), 401, "{path} with {token:?}");
            let challenge = response.headers()["www-authenticate"].to_str().unwrap();
            assert!(challenge.starts_with("Bearer"), "{challenge}");
        }
        for path in ["/livez", "/readyz"] {
            assert_eq!(get(&service, path, token).await.status(), 200, "{path}");
        }
    }
    // The page and the list of endpoints have no data.
    assert_eq!(get(&service, "/", None).await.status(), 200);
    assert_eq!(get(&service, "/assets/nothing.js", None).await.status(), 404);
    let settings = get(&service, "/debug/api/settings", Some(TOKEN)).await;
    assert_eq!(settings.status(), 200);
    let settings = settings.text().await.unwrap();
    assert!(settings.contains("COLOPHON_ADMIN_TOKEN") && !settings.contains(TOKEN), "{settings}");
    assert_eq!(get(&service, "/metrics", Some(TOKEN)).await.status(), 200);
    assert_eq!(get(&service, "/debug/tasks", Some(TOKEN)).await.status(), 200);
    let health = |command: &mut Command| {
        let address = service.admin.trim_start_matches("http://");
        command.env("COLOPHON_ADMIN_LISTEN", address).output().unwrap().status
    };
    assert!(health(&mut db.command(&["health"])).success());

    // Without a token, on the loopback, everybody may look, whatever they send.
    let open = db.serve().await;
    assert_eq!(get(&open, "/metrics", None).await.status(), 200);
    assert_eq!(get(&open, "/metrics", Some("x")).await.status(), 200);
}
