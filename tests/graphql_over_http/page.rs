//! The page that maps the clauses to tests.

use testing::repository;

/// It names no test that does not exist.
#[test]
fn every_test_that_the_page_names_exists() {
    let page = std::fs::read_to_string(repository().join("docs/graphql-over-http.md")).unwrap();
    let folder = std::fs::read_dir(repository().join("tests/graphql_over_http")).unwrap();
    let tests: String = folder
        .map(|file| file.unwrap().path())
        .chain(
            [
                "tests/abuse/overload.rs",
                "tests/security/tokens.rs",
                "tests/subscriptions/access.rs",
                "tests/subscriptions/telemetry.rs",
            ]
            .map(|file| repository().join(file)),
        )
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let named: Vec<_> = page.split('`').filter(|part| part.matches('_').count() > 2).collect();
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        assert!(tests.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}
