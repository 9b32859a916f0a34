//! The command line: settings and what is wrong with them, `config`, help.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use testing::{Db, allowed, program, stderr, stdout};

#[test]
fn bad_settings_end_the_process_at_once_and_are_explained() {
    for (flag, variable, value, right) in [
        ("--listen", "COLOPHON_LISTEN", "here", "127.0.0.1:8000"),
        ("--admin-listen", "COLOPHON_ADMIN_LISTEN", "127.0.0.1:99999", "127.0.0.1"),
        ("--database-url", "DATABASE_URL", "mysql://ada:s3cret@db/x", "postgres://"),
        ("--pool-size", "COLOPHON_POOL_SIZE", "0", "1..=1000"),
        ("--operation-timeout", "COLOPHON_OPERATION_TIMEOUT", "5", "500ms"),
        ("--max-nesting", "COLOPHON_MAX_NESTING", "65", "64"),
        ("--log-format", "COLOPHON_LOG_FORMAT", "xml", "json"),
        ("--log", "RUST_LOG", "a=b=c", "filter"),
        ("--sample", "COLOPHON_SAMPLE", "perhaps", "true"),
    ] {
        let by_flag = || program(&[flag, value]);
        let by_variable = || {
            let mut command = program(&["serve"]);
            command.env(variable, value);
            command
        };
        let commands: [&dyn Fn() -> Command; 2] = [&by_flag, &by_variable];
        // A switch takes no value as a flag.
        for command in &commands[usize::from(flag == "--sample")..] {
            let started = Instant::now();
            let output = command().output().unwrap();
            assert!(started.elapsed() < allowed(Duration::from_secs(1)), "{flag}");
            assert_eq!(output.status.code(), Some(2), "{flag}");
            let text = stderr(&output);
            for part in [flag, variable, right] {
                assert!(text.contains(part), "{part} is missing in: {text}");
            }
            assert!(text.contains(value) || flag == "--database-url", "{text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
}

#[test]
fn config_shows_every_setting_with_its_origin() {
    let output = program(&["config", "--pool-size", "3"])
        .env("DATABASE_URL", "postgres://ada:s3cret@db/books")
        .env("COLOPHON_LISTEN", "127.0.0.1:81")
        .env("OTEL_SERVICE_NAME", "shelf")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret")
        .output()
        .unwrap();
    let text = stdout(&output);
    let line = |flag: &str| text.lines().find(|line| line.starts_with(flag)).unwrap().to_owned();
    assert!(line("--pool-size").contains("flag") && line("--pool-size").ends_with(" 3"));
    assert!(line("--listen").contains("environment") && line("--listen").ends_with("127.0.0.1:81"));
    assert!(line("--drain-timeout").contains("default"));
    assert!(line("--database-url").ends_with("postgres://ada:***@db/books"));
    assert!(text.contains("OTEL_SERVICE_NAME") && text.contains(" shelf\n"));
    assert!(text.contains("OTEL_EXPORTER_OTLP_HEADERS"));
    assert!(!text.contains("s3cret"));
}

#[test]
fn config_shows_defaults_that_depend_on_other_settings() {
    for (arguments, store, admin_ui) in
        [(&["config"][..], "16", "true"), (&["config", "--production"], "0", "false")]
    {
        let text = stdout(&program(arguments).output().unwrap());
        let line = |flag: &str| text.lines().find(|line| line.starts_with(flag)).unwrap();
        assert!(line("--trace-store").ends_with(&format!("default     {store}")), "{text}");
        assert!(line("--admin-ui").ends_with(&format!("default     {admin_ui}")), "{text}");
    }
}

#[test]
fn help_names_commands_and_variables() {
    let text = stdout(&program(&["--help"]).output().unwrap());
    for part in
        ["serve", "migrate", "import", "schema", "config", "health", "COLOPHON_ADMIN_LISTEN"]
    {
        assert!(text.contains(part), "{part}");
    }
}

#[tokio::test]
async fn explains_an_address_in_use_and_an_unusable_file() {
    let db = Db::sqlite();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = db.run(&["serve", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&address) && stderr(&output).contains("COLOPHON_LISTEN"));

    let file = db.file("broken.db", "this is no database, however long it may be ".repeat(100));
    let output = program(&["serve", "--database-url", &format!("sqlite://{}", file.display())])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("broken.db"), "{}", stderr(&output));
}
