//! Every limit of the service, in one place; `docs/limits.md` is the page for those who meet one.
//! A page has at most [`MAX_PAGE`](crate::catalog::pagination::MAX_PAGE) items, which the schema's own texts
//! promise, so that this one is no setting.

use std::time::Duration;

use clap::Args;

use super::values::{duration, nesting, positive};

/// Lists of introspection in each other (`fields`, `inputFields`, `interfaces`, `possibleTypes`):
/// each leads back to types, and multiplies. No setting: what tools ask needs one.
pub const MAX_INTROSPECTION_LISTS: usize = 2;
/// Values that introspection may respond with, as estimated from the sizes of the schema. The query
/// of GraphiQL comes to 112,000.
pub const MAX_INTROSPECTED: usize = 200_000;

/// Bytes of a name in a document.
pub const MAX_WORD: usize = 256;

/// What requests and documents may cost.
#[derive(Clone, Debug, Args)]
pub struct Limits {
    /// What a document may cost.
    #[command(flatten)]
    pub documents: DocumentLimits,
    /// What a request may cost.
    #[command(flatten)]
    pub requests: RequestLimits,
}

/// What a document may cost.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct DocumentLimits {
    /// Tokens of a document, white space, commas and comments included, and values of its
    /// variables
    #[arg(long, global = true, env = "COLOPHON_MAX_TOKENS", default_value = "10000",
        value_parser = positive, value_name = "N")]
    pub max_tokens: usize,
    /// Levels of selection sets, lists and input objects in each other in a document (its parser
    /// is recursive, so more than 64 are not allowed)
    #[arg(long, global = true, env = "COLOPHON_MAX_NESTING", default_value = "32",
        value_parser = nesting, value_name = "N")]
    pub max_nesting: usize,
    /// Levels of fields in an operation; introspection has its own limits
    #[arg(long, global = true, env = "COLOPHON_MAX_DEPTH", default_value = "10",
        value_parser = positive, value_name = "N")]
    pub max_depth: usize,
    /// Aliases in an operation
    #[arg(long, global = true, env = "COLOPHON_MAX_ALIASES", default_value = "30",
        value_parser = positive, value_name = "N")]
    pub max_aliases: usize,
    /// Root fields of an operation
    #[arg(long, global = true, env = "COLOPHON_MAX_ROOT_FIELDS", default_value = "20",
        value_parser = positive, value_name = "N")]
    pub max_root_fields: usize,
    /// Directives in an operation
    #[arg(long, global = true, env = "COLOPHON_MAX_DIRECTIVES", default_value = "50",
        value_parser = positive, value_name = "N")]
    pub max_directives: usize,
    /// Fields and fragments of a document once all fragments are expanded
    #[arg(long, global = true, env = "COLOPHON_MAX_SELECTIONS", default_value = "10000",
        value_parser = positive, value_name = "N")]
    pub max_selections: usize,
    /// Complexity of an operation: its fields, those in a list counted once for each item asked for
    #[arg(long, global = true, env = "COLOPHON_MAX_COMPLEXITY", default_value = "50000",
        value_parser = positive, value_name = "N")]
    pub max_complexity: usize,
}

