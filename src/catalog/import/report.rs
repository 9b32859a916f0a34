//! What an import or a check reports.

use crate::catalog::import::{
    columns::Field,
    reader::Layout,
    row::{Row, UnreadValue},
};

/// What became of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Books that were new.
    pub added: u64,
    /// Books that the row changed.
    pub updated: u64,
    /// Books that were already so.
    pub unchanged: u64,
    /// Rows that did not go in; each was reported with its line and reason.
    pub refused: u64,
    /// Values that rows went in without.
    pub unread: UnreadCounts,
}

/// The rows of a file that is checked and not imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckSummary {
    /// Rows that can go in.
    pub accepted: u64,
    /// Rows that cannot; each was reported with its line and reason.
    pub refused: u64,
    /// Values that rows would go in without.
    pub unread: UnreadCounts,
}

/// How many rows have a value that cannot be read, for each field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnreadCounts([u64; Field::ALL.len()]);

impl UnreadCounts {
    /// How many rows have no readable value for this field where the file has something.
    #[must_use]
    pub const fn of(&self, field: Field) -> u64 {
        self.0[field as usize]
    }

    pub(super) fn add(&mut self, row: &Row, report: &mut impl Report) {
        for unread in &row.unread {
            self.0[unread.field as usize] += 1;
            report.unread(row.line, unread);
        }
    }
}

/// Receives what happens during an import.
pub trait Report {
    /// The header row was read; no row has been yet.
    fn layout(&mut self, layout: &Layout);
    /// The row that begins at `line` did not go in.
    fn refused(&mut self, line: u64, reason: &str);
    /// The row that begins at `line` went in without this value.
    fn unread(&mut self, line: u64, unread: &UnreadValue);
}
