//! What is common to the validation of inputs: every broken rule is reported, not only the first.

use crate::{
    catalog::text,
    error::{Error, Result, Violation},
};

/// A change of one field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// As it is.
    #[default]
    Keep,
    /// To nothing.
    Clear,
    /// To this.
    Set(T),
}

impl<T> Patch<T> {
    /// The same change of another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            Self::Set(value) => Patch::Set(f(value)),
        }
    }

    /// What stands afterwards where `old` stood before.
    pub fn apply(self, old: Option<T>) -> Option<T> {
        match self {
            Self::Keep => old,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// Collects the violations of an input.
#[derive(Default)]
pub struct Validator(Vec<Violation>);

impl Validator {
    /// Reports a violation by a field.
    pub fn fail<T>(&mut self, field: &str, message: impl Into<String>) -> Option<T> {
        self.report(Violation::new([field], message));
        None
    }

    /// Reports a violation.
    pub fn report(&mut self, violation: Violation) {
        self.0.push(violation);
    }

    /// The value, if there was no violation.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all violations.
    pub fn finish<T>(self, value: T) -> Result<T> {
        if self.0.is_empty() { Ok(value) } else { Err(Error::Invalid(self.0)) }
    }

    /// A text of 1 to `max` characters, with its spaces tidied.
    pub fn text(&mut self, field: &str, value: &str, max: usize) -> String {
        self.text_at([field], value, max)
    }

    /// As [`Validator::text`], of a field at a path.
    pub fn text_at<const N: usize>(&mut self, path: [&str; N], value: &str, max: usize) -> String {
        let tidy = text::tidy(value);
        let length = tidy.chars().count();
        if length == 0 || length > max {
            let message = format!("must have 1 to {max} characters, not {length}");
            self.report(Violation::new(path, message));
        }
        tidy
    }
}
