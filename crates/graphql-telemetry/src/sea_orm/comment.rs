//! Comments on statements that name the operation to a database's administrator: sqlcommenter
//! (google.github.io/sqlcommenter/spec).

use opentelemetry::trace::SpanContext;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{graphql::Scope, resource::service};

/// What to add to statements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum CommentMode {
    /// Nothing.
    #[default]
    Off,
    /// Who asked: application, route, root field. There are few such comments, so that prepared
    /// statements are found again.
    Tags,
    /// Besides, the trace of those statements that are traced. Each of these is prepared anew,
    /// since its text is.
    Traceparent,
}

/// What is not encoded: the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl CommentMode {
    /// Adds a comment, its keys in the order of the alphabet.
    pub fn add_to(self, sql: &mut String, scope: Option<&Scope>, span: Option<&SpanContext>) {
        let Some(scope) = scope.filter(|_| self != Self::Off) else { return };
        let pair = |key, value| format!("{key}='{}'", utf8_percent_encode(value, ENCODED));
        let mut pairs = vec![
            pair("action", scope.root_field()),
            pair("application", service().name),
            pair("db_driver", "sqlx"),
            pair("framework", "async-graphql"),
            pair("route", scope.route()),
        ];
        if self == Self::Traceparent
            && let Some(span) = span.filter(|span| span.is_sampled())
        {
            let traceparent = format!("00-{}-{}-01", span.trace_id(), span.span_id());
            pairs.push(pair("traceparent", &traceparent));
        }
        sql.push_str(&format!(" /*{}*/", pairs.join(",")));
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};

    use super::*;

    fn commented(mode: CommentMode, flags: TraceFlags) -> String {
        let span = SpanContext::new(
            TraceId::from(0xabc),
            SpanId::from(0xdef),
            flags,
            false,
            TraceState::NONE,
        );
        let mut sql = "SELECT 1".to_owned();
        mode.add_to(&mut sql, Some(&Scope::new("Query.books", "/graphql")), Some(&span));
        sql
    }

    #[test]
    fn adds_application_and_field_to_sql_comments() {
        let tags = "SELECT 1 /*action='Query.books',application='unknown_service',db_driver='sqlx',\
                    framework='async-graphql',route='%2Fgraphql'*/";
        assert_eq!(commented(CommentMode::Off, TraceFlags::SAMPLED), "SELECT 1");
        assert_eq!(commented(CommentMode::Tags, TraceFlags::SAMPLED), tags);
        // A trace that nobody keeps would only cost prepared statements.
        assert_eq!(commented(CommentMode::Traceparent, TraceFlags::NOT_SAMPLED), tags);
        let traced = commented(CommentMode::Traceparent, TraceFlags::SAMPLED);
        assert!(
            traced.ends_with(
                ",traceparent='00-00000000000000000000000000000abc-0000000000000def-01'*/"
            )
        );
    }
}
