//! Attributes that no released convention has. Those of GraphQL are from the draft of the GraphQL
//! working group (<https://github.com/open-telemetry/semantic-conventions/pull/3515>) where it has them.

/// The hash of the operation's document.
pub const OPERATION_HASH: &str = "graphql.operation.hash";
/// Whether parsing and validation were spared, since the document was known.
pub const OPERATION_CACHED: &str = "graphql.operation.cached";
/// The coordinate of the operation's root field, such as `Query.books`.
pub const ROOT_FIELD: &str = "graphql.root_field";
/// The number of errors in the response.
pub const ERROR_COUNT: &str = "graphql.error.count";
/// Which phase of an operation a span or duration is of.
pub const PROCESSING_TYPE: &str = "graphql.processing.type";
/// A field's name.
pub const FIELD_NAME: &str = "graphql.selection.field.name";
/// The type that has the field.
pub const FIELD_PARENT: &str = "graphql.selection.field.parent_type";
/// `Type.field`.
pub const FIELD_COORDINATE: &str = "graphql.selection.field.coordinate";
/// The response path without list indices.
pub const SELECTION_PATH: &str = "graphql.selection.path";
/// How often the field was resolved.
pub const FIELD_CALLS: &str = "graphql.field.calls";
/// The longest of the calls, in seconds.
pub const FIELD_DURATION_MAX: &str = "graphql.field.duration.max";
/// How many of the calls failed.
pub const FIELD_ERRORS: &str = "graphql.field.errors";
/// The name of a DataLoader.
pub const DATALOADER: &str = "graphql.dataloader.name";
/// The number of keys in a batch.
pub const BATCH_SIZE: &str = "graphql.dataloader.batch.size";
/// Why a subscription ended.
pub const SUBSCRIPTION_END: &str = "graphql.subscription.end_reason";
/// The number of events that were delivered to a subscription.
pub const SUBSCRIPTION_EVENTS: &str = "graphql.subscription.events";
/// The number of events that a subscription's client missed.
pub const SUBSCRIPTION_DROPPED: &str = "graphql.subscription.dropped";
/// The number of subscriptions that an event is executed for.
pub const SUBSCRIPTION_COUNT: &str = "graphql.subscription.count";
/// Why a WebSocket was closed.
pub const CLOSE_REASON: &str = "websocket.close.reason";
/// What a task's time was spent on.
pub const TASK_STATE: &str = "tokio.task.state";
