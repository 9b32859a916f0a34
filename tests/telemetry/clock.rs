//! The wall clock is set while requests run: by NTP, by hand, by a machine that wakes up.

use std::{fs, path::PathBuf, time::Duration};

use serde_json::json;
use testing::{
    Db, PATIENCE,
    collector::{Collector, prompt},
};

/// What fakes the clock of a program.
fn faketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path());
    let library = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    library
        .into_iter()
        .find(|library| library.exists())
        .expect("libfaketime is not installed (package faketime)")
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_last_as_long_as_the_monotonic_clock_says() {
    let (db, collector) = (Db::sqlite(), Collector::start());
    let clock = db.file("clock", "+0");
    let mut variables = prompt(&collector.http);
    let library = faketime();
    variables.extend([
        ("COLOPHON_LAB", "true"),
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ]);
    let service = db.serve_in(&variables).await;
    // Both ways, a little and far.
    for step in ["-1h", "-0.5", "+1h", "+0.5"] {
        fs::write(&clock, "+0").unwrap();
        let sleep = "{ labSleep(ms: 1000) }";
        let asked = service.traced(sleep, json!({}));
        let set = async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            fs::write(&clock, step).unwrap();
        };
        let ((trace, answer), ()) = tokio::join!(asked, set);
        assert_eq!(answer["data"]["labSleep"], true);
        let spans = collector.wait_for("the trace", PATIENCE, |collector| {
            let spans = collector.trace(&trace);
            spans.iter().any(|span| span.parent.is_empty()).then_some(spans)
        });
        for span in spans {
            let lasted = i128::from(span.ended) - i128::from(span.started);
            let sleeps = !["GraphQL Document Parsing", "GraphQL Document Validation"]
                .contains(&span.name.as_str());
            let expected = if sleeps { 990_000_000..1_900_000_000 } else { 0..300_000_000 };
            assert!(expected.contains(&lasted), "{step}: {} lasted {lasted} ns", span.name);
        }
    }
}
