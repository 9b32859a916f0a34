//! What may be told of a failed statement. A database's own message may quote what it was given,
//! so it is told nowhere: not in a log, not in a span, not to a client.

use std::borrow::Cow;

use sea_orm::{DbErr, RuntimeErr, SqlxError, SqlxPostgresError};

use super::Code;
use crate::database::pool::postgres::PoolerError;

/// A statement's failure, without the words of the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct DatabaseFault {
    code: Code,
    status: Option<String>,
    kind: &'static str,
    text: String,
}

impl DatabaseFault {
    /// What the failure means for the client.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The SQLSTATE, or SQLite's extended result code.
    #[must_use]
    pub fn status(&self) -> Option<&str> {
        self.status.as_deref()
    }

    /// The status or, where the database gave none, the kind of error: one of a few words.
    #[must_use]
    pub fn error_type(&self) -> Cow<'static, str> {
        self.status.clone().map_or(Cow::Borrowed(self.kind), Cow::Owned)
    }

    /// Whether the statement only broke a constraint, which is how the catalogue finds out that,
    /// say, an ISBN is taken.
    #[must_use]
    pub fn is_constraint(&self) -> bool {
        self.kind == CONSTRAINT
    }

    /// Whether the database denies the service a permission: its role lacks a privilege, or the
    /// session or the server is read-only.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        self.kind == DENIAL
    }

    /// Whether a connection pooler does what the service cannot work with.
    #[must_use]
    pub fn is_of_pooler(&self) -> bool {
        self.kind == POOLER
    }
}

const POOLER: &str = "pooler";
const DENIAL: &str = "permission_denied";
const CONSTRAINT: &str = "constraint_violation";

impl From<&DbErr> for DatabaseFault {
    fn from(error: &DbErr) -> Self {
        match error {
            // Whatever it is that keeps us from connecting.
            DbErr::Conn(RuntimeErr::SqlxError(source)) => {
                Self { code: Code::DatabaseUnavailable, ..of_driver(source) }
            }
            DbErr::Exec(RuntimeErr::SqlxError(source))
            | DbErr::Query(RuntimeErr::SqlxError(source)) => of_driver(source),
            DbErr::ConnectionAcquire(error) => {
                let text = format!("no connection could be had: {error}");
                Self::new(Code::DatabaseUnavailable, "pool_timeout", text)
            }
            DbErr::Conn(_) => {
                Self::new(Code::DatabaseUnavailable, "connection", "no connection".into())
            }
            DbErr::RecordNotFound(_) | DbErr::RecordNotInserted | DbErr::RecordNotUpdated => {
                Self::fault("no_record", "a row that must be there is not")
            }
            DbErr::Migration(text) => {
                let text = format!("another version of this program has migrated it: {text}");
                Self::fault("unknown_migration", &text)
            }
            _ => Self::fault("orm", "an answer of the database does not fit its entity"),
        }
    }
}

impl DatabaseFault {
    const fn new(code: Code, kind: &'static str, text: String) -> Self {
        Self { code, status: None, kind, text }
    }

    fn fault(kind: &'static str, text: &str) -> Self {
        Self::new(Code::InternalServerError, kind, text.to_owned())
    }
}

fn of_driver(error: &SqlxError) -> DatabaseFault {
    let unavailable =
        |kind, text: String| DatabaseFault::new(Code::DatabaseUnavailable, kind, text);
    match error {
        SqlxError::Database(error) => of_database(error.as_ref()),
        SqlxError::Io(error) => unavailable("io", format!("the connection failed: {error}")),
        SqlxError::Configuration(error) if error.is::<PoolerError>() => {
            unavailable(POOLER, error.to_string())
        }
        SqlxError::Tls(_) => unavailable("tls", "the connection's TLS failed".into()),
        SqlxError::PoolTimedOut => unavailable("pool_timeout", error.to_string()),
        SqlxError::PoolClosed => unavailable("pool_closed", error.to_string()),
        SqlxError::ColumnDecode { index, .. } => {
            DatabaseFault::fault("decode", &format!("column {index} cannot be decoded"))
        }
        SqlxError::Encode(_) => DatabaseFault::fault("encode", "a value cannot be encoded"),
        SqlxError::Decode(_) => DatabaseFault::fault("decode", "a value cannot be decoded"),
        SqlxError::Protocol(_) => DatabaseFault::fault("protocol", "the driver is at a loss"),
        _ => DatabaseFault::fault("driver", "the driver failed"),
    }
}

