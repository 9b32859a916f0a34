//! Failures of statements, as spans, logs and clients may see them. A database's own message may quote
//! values, so none of its words are recorded.

use std::borrow::Cow;

use sea_orm::{DbErr, RuntimeErr, SqlxError};

/// What the failure of a statement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultClass {
    /// The database cannot be reached or has no room now.
    Unavailable,
    /// The statement ran into a time limit.
    Timeout,
    /// The role lacks a privilege, or the session or the server is read-only.
    Denied,
    /// The statement breaks a constraint, such as a unique one: mostly a client's mistake.
    Constraint,
    /// Anything else: the statement or its result is wrong.
    Internal,
}

const DENIAL: &str = "permission_denied";
const CONSTRAINT: &str = "constraint_violation";

/// The failure of a statement, without the words of the database.
///
/// An application's pool can return one inside a [`SqlxError::Configuration`]: classifying that error
/// gives this fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct DatabaseFault {
    class: FaultClass,
    status: Option<String>,
    kind: &'static str,
    text: String,
}

impl DatabaseFault {
    /// Returns a failure of a `kind` that is one of a few words, with a `text` that may be seen.
    #[must_use]
    pub const fn new(class: FaultClass, kind: &'static str, text: String) -> Self {
        Self { class, status: None, kind, text }
    }

    /// Returns what the failure means.
    #[must_use]
    pub const fn class(&self) -> FaultClass {
        self.class
    }

    /// Returns the kind of failure: one of a few words, such as `pool_timeout` or `io`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether the database denies the service a permission: its role lacks a privilege, or the session or
    /// the server is read-only. Also of a failure to connect, whose class is another.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        self.kind == DENIAL
    }

    /// Returns the SQLSTATE, or SQLite's extended result code.
    #[must_use]
    pub fn status(&self) -> Option<&str> {
        self.status.as_deref()
    }

    /// Returns the status or, where the database gave none, the kind.
    #[must_use]
    pub fn error_type(&self) -> Cow<'static, str> {
        self.status.clone().map_or(Cow::Borrowed(self.kind), Cow::Owned)
    }

    fn internal(kind: &'static str, text: &str) -> Self {
        Self::new(FaultClass::Internal, kind, text.to_owned())
    }
}

impl From<&DbErr> for DatabaseFault {
    fn from(error: &DbErr) -> Self {
        match error {
            // Whatever it is that keeps it from connecting.
            DbErr::Conn(RuntimeErr::SqlxError(source)) => {
                Self { class: FaultClass::Unavailable, ..of_driver(source) }
            }
            DbErr::Exec(RuntimeErr::SqlxError(source))
            | DbErr::Query(RuntimeErr::SqlxError(source)) => of_driver(source),
            DbErr::ConnectionAcquire(error) => {
                let text = format!("no connection could be had: {error}");
                Self::new(FaultClass::Unavailable, "pool_timeout", text)
            }
            DbErr::Conn(_) => {
                Self::new(FaultClass::Unavailable, "connection", "no connection".into())
            }
            DbErr::RecordNotFound(_) | DbErr::RecordNotInserted | DbErr::RecordNotUpdated => {
                Self::internal("no_record", "a row that must be there is not")
            }
            DbErr::Migration(text) => {
                let text = format!("another version of this program has migrated it: {text}");
                Self::internal("unknown_migration", &text)
            }
            _ => Self::internal("orm", "a result of the database does not fit its entity"),
        }
    }
}

fn of_driver(error: &SqlxError) -> DatabaseFault {
    let unavailable = |kind, text: String| DatabaseFault::new(FaultClass::Unavailable, kind, text);
    match error {
        SqlxError::Database(error) => of_database(error.as_ref()),
        SqlxError::Io(error) => unavailable("io", format!("the connection failed: {error}")),
        SqlxError::Configuration(error) => match error.downcast_ref::<DatabaseFault>() {
            Some(fault) => fault.clone(),
            // Its text may quote a URL with a password.
            None => DatabaseFault::internal("configuration", "the connection's settings are wrong"),
        },
        SqlxError::Tls(_) => unavailable("tls", "the connection's TLS failed".into()),
        SqlxError::PoolTimedOut => unavailable("pool_timeout", error.to_string()),
        SqlxError::PoolClosed => unavailable("pool_closed", error.to_string()),
        SqlxError::ColumnDecode { index, .. } => {
            DatabaseFault::internal("decode", &format!("column {index} cannot be decoded"))
        }
        SqlxError::Encode(_) => DatabaseFault::internal("encode", "a value cannot be encoded"),
        SqlxError::Decode(_) => DatabaseFault::internal("decode", "a value cannot be decoded"),
        SqlxError::Protocol(_) => DatabaseFault::internal("protocol", "the driver is at a loss"),
        _ => DatabaseFault::internal("driver", "the driver failed"),
    }
}

