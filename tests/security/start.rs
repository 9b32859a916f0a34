//! What the service rejects to start with.

use testing::{Db, program, stderr, stdout};

/// Runs to the end, which is 2 if the settings are rejected; the database cannot be opened, so that it
/// is 1 if they are not, and no address is ever listened at.
fn serve(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let nowhere = ["serve", "--database-url", "sqlite:///nowhere/books.db"];
    let mut command = program(&[&nowhere[..], arguments].concat());
    let output = command.envs(variables.iter().copied()).output().unwrap();
    (output.status.code(), stderr(&output))
}

#[test]
fn requires_authentication_beyond_loopback() {
    let (code, told) = serve(&["--listen", "0.0.0.0:0"], &[]);
    assert_eq!(code, Some(2), "{told}");
    for way in ["COLOPHON_LISTEN", "COLOPHON_TOKENS_FILE", "--jwt-keys", "--insecure-open"] {
        assert!(told.contains(way), "{way} is missing in: {told}");
    }
    assert_eq!(serve(&["--listen", "0.0.0.0:0", "--insecure-open"], &[]).0, Some(1));
    assert_eq!(serve(&["--listen", "127.0.0.1:0"], &[]).0, Some(1));

    let (code, told) = serve(&["--admin-listen", "0.0.0.0:0", "--insecure-open"], &[]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("COLOPHON_ADMIN_TOKEN_FILE"), "{told}");
    let token = ("COLOPHON_ADMIN_TOKEN", "0123456789abcdef");
    assert_eq!(serve(&["--admin-listen", "0.0.0.0:0"], &[token]).0, Some(1));
}

#[test]
fn rejects_settings_that_would_open_the_service() {
    let jwt = |keys| {
        [("COLOPHON_JWT_ISSUER", "i"), ("COLOPHON_JWT_AUDIENCE", "a"), ("COLOPHON_JWT_KEYS", keys)]
    };
    for (variables, why) in [
        (&jwt("k")[..2], "COLOPHON_JWT_KEYS"),
        (&jwt("http://keys.example/set")[..], "https"),
        (&jwt("ftp://keys.example/set")[..], "https"),
        (&[("COLOPHON_JWT_ALGORITHMS", "HS256")][..], "RS256"),
        (&[("COLOPHON_JWT_ALGORITHMS", "none")][..], "RS256"),
        (&[("COLOPHON_ALLOWED_ORIGINS", "*")][..], "https://books.example"),
        (&[("COLOPHON_ALLOWED_ORIGINS", "https://books.example/")][..], "https://books.example"),
        (&[("COLOPHON_ALLOWED_ORIGINS", "null")][..], "https://books.example"),
        (&[("COLOPHON_ALLOWED_HOSTS", "http://books.example")][..], "books.example"),
        (&[("COLOPHON_TRUSTED_PROXIES", "proxy.example")][..], "10.0.0.0/8"),
        (&[("COLOPHON_ALLOWED_HEADERS", "x tenant")][..], "x-tenant"),
        (&[("COLOPHON_JWT_ROLES", "librarian")][..], "librarian=books:write"),
        (&[("COLOPHON_JWT_ROLES", "librarian=all")][..], "books:read"),
        (&[("COLOPHON_ADMIN_TOKEN", "s3cret")][..], "16 characters"),
    ] {
        let (code, told) = serve(&[], variables);
        assert_eq!(code, Some(2), "{variables:?}: {told}");
        assert!(told.contains(why) && !told.contains("s3cret"), "{told}");
    }
}

#[test]
fn rejects_unusable_files_without_quoting_them() {
    let db = Db::sqlite();
    let file = db.file("tokens", "importer books:read s3cret\n");
    let keys = db.file("keys", "s3cret");
    let keys = keys.to_str().unwrap();
    let jwt = ["--jwt-issuer", "i", "--jwt-audience", "a", "--jwt-keys"];
    for (arguments, name) in [
        (vec!["--tokens-file", file.to_str().unwrap()], "COLOPHON_TOKENS_FILE"),
        (vec!["--tokens-file", "/nowhere/tokens"], "COLOPHON_TOKENS_FILE"),
        ([&jwt[..], &[keys]].concat(), "COLOPHON_JWT_KEYS"),
    ] {
        let listen = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        let output = db.run(&[&listen[..], &arguments].concat());
        assert_eq!(output.status.code(), Some(1));
        let told = stderr(&output);
        assert!(told.contains(name) && !told.contains("s3cret"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_come_from_files() {
    let db = Db::sqlite();
    let url = db.file("url", format!("{}\n", db.url));
    let token = db.file("admin", "0123456789s3cret\r\n");
    let mut command = program(&["config"]);
    command.env("DATABASE_URL_FILE", &url).env("COLOPHON_ADMIN_TOKEN_FILE", &token);
    let text = stdout(&command.output().unwrap());
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let database = line("--database-url");
    assert!(database.contains(" file ") && database.ends_with(&db.url), "{database}");
    assert!(line("--admin-token").contains(" file ") && line("--admin-token").ends_with("***"));
    assert!(!text.contains("s3cret"), "{text}");
    // A flag wins.
    let mut command = program(&["config", "--database-url", "sqlite://other.db"]);
    let text = stdout(&command.env("DATABASE_URL_FILE", &url).output().unwrap());
    assert!(text.contains("sqlite://other.db") && !text.contains(&db.url), "{text}");

    let token = token.to_str().unwrap();
    let service = db.serve_in(&[("COLOPHON_ADMIN_TOKEN_FILE", token)]).await;
    let metrics = service.client.get(format!("{}/metrics", service.admin));
    assert_eq!(metrics.bearer_auth("0123456789s3cret").send().await.unwrap().status(), 200);
}

#[test]
fn explains_secrets_that_cannot_be_read() {
    let db = Db::sqlite();
    let empty = db.file("empty", "\n");
    let both = [("DATABASE_URL", "sqlite://a.db"), ("DATABASE_URL_FILE", "/dev/null")];
    for variables in [
        &both[..],
        &[("DATABASE_URL_FILE", "/nowhere/url")][..],
        &[("DATABASE_URL_FILE", empty.to_str().unwrap())][..],
    ] {
        let output = program(&["config"]).envs(variables.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{variables:?}");
        assert!(stderr(&output).contains("DATABASE_URL_FILE"), "{}", stderr(&output));
    }
}

/// Compose sets the variables of settings that it has no value for to nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_variable_is_not_set() {
    let help = stdout(&program(&["serve", "--help"]).output().unwrap());
    let variables = help.split("[env: ").skip(1).filter_map(|rest| rest.split('=').next());
    let mut names: Vec<_> = variables.map(|name| name.trim_end_matches(']').to_owned()).collect();
    assert!(names.len() > 40, "{names:?}");
    names.extend(["DATABASE_URL_FILE", "COLOPHON_ADMIN_TOKEN_FILE"].map(str::to_owned));
    let mut command = program(&["config"]);
    // Which the tests set.
    command.env_remove("COLOPHON_SLOW_POLL").env_remove("COLOPHON_QUEUE_WAIT");
    let plain = stdout(&command.output().unwrap());
    let told = command.envs(names.iter().map(|name| (name, ""))).output().unwrap();
    assert_eq!(stdout(&told), plain, "{}", stderr(&told));
    assert!(plain.contains("COLOPHON_TOKENS_FILE") && !plain.contains("environment"), "{plain}");
}
