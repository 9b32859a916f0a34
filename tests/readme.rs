//! The commands of the README, run as they stand there, give the output that stands below them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::Value;
use std::{fs, process::Command};
use testing::{Db, repository, stdout};

/// Where the README has the service.
const ADDRESS: &str = "localhost:8000";

/// The `curl` commands to the service with the JSON below each.
fn commands(document: &str) -> Vec<(String, Value)> {
    let mut commands = Vec::new();
    let mut lines = document.lines().map(|line| line.strip_prefix("    "));
    while let Some(line) = lines.next() {
        let Some(first) = line.and_then(|line| line.strip_prefix("$ curl ")) else { continue };
        let block: Vec<&str> = lines.by_ref().map_while(|line| line).collect();
        let answer = block.iter().position(|line| line.starts_with("{\"data\"")).unwrap();
        let command = format!("curl --silent {first}\n{}", block[..answer].join("\n"));
        commands.push((command, serde_json::from_str(&block[answer..].join("\n")).unwrap()));
    }
    commands
}

/// Every request has another trace.
fn without_trace(mut answer: Value) -> Value {
    if let Some(trace) = answer.pointer_mut("/errors/0/extensions/traceId") {
        assert_eq!(trace.as_str().unwrap().len(), 32);
        *trace = Value::Null;
    }
    answer
}

#[tokio::test]
async fn gives_what_the_commands_print() {
    let service = Db::sqlite().serve_with(&["--sample"]).await;
    let commands = commands(&fs::read_to_string(repository().join("README.md")).unwrap());
    assert_eq!(commands.len(), 2);
    for (command, expected) in commands {
        assert!(command.contains(ADDRESS), "{command}");
        let here = command.replace(ADDRESS, service.url.trim_start_matches("http://"));
        let output = Command::new("sh").args(["-c", &here]).output().unwrap();
        let answer = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(without_trace(answer), without_trace(expected), "{command}");
    }
}
