//! Texts of events and errors.

/// Returns the name of an event, if it has one: `tracing` names others by their place in the source.
#[must_use]
pub fn event_name(name: &'static str) -> Option<&'static str> {
    Some(name).filter(|name| !name.starts_with("event "))
}

/// Returns the text of an error with those of its sources, which most errors leave out.
#[must_use]
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}
