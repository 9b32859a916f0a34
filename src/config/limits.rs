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
    /// How many subscriptions there may be.
    #[command(flatten)]
    pub subscriptions: SubscriptionLimits,
}

/// How many subscriptions there may be, and what may wait for them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct SubscriptionLimits {
    /// Maximum number of subscriptions; further ones are rejected
    #[arg(long, global = true, env = "COLOPHON_MAX_SUBSCRIPTIONS", default_value = "10000",
        value_parser = positive, value_name = "N")]
    pub max_subscriptions: usize,
    /// Maximum number of subscriptions of a caller: a token's holder or, without authentication, a
    /// client address
    #[arg(long, global = true, env = "COLOPHON_MAX_CALLER_SUBSCRIPTIONS", default_value = "1000",
        value_parser = positive, value_name = "N")]
    pub max_caller_subscriptions: usize,
    /// Maximum number of subscriptions on a WebSocket
    #[arg(long, global = true, env = "COLOPHON_MAX_SOCKET_SUBSCRIPTIONS", default_value = "100",
        value_parser = positive, value_name = "N")]
    pub max_socket_subscriptions: usize,
    /// Events that wait for a subscription's client, or for their execution; a client that would have
    /// more waiting is told to read again what it shows
    #[arg(long, global = true, env = "COLOPHON_MAX_SUBSCRIPTION_QUEUE", default_value = "64",
        value_parser = positive, value_name = "N")]
    pub max_subscription_queue: usize,
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
    /// Maximum size of a response, in bytes
    #[arg(long, global = true, env = "COLOPHON_MAX_ANSWER", default_value = "8388608",
        value_parser = positive, value_name = "BYTES")]
    pub max_answer: usize,
    /// Maximum number of errors in a response; further ones are counted, not listed
    #[arg(long, global = true, env = "COLOPHON_MAX_ERRORS", default_value = "50",
        value_parser = positive, value_name = "N")]
    pub max_errors: usize,
    /// Maximum number of concurrent operations
    #[arg(long, global = true, env = "COLOPHON_MAX_OPERATIONS", default_value = "32",
        value_parser = positive, value_name = "N")]
    pub max_operations: usize,
    /// How long an operation waits for its turn before it is rejected
    #[arg(long, global = true, env = "COLOPHON_QUEUE_WAIT", default_value = "50ms",
        value_parser = duration, value_name = "TIME")]
    pub queue_wait: Duration,
    /// Maximum number of open connections, lowered to fit the limit of open files; beyond it,
    /// the connection idle for longest is closed
    #[arg(long, global = true, env = "COLOPHON_MAX_CONNECTIONS", default_value = "4096",
        value_parser = positive, value_name = "N")]
    pub max_connections: usize,
    /// Maximum number of connections per peer address (IPv6: per /64 network); further ones are closed
    /// at once. Connections of trusted proxies are not limited, but the requests of each of their clients are
    #[arg(long, global = true, env = "COLOPHON_MAX_CONNECTIONS_PER_PEER", default_value = "512",
        value_parser = positive, value_name = "N")]
    pub max_connections_per_peer: usize,
    /// Time limit for receiving the head of a request, and for its body
    #[arg(long, global = true, env = "COLOPHON_REQUEST_TIMEOUT", default_value = "10s",
        value_parser = duration, value_name = "TIME")]
    pub request_timeout: Duration,
    /// Keep-alive time of idle connections; longer than a load balancer in front
    /// keeps them
    #[arg(long, global = true, env = "COLOPHON_KEEP_ALIVE", default_value = "75s",
        value_parser = duration, value_name = "TIME")]
    pub keep_alive: Duration,
    /// Time limit of a GraphQL operation
    #[arg(long, global = true, env = "COLOPHON_OPERATION_TIMEOUT", default_value = "5s",
        value_parser = duration, value_name = "TIME")]
    pub operation_timeout: Duration,
    /// Time limit for sending a response to a client
    #[arg(long, global = true, env = "COLOPHON_ANSWER_TIMEOUT", default_value = "20s",
        value_parser = duration, value_name = "TIME")]
    pub answer_timeout: Duration,
    /// Memory for responses not yet sent, in bytes; above it, the slowest
    /// clients are disconnected
    #[arg(long, global = true, env = "COLOPHON_MAX_BACKLOG", default_value = "67108864",
        value_parser = positive, value_name = "BYTES")]
    pub max_backlog: usize,
    /// Maximum number of concurrent operations per WebSocket; further ones wait
    #[arg(long, global = true, env = "COLOPHON_MAX_SOCKET_OPERATIONS", default_value = "16",
        value_parser = positive, value_name = "N")]
    pub max_socket_operations: usize,
    /// Time after which an idle WebSocket is closed
    #[arg(long, global = true, env = "COLOPHON_SOCKET_IDLE_TIMEOUT", default_value = "5m",
        value_parser = duration, value_name = "TIME")]
    pub socket_idle_timeout: Duration,
    /// How often a WebSocket is pinged; a client not heard from until the next
    /// ping is disconnected
    #[arg(long, global = true, env = "COLOPHON_SOCKET_PING_INTERVAL", default_value = "20s",
        value_parser = duration, value_name = "TIME")]
    pub socket_ping_interval: Duration,
}

/// How long the database may keep us.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct DatabaseLimits {
    /// Time limit for acquiring a connection from the pool
    #[arg(long, global = true, env = "COLOPHON_POOL_WAIT", default_value = "1s",
        value_parser = duration, value_name = "TIME")]
    pub pool_wait: Duration,
    /// Time limit of a statement (PostgreSQL)
    #[arg(long, global = true, env = "COLOPHON_STATEMENT_TIMEOUT", default_value = "3s",
        value_parser = duration, value_name = "TIME")]
    pub statement_timeout: Duration,
}