/// What a request may cost, and how many there may be.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct RequestLimits {
    /// Bytes of a request's body
    #[arg(long, global = true, env = "COLOPHON_MAX_BODY", default_value = "262144",
        value_parser = positive, value_name = "BYTES")]
    pub max_body: usize,
    /// Bytes of an answer
    #[arg(long, global = true, env = "COLOPHON_MAX_ANSWER", default_value = "8388608",
        value_parser = positive, value_name = "BYTES")]
    pub max_answer: usize,
    /// Errors in an answer; of more, the first are told
    #[arg(long, global = true, env = "COLOPHON_MAX_ERRORS", default_value = "50",
        value_parser = positive, value_name = "N")]
    pub max_errors: usize,
    /// Operations that run at a time
    #[arg(long, global = true, env = "COLOPHON_MAX_OPERATIONS", default_value = "32",
        value_parser = positive, value_name = "N")]
    pub max_operations: usize,
    /// How long an operation may wait to be among them
    #[arg(long, global = true, env = "COLOPHON_QUEUE_WAIT", default_value = "50ms",
        value_parser = duration, value_name = "TIME")]
    pub queue_wait: Duration,
    /// Open connections in all, or fewer if the limit of open files says so; for a further one
    /// that goes which has waited longest for a request
    #[arg(long, global = true, env = "COLOPHON_MAX_CONNECTIONS", default_value = "4096",
        value_parser = positive, value_name = "N")]
    pub max_connections: usize,
    /// Open connections of one peer address (of IPv6, one /64 network); further ones are closed
    /// at once. Of a trusted proxy any number, and as many requests of each of its clients
    #[arg(long, global = true, env = "COLOPHON_MAX_CONNECTIONS_PER_PEER", default_value = "512",
        value_parser = positive, value_name = "N")]
    pub max_connections_per_peer: usize,
    /// How long the head of a request may take to arrive, and how long its body
    #[arg(long, global = true, env = "COLOPHON_REQUEST_TIMEOUT", default_value = "10s",
        value_parser = duration, value_name = "TIME")]
    pub request_timeout: Duration,
    /// How long a connection may wait for a further request; longer than a load balancer in front
    /// keeps connections that are idle
    #[arg(long, global = true, env = "COLOPHON_KEEP_ALIVE", default_value = "75s",
        value_parser = duration, value_name = "TIME")]
    pub keep_alive: Duration,
    /// How long a GraphQL operation may take
    #[arg(long, global = true, env = "COLOPHON_OPERATION_TIMEOUT", default_value = "5s",
        value_parser = duration, value_name = "TIME")]
    pub operation_timeout: Duration,
    /// How long a client may take to receive an answer
    #[arg(long, global = true, env = "COLOPHON_ANSWER_TIMEOUT", default_value = "20s",
        value_parser = duration, value_name = "TIME")]
    pub answer_timeout: Duration,
    /// Bytes of all answers that are made and not yet taken; when there are more, the clients are
    /// cut off that have been taking theirs for longest
    #[arg(long, global = true, env = "COLOPHON_MAX_BACKLOG", default_value = "67108864",
        value_parser = positive, value_name = "BYTES")]
    pub max_backlog: usize,
    /// Operations that run at a time on a WebSocket; further ones wait in it, unread
    #[arg(long, global = true, env = "COLOPHON_MAX_SOCKET_OPERATIONS", default_value = "16",
        value_parser = positive, value_name = "N")]
    pub max_socket_operations: usize,
    /// How long a WebSocket may be open with nothing asked on it
    #[arg(long, global = true, env = "COLOPHON_SOCKET_IDLE_TIMEOUT", default_value = "5m",
        value_parser = duration, value_name = "TIME")]
    pub socket_idle_timeout: Duration,
    /// How often the client of a WebSocket is pinged; one that was not heard of until the next
    /// time is taken for dead
    #[arg(long, global = true, env = "COLOPHON_SOCKET_PING_INTERVAL", default_value = "20s",
        value_parser = duration, value_name = "TIME")]
    pub socket_ping_interval: Duration,
}

/// How long the database may keep us.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct DatabaseLimits {
    /// How long to wait for a connection of the pool
    #[arg(long, global = true, env = "COLOPHON_POOL_WAIT", default_value = "1s",
        value_parser = duration, value_name = "TIME")]
    pub pool_wait: Duration,
    /// How long a statement may run (PostgreSQL)
    #[arg(long, global = true, env = "COLOPHON_STATEMENT_TIMEOUT", default_value = "3s",
        value_parser = duration, value_name = "TIME")]
    pub statement_timeout: Duration,
}
