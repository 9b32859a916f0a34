//! The rules by themselves: with invented series, as promtool runs them.

use std::{fs, process::Command};

use testing::{Db, repository, stderr, stdout};

fn promtool(arguments: &str) {
    let folder = repository().join("collector/prometheus");
    let files = |folder: &str| {
        let entries = fs::read_dir(repository().join("collector/prometheus").join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let mut command = Command::new("promtool");
    for argument in arguments.split(' ') {
        match argument.strip_suffix("/*") {
            Some(folder) => command.args(files(folder)),
            None => command.arg(argument),
        };
    }
    let output = command.current_dir(folder).output().expect("promtool cannot be started");
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn configuration_and_rules_are_right() {
    promtool("check config prometheus.yml");
    promtool("check rules rules/*");
}

/// But for names that end as a histogram's count would: they follow from the conventions' names.
#[tokio::test(flavor = "multi_thread")]
async fn passes_promtool() {
    let db = Db::sqlite();
    let service = db.serve().await;
    service.data("{ books { totalCount } }", serde_json::json!({})).await;
    let scrape = db.file("metrics", service.scrape().await);
    let input = fs::File::open(scrape).unwrap();
    let mut promtool = Command::new("promtool");
    let output = promtool.args(["check", "metrics"]).stdin(input).output().unwrap();
    let told = stderr(&output) + &stdout(&output);
    let others: Vec<_> = told.lines().filter(|line| !line.contains("\"_count\" suffix")).collect();
    assert!(others.is_empty(), "{others:?}");
    for name in ["process_cpu_time_seconds", "tokio_worker_busy_time_seconds"] {
        let line = format!("# TYPE {name}_total counter\n");
        assert!(service.scrape().await.contains(&line), "{name} is no counter");
    }
}

#[test]
fn fires_alerts_at_their_thresholds() {
    promtool("test rules tests/*");
}

#[test]
fn every_alert_has_its_section_in_the_runbook() {
    let rules =
        fs::read_to_string(repository().join("collector/prometheus/rules/alerts.yml")).unwrap();
    let runbook = fs::read_to_string(repository().join("docs/runbook.md")).unwrap();
    let alerts: Vec<_> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        assert!(runbook.contains(&format!("\n## {alert}\n")), "{alert} has no section");
        assert!(rules.contains(&format!("docs/runbook.md#{}\n", alert.to_lowercase())), "{alert}");
    }
}

/// Titles of panels are in italics there.
#[test]
fn the_runbook_names_panels_that_there_are() {
    let runbook = fs::read_to_string(repository().join("docs/runbook.md")).unwrap();
    let text: Vec<_> = runbook.lines().filter(|line| !line.starts_with("    ")).collect();
    let text = text.join(" ").replace("**", "");
    let without_code: String = text.split('`').step_by(2).collect();
    let italic = without_code.split('*').skip(1).step_by(2);
    let titles: Vec<_> = italic.filter(|text| *text != "Now").collect();
    assert!(titles.len() > 10, "{titles:?}");
    let folder = repository().join("collector/grafana/dashboards");
    let dashboards: String = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    for title in titles {
        assert!(dashboards.contains(&format!("\"title\": \"{title}\"")), "no panel {title}");
    }
}
