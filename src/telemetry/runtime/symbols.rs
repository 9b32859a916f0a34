//! The names of functions, as a person wants to read them.

use serde::Serialize;

/// A function on the way to where a task is parked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// Its name.
    pub function: String,
    /// File and line.
    pub place: Option<String>,
}

impl Frame {
    /// Whether the function is the service's own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        match &self.place {
            Some(place) => place.starts_with("src/"),
            None => own_path(&self.function).starts_with("colophon::"),
        }
    }
}

/// A symbol without the hash that ends it.
#[must_use]
pub fn without_hash(symbol: &str) -> &str {
    match symbol.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 => name,
        _ => symbol,
    }
}

/// A source file as one knows it: below the repository, or with its crate's name.
#[must_use]
pub fn short(path: &str) -> &str {
    if let Some(own) = path.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/")) {
        return own;
    }
    let after = |marker: &str| path.find(marker).map(|at| &path[at + marker.len()..]);
    if let Some((_, of_crate)) = after("/registry/src/").and_then(|path| path.split_once('/')) {
        return of_crate;
    }
    after("/library/").unwrap_or(path)
}

/// Whether a frame is around the work of every task, and says nothing about this one. By its file
/// or, where the program has no line tables, by the path of its function.
#[must_use]
pub fn is_plumbing(frame: &Frame) -> bool {
    match &frame.place {
        Some(place) => is_plumbing_file(place) || frame.function == "__rust_try",
        None => is_plumbing_path(&frame.function),
    }
}

/// See [`is_plumbing`].
fn is_plumbing_path(function: &str) -> bool {
    const PLUMBING: [&str; 11] = [
        "__rust",
        "(unknown)",
        "alloc::",
        "clone3",
        "colophon::telemetry::runtime::",
        "core::",
        "dial9",
        "start_thread",
        "std::",
        "tokio::runtime::",
        "tokio::task::yield_now",
    ];
    let path = own_path(function);
    PLUMBING.iter().any(|part| path.starts_with(part))
}

/// The path of the type or function that a symbol is of: `<a::B as c::D>::e` is of `a::B`.
#[must_use]
pub fn own_path(symbol: &str) -> &str {
    symbol.trim_start_matches(['<', '&', '*', '(', '['])
}

/// See [`is_plumbing`].
fn is_plumbing_file(place: &str) -> bool {
    const PLUMBING: [&str; 8] = [
        "alloc/src/",
        "core/src/",
        "dial9-tokio-telemetry",
        "src/telemetry/runtime/",
        "std/src/",
        "/src/runtime/dump.rs",
        "/src/runtime/task/trace/",
        "/src/task/yield_now.rs",
    ];
    PLUMBING.iter().any(|part| {
        if part.starts_with('/') { place.contains(part) } else { place.starts_with(part) }
    })
}
