//! Reading variables as the specification has it
//! (opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables): an empty value is
//! one that is not set; an unknown enum value is ignored with a warning. Where the specification
//! ignores a number, a duration, a URL or a file that cannot be used as well, it is an error here.

use std::{cell::RefCell, fmt};

/// A variable with a value that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{variable} cannot be '{value}': {expected}")]
pub struct BadVariable {
    /// The variable.
    pub variable: String,
    /// The value, unless it may be a secret.
    pub value: String,
    /// What it should be.
    pub expected: String,
}

pub type Result<T> = std::result::Result<T, BadVariable>;

/// A value, or a part of one, without effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredValue {
    /// The variable.
    pub variable: String,
    /// The value, unless it may be a secret.
    pub value: String,
    /// Why it has no effect.
    pub reason: &'static str,
}

/// Variables, and what was ignored in them.
pub struct Environment<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    ignored: RefCell<Vec<IgnoredValue>>,
}

impl<'a> Environment<'a> {
    /// Variables that `lookup` finds.
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, ignored: RefCell::default() }
    }

    /// What was ignored, each once.
    pub fn into_ignored(self) -> Vec<IgnoredValue> {
        self.ignored.into_inner()
    }

    /// The trimmed value of a variable, unless it is empty.
    pub fn text(&self, variable: &str) -> Option<String> {
        let value = (self.lookup)(variable)?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A value that must be usable if it is set.
    ///
    /// # Errors
    /// If `parse` fails.
    pub fn get<T, E: fmt::Display>(
        &self,
        variable: &str,
        parse: impl FnOnce(&str) -> std::result::Result<T, E>,
    ) -> Result<Option<T>> {
        let Some(value) = self.text(variable) else { return Ok(None) };
        parse(&value).map(Some).map_err(|expected| BadVariable {
            variable: variable.to_owned(),
            value: shown(variable, &value),
            expected: expected.to_string(),
        })
    }

    /// One of the values that `known` knows, which gets it in lower case.
    pub fn choice<T>(
        &self,
        variable: &str,
        expected: &'static str,
        known: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.text(variable)?;
        let choice = known(&value.to_ascii_lowercase());
        if choice.is_none() {
            self.ignore(variable, &value, expected);
        }
        choice
    }

    /// Those of a comma-separated list that `known` knows, each once.
    pub fn choices<T: PartialEq>(
        &self,
        variable: &str,
        expected: &'static str,
        known: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let mut choices = Vec::new();
        let list = self.text(variable).unwrap_or_default();
        for value in list.split(',').map(str::trim).filter(|value| !value.is_empty()) {
            match known(&value.to_ascii_lowercase()) {
                Some(choice) if !choices.contains(&choice) => choices.push(choice),
                Some(_) => {}
                None => self.ignore(variable, value, expected),
            }
        }
        choices
    }

    /// Whether a variable is true. What is neither true nor false is false, with a warning.
    pub fn flag(&self, variable: &str) -> Option<bool> {
        self.text(variable)?;
        let known = |value: &str| match value {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        Some(self.choice(variable, "must be true or false", known).unwrap_or(false))
    }

    /// Notes that a value has no effect.
    pub fn ignore(&self, variable: &str, value: &str, reason: &'static str) {
        let value = shown(variable, value);
        let ignored = IgnoredValue { variable: variable.to_owned(), value, reason };
        let mut all = self.ignored.borrow_mut();
        if !all.contains(&ignored) {
            all.push(ignored);
        }
    }
}

/// What `read` reads of a signal's own variable, or else of that for all signals.
///
/// # Errors
/// Those of `read`.
pub fn for_signal<T>(
    signal: &str,
    setting: &str,
    read: impl Fn(&str) -> Result<Option<T>>,
) -> Result<Option<T>> {
    match read(&format!("OTEL_EXPORTER_OTLP_{signal}_{setting}"))? {
        Some(value) => Ok(Some(value)),
        None => read(&format!("OTEL_EXPORTER_OTLP_{setting}")),
    }
}

/// Headers are mostly tokens, and a URL may have a password.
fn shown(variable: &str, value: &str) -> String {
    if variable.ends_with("HEADERS") || value.contains('@') {
        "…".to_owned()
    } else {
        value.to_owned()
    }
}
