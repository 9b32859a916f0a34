//! `/debug/pprof/…`, read by the tools that people have.

use std::{io::Write, process::Command};

use serde_json::json;
use tempfile::NamedTempFile;
use testing::Db;

use crate::{lab, told};

/// What `go tool pprof` says of a profile.
fn pprof(option: &str, profile: &[u8]) -> String {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(profile).unwrap();
    let output = Command::new("go").args(["tool", "pprof", option]).arg(file.path()).output();
    let output = output.expect("go is there, as scripts/test sees to");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether the function is in a list, by itself or within another.
fn names_spin(top: &str) -> bool {
    top.lines().any(|line| line.trim_end().trim_end_matches(" (inline)").ends_with(" spin"))
}

#[tokio::test(flavor = "multi_thread")]
async fn names_functions_and_operations_in_profiles() {
    let service = lab(&Db::sqlite()).await;
    let get = async |path: &str| {
        let response = service.client.get(format!("{}{path}", service.admin)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response
    };
    let spin = async || service.data("{ labSpin(ms: 1500) }", json!({})).await;

    let (response, _) = tokio::join!(get("/debug/pprof/profile?seconds=1"), spin());
    let profile = response.bytes().await.unwrap();
    let top = pprof("-top", &profile);
    assert!(top.contains("Type: cpu"), "{top}");
    assert!(names_spin(&top), "{top}");
    let lines = pprof("-traces", &profile);
    assert!(lines.contains("graphql.root_field:") && lines.contains("Query.labSpin"), "{lines}");
    let tags = pprof("-tags", &profile);
    assert!(tags.contains("worker"), "{tags}");

    let (response, _) = tokio::join!(get("/debug/pprof/flamegraph?seconds=1"), spin());
    assert_eq!(response.headers()["content-type"], "image/svg+xml");
    let picture = response.text().await.unwrap();
    assert!(picture.contains("<svg") && picture.contains("<title>Query.labSpin ("), "{picture}");
    assert!(picture.contains("<title>spin ("), "{picture}");
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_and_records_at_the_same_time() {
    let service = lab(&Db::sqlite()).await;
    let recording = service.client.post(format!("{}/debug/recording?seconds=2", service.admin));
    let profile = service.client.get(format!("{}/debug/pprof/profile?seconds=2", service.admin));
    let second = service.client.get(format!("{}/debug/pprof/profile?seconds=1", service.admin));
    let second = async {
        told(&service, "profile.started", 1).await;
        second.send().await
    };
    let spin = service.data("{ labSpin(ms: 2500) }", json!({}));
    let (recording, profile, second, _) =
        tokio::join!(recording.send(), profile.send(), second, spin);
    assert_eq!(recording.unwrap().status(), 200);
    assert_eq!(second.unwrap().status(), 409, "one profile at a time");
    let top = pprof("-top", &profile.unwrap().bytes().await.unwrap());
    assert!(names_spin(&top), "{top}");
}
