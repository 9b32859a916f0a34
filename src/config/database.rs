//! The database and its pool.

use std::{fmt, str::FromStr};

use clap::Args;
use graphql_telemetry::sea_orm::CommentMode;
use sea_orm::sqlx::{self, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};
use url::Url;

use super::limits::DatabaseLimits;
use crate::database::pool::postgres::PoolerMode;

/// The database and its pool.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseSettings {
    /// sqlite://FILE?mode=rwc or postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(
        long,
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = "sqlite://colophon.db?mode=rwc",
        value_name = "URL"
    )]
    pub database_url: DatabaseUrl,
    /// Connections in the pool; on SQLite those that read, beside the one that writes
    #[arg(long, global = true, env = "COLOPHON_POOL_SIZE", default_value = "16",
        value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    pub pool_size: u32,
    /// Whether a connection pooler such as PgBouncer stands before PostgreSQL: auto (the first connection
    /// finds out) or transaction (it may give each transaction another connection to the server)
    #[arg(
        long,
        global = true,
        env = "COLOPHON_POOLER",
        default_value = "auto",
        value_name = "MODE"
    )]
    pub pooler: PoolerMode,
    /// Which comments statements get, for the database's administrator: off, tags (application,
    /// route and root field) or traceparent (the trace besides, for statements that are traced)
    #[arg(
        long,
        global = true,
        env = "COLOPHON_SQLCOMMENTER",
        default_value = "off",
        value_name = "MODE"
    )]
    pub sqlcommenter: CommentMode,
    /// Where changes of other replicas are listened for, if not at the database's URL: the PostgreSQL
    /// server itself, where a connection pooler stands before it
    #[arg(long, global = true, env = "COLOPHON_NOTIFICATIONS_URL", hide_env_values = true,
        value_parser = server_url, value_name = "URL")]
    pub notifications_url: Option<DatabaseUrl>,
    /// How long it may keep us.
    #[command(flatten)]
    pub limits: DatabaseLimits,
}

/// The URL of a database of a kind that is supported. Shown without its password.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A file.
    Sqlite(String),
    /// A server.
    Postgres(String),
}

impl DatabaseUrl {
    /// The URL with its password.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let (Self::Sqlite(url) | Self::Postgres(url)) = self;
        url
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("sqlite:") {
            text.parse::<SqliteConnectOptions>().map_err(|error| error.to_string())?;
            Ok(Self::Sqlite(text.to_owned()))
        } else if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            parse_postgres(text).map_err(|error| error.to_string())?;
            Ok(Self::Postgres(text.to_owned()))
        } else {
            Err("must begin with sqlite: or postgres://".to_owned())
        }
    }
}

fn server_url(text: &str) -> Result<DatabaseUrl, String> {
    match text.parse()? {
        url @ DatabaseUrl::Postgres(_) => Ok(url),
        DatabaseUrl::Sqlite(_) => Err("must begin with postgres://".to_owned()),
    }
}

/// The options of a PostgreSQL URL, which need not have a host beside its user.
///
/// # Errors
/// If it is no URL, or has an option that cannot be.
pub fn parse_postgres(text: &str) -> Result<PgConnectOptions, sqlx::Error> {
    match without_empty_host(text) {
        Some(text) => text.parse(),
        None => text.parse(),
    }
}

/// A URL with a user and no host, such as `postgres://ada@/books?host=/run/postgresql`, with the user
/// in its query: libpq takes the former (<https://www.postgresql.org/docs/current/libpq-connect.html>),
/// but the standard of URLs has no user without a host.
fn without_empty_host(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, port) = authority.rsplit_once('@')?;
    if !port.is_empty() && !port.starts_with(':') {
        return None;
    }
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let pairs = [("user", user), ("password", password), ("port", port.trim_start_matches(':'))];
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
    // What has a meaning in a query, and none in a user.
    let encode = |value: &str| value.replace('&', "%26").replace('+', "%2B");
    let pairs = pairs.map(|(key, value)| format!("{key}={}", encode(value)));
    let query = pairs.chain([query.to_owned()]).collect::<Vec<_>>().join("&");
    Some(format!("{scheme}:///{}?{query}", path.trim_start_matches('/')))
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(self.as_str()))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `text` without the password if it is a URL with one, and without all that could hold one
/// if it is something like a URL.
#[must_use]
pub fn mask(text: &str) -> String {
    let parsed = Url::parse(without_empty_host(text).as_deref().unwrap_or(text));
    let Ok(mut url) = parsed else {
        return match (text.find("://"), text.rfind('@')) {
            (Some(start), Some(end)) if start < end => {
                format!("{}***{}", &text[..start + 3], &text[end..])
            }
            _ => text.to_owned(),
        };
    };
    let secret = |key: &str| key.contains("password") || key.contains("key");
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if url.password().is_none() && !pairs.iter().any(|(key, _)| secret(key)) {
        return text.to_owned();
    }
    if url.password().is_some() {
        // Fails only for URLs that cannot have a password.
        let _ = url.set_password(Some("***"));
    }
    if !pairs.is_empty() {
        let masked = pairs
            .iter()
            .map(|(key, value)| (key.as_str(), if secret(key) { "***" } else { value.as_str() }));
        url.query_pairs_mut().clear().extend_pairs(masked);
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_passwords_anywhere() {
        for secret in [
            "postgres://ada:s3cret@db/books",
            "postgres://db/books?user=ada&password=s3cret",
            "postgres://ada:s3cret@db:port/books",
            "postgres://ada:s3cret@/books?host=/run/postgresql",
            "postgres://ada@/books?password=s3cret",
            "postgres://ada:s3cret@:port/books",
        ] {
            assert!(!mask(secret).contains("s3cret"), "{}", mask(secret));
        }
        assert_eq!(mask("sqlite://colophon.db?mode=rwc"), "sqlite://colophon.db?mode=rwc");
        let socket = "postgres://ada@/books?host=/run/postgresql";
        assert_eq!(mask(socket), socket);
    }

    #[test]
    fn accepts_a_url_with_a_user_and_no_host() {
        let url = "postgres://a%40da:s%2Bec+r&t@:5433/books?host=/run/postgresql";
        let options = parse_postgres(url).unwrap();
        assert_eq!(options.get_username(), "a@da");
        assert_eq!(options.get_port(), 5433);
        assert_eq!(options.get_database(), Some("books"));
        assert_eq!(options.get_socket().unwrap().to_str(), Some("/run/postgresql"));
        let rewritten = without_empty_host(url).unwrap();
        let password = Url::parse(&rewritten).unwrap();
        let password = password.query_pairs().find(|(key, _)| key == "password").unwrap().1;
        assert_eq!(password, "s+ec+r&t");
        assert!(parse_postgres("postgres://ada@/").is_ok());
        assert!(parse_postgres("postgres://ada@?host=/run/postgresql").is_ok());
        assert_eq!(parse_postgres("postgres://ada@db/books").unwrap().get_host(), "db");
    }
}