fn of_database(error: &dyn sea_orm::sqlx::error::DatabaseError) -> DatabaseFault {
    /// Characters of a SQLSTATE. SQLite's result codes have four at most.
    const SQLSTATE: usize = 5;
    let status = error.code().unwrap_or_default().into_owned();
    let (what, (class, kind, condition)) = if status.len() == SQLSTATE {
        ("SQLSTATE", of_sqlstate(&status))
    } else {
        ("SQLite result code", of_sqlite(&status))
    };
    let mut text = format!("{what} {status} ({condition})");
    // Names of the schema, not values.
    for (what, name) in [("table", error.table()), ("constraint", error.constraint())] {
        if let Some(name) = name {
            text.push_str(&format!(", {what} {name}"));
        }
    }
    DatabaseFault { class, status: Some(status), kind, text }
}

/// What a SQLSTATE means, by its class
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn of_sqlstate(status: &str) -> (FaultClass, &'static str, &'static str) {
    const DATABASE: &str = "database";
    let class = status.get(..2).unwrap_or_default();
    match (class, status) {
        // Their names of the same page.
        (_, "42501") => (FaultClass::Denied, DENIAL, "insufficient_privilege"),
        (_, "25006") => (FaultClass::Denied, DENIAL, "read_only_sql_transaction"),
        (_, "3F000") => {
            let condition = "invalid_schema_name: the role may use no schema of its search path";
            (FaultClass::Denied, DENIAL, condition)
        }
        (_, "57014") => (FaultClass::Timeout, "timeout", "query canceled"),
        (_, "08P01") => {
            let condition = "protocol_violation, as from a connection pooler such as PgBouncer";
            (FaultClass::Unavailable, DATABASE, condition)
        }
        ("08", _) => (FaultClass::Unavailable, DATABASE, "connection exception"),
        ("53", _) => (FaultClass::Unavailable, DATABASE, "insufficient resources"),
        ("57", _) => (FaultClass::Unavailable, DATABASE, "operator intervention"),
        ("23", _) => (FaultClass::Constraint, CONSTRAINT, "integrity constraint violation"),
        ("22", _) => (FaultClass::Internal, DATABASE, "data exception"),
        ("28", _) => (FaultClass::Internal, DATABASE, "invalid authorization"),
        ("3D", _) => (FaultClass::Internal, DATABASE, "no such database"),
        ("40", _) => (FaultClass::Internal, DATABASE, "transaction rollback"),
        ("42", _) => (FaultClass::Internal, DATABASE, "syntax error or access violation"),
        ("P0", _) => (FaultClass::Internal, DATABASE, "raised by a function"),
        _ => (FaultClass::Internal, DATABASE, "see the server's log"),
    }
}

/// What a result code means, by its low byte (<https://sqlite.org/rescode.html>).
fn of_sqlite(status: &str) -> (FaultClass, &'static str, &'static str) {
    const DATABASE: &str = "database";
    let unavailable = |condition| (FaultClass::Unavailable, DATABASE, condition);
    let fault = |kind, condition| (FaultClass::Internal, kind, condition);
    match status.parse::<u32>().unwrap_or_default() & 0xff {
        5 => unavailable("busy"),
        6 => unavailable("locked"),
        8 => unavailable("read-only"),
        10 => unavailable("I/O error"),
        13 => unavailable("disk full"),
        14 => unavailable("cannot be opened"),
        11 => fault(DATABASE, "corrupt"),
        19 => (FaultClass::Constraint, CONSTRAINT, "constraint violation"),
        26 => fault(DATABASE, "not a database"),
        _ => fault(DATABASE, "error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_no_words_of_the_database() {
        let error = DbErr::Custom("Key (title)=(s3cret) is there".into());
        let fault = DatabaseFault::from(&error);
        assert!(!fault.to_string().contains("s3cret"));
        assert_eq!(fault.error_type(), "orm");
    }

    #[test]
    fn codes_follow_the_class() {
        assert_eq!(of_sqlstate("57014").0, FaultClass::Timeout);
        assert_eq!(of_sqlstate("57P01").0, FaultClass::Unavailable);
        assert_eq!(of_sqlstate("23505").1, CONSTRAINT);
        assert_eq!(of_sqlstate("42501"), (FaultClass::Denied, DENIAL, "insufficient_privilege"));
        assert_eq!(of_sqlstate("25006"), (FaultClass::Denied, DENIAL, "read_only_sql_transaction"));
        assert_eq!(of_sqlite("2067").1, CONSTRAINT);
        assert_eq!(of_sqlite("13").0, FaultClass::Unavailable);
    }
}
