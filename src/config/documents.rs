//! Documents that are known beforehand, or by their hash alone.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::values::switch;

/// Documents that are known beforehand, or by their hash alone.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Documents")]
pub struct DocumentSettings {
    /// A manifest of trusted documents: JSON, an object of texts by id, or Apollo's form
    #[arg(long, global = true, env = "COLOPHON_TRUSTED_DOCUMENTS", value_name = "FILE")]
    pub trusted_documents: Option<PathBuf>,
    /// Reject all other documents
    #[arg(long, global = true, env = "COLOPHON_ONLY_TRUSTED", value_parser = switch)]
    pub only_trusted: bool,
    /// Accept automatic persisted queries: a document sent before, by its hash; not with
    /// --only-trusted
    #[arg(long, global = true, env = "COLOPHON_AUTOMATIC_PERSISTED_QUERIES",
        default_value = "true", value_parser = switch, action = ArgAction::Set,
        value_name = "true|false")]
    pub automatic_persisted_queries: bool,
}