fn of_database(error: &dyn sea_orm::sqlx::error::DatabaseError) -> DatabaseFault {
    let status = error.code().unwrap_or_default().into_owned();
    let is_postgres = error.try_downcast_ref::<SqlxPostgresError>().is_some();
    let (code, kind, condition) =
        if is_postgres { of_sqlstate(&status) } else { of_sqlite(&status) };
    let system = if is_postgres { "PostgreSQL" } else { "SQLite" };
    let mut text = format!("{system} says {status} ({condition})");
    // Names of ours, not values.
    for (what, name) in [("table", error.table()), ("constraint", error.constraint())] {
        if let Some(name) = name {
            text.push_str(&format!(", {what} {name}"));
        }
    }
    DatabaseFault { status: Some(status), ..DatabaseFault::new(code, kind, text) }
}

/// What a SQLSTATE means, by its class
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn of_sqlstate(status: &str) -> (Code, &'static str, &'static str) {
    const DATABASE: &str = "database";
    let class = status.get(..2).unwrap_or_default();
    match (class, status) {
        // Their names of the same page.
        (_, "42501") => (Code::Forbidden, DENIAL, "insufficient_privilege"),
        (_, "25006") => (Code::Forbidden, DENIAL, "read_only_sql_transaction"),
        (_, "3F000") => {
            let condition = "invalid_schema_name: the role may use no schema of its search path";
            (Code::Forbidden, DENIAL, condition)
        }
        (_, "57014") => (Code::Timeout, "timeout", "query canceled"),
        (_, "08P01") => {
            let condition = "protocol_violation, as from a connection pooler such as PgBouncer";
            (Code::DatabaseUnavailable, DATABASE, condition)
        }
        ("08", _) => (Code::DatabaseUnavailable, DATABASE, "connection exception"),
        ("53", _) => (Code::DatabaseUnavailable, DATABASE, "insufficient resources"),
        ("57", _) => (Code::DatabaseUnavailable, DATABASE, "operator intervention"),
        ("23", _) => (Code::InternalServerError, CONSTRAINT, "integrity constraint violation"),
        ("22", _) => (Code::InternalServerError, DATABASE, "data exception"),
        ("28", _) => (Code::InternalServerError, DATABASE, "invalid authorization"),
        ("3D", _) => (Code::InternalServerError, DATABASE, "no such database"),
        ("40", _) => (Code::InternalServerError, DATABASE, "transaction rollback"),
        ("42", _) => (Code::InternalServerError, DATABASE, "syntax error or access violation"),
        ("P0", _) => (Code::InternalServerError, DATABASE, "raised by a function"),
        _ => (Code::InternalServerError, DATABASE, "see the server's log"),
    }
}

/// What a result code means, by its low byte (<https://sqlite.org/rescode.html>).
fn of_sqlite(status: &str) -> (Code, &'static str, &'static str) {
    const DATABASE: &str = "database";
    let unavailable = |condition| (Code::DatabaseUnavailable, DATABASE, condition);
    let fault = |kind, condition| (Code::InternalServerError, kind, condition);
    match status.parse::<u32>().unwrap_or_default() & 0xff {
        5 => unavailable("busy"),
        6 => unavailable("locked"),
        8 => unavailable("read-only"),
        10 => unavailable("I/O error"),
        13 => unavailable("disk full"),
        14 => unavailable("cannot be opened"),
        11 => fault(DATABASE, "corrupt"),
        19 => fault(CONSTRAINT, "constraint violation"),
        26 => fault(DATABASE, "not a database"),
        _ => fault(DATABASE, "error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_database_stay_out() {
        let error = DbErr::Custom("Key (title)=(s3cret) is there".into());
        let fault = DatabaseFault::from(&error);
        assert!(!fault.to_string().contains("s3cret"));
        assert_eq!(fault.error_type(), "orm");
    }

    #[test]
    fn codes_follow_the_class() {
        assert_eq!(of_sqlstate("57014").0, Code::Timeout);
        assert_eq!(of_sqlstate("57P01").0, Code::DatabaseUnavailable);
        assert_eq!(of_sqlstate("23505").1, CONSTRAINT);
        assert_eq!(of_sqlstate("42501"), (Code::Forbidden, DENIAL, "insufficient_privilege"));
        assert_eq!(of_sqlstate("25006"), (Code::Forbidden, DENIAL, "read_only_sql_transaction"));
        assert_eq!(of_sqlite("2067").1, CONSTRAINT);
        assert_eq!(of_sqlite("13").0, Code::DatabaseUnavailable);
    }
}
