//! Texts of events and errors.

/// The name of an event. One that nobody named is called after its place in the source, which is
/// nothing to tell the world.
#[must_use]
pub fn event_name(name: &'static str) -> &'static str {
    if name.starts_with("event ") { "log" } else { name }
}

/// An error with the errors behind it, which most do not show by themselves.
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
