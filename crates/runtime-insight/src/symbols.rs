//! Names of functions and files, as a person reads them.

use std::sync::OnceLock;

/// A function on the way to where a task is parked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "dump", derive(serde::Serialize))]
pub struct Frame {
    /// Its name, without the hash.
    pub function: String,
    /// File and line; none where the program has no line tables.
    pub place: Option<String>,
}

static SOURCE_ROOT: OnceLock<&'static str> = OnceLock::new();

/// Has files below this folder, the application's, be named without it.
pub(crate) fn set_source_root(folder: &'static str) {
    let _ = SOURCE_ROOT.set(folder);
}

/// A symbol without the hash that ends it.
pub(crate) fn without_hash(symbol: &str) -> &str {
    match symbol.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 => name,
        _ => symbol,
    }
}

/// A source file below the application's folder or its crate's.
pub(crate) fn short(path: &str) -> &str {
    // As from the registry, but for the version.
    if path.starts_with(concat!(env!("CARGO_MANIFEST_DIR"), "/src/")) {
        return &path[env!("CARGO_MANIFEST_DIR").len() - env!("CARGO_PKG_NAME").len()..];
    }
    let below = |root: &&str| path.strip_prefix(*root)?.strip_prefix('/');
    if let Some(own) = SOURCE_ROOT.get().and_then(below) {
        return own;
    }
    let after = |marker: &str| path.find(marker).map(|at| &path[at + marker.len()..]);
    if let Some((_, of_crate)) = after("/registry/src/").and_then(|path| path.split_once('/')) {
        return of_crate;
    }
    after("/library/").unwrap_or(path)
}

/// Returns whether a frame is around the work of every task. By its file
/// or, where the program has no line tables, by the path of its function.
pub(crate) fn is_plumbing(frame: &Frame) -> bool {
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
        "core::",
        "dial9",
        "runtime_insight::",
        "start_thread",
        "std::",
        "tokio::runtime::",
        "tokio::task::yield_now",
    ];
    let path = own_path(function);
    PLUMBING.iter().any(|part| path.starts_with(part))
}

/// The path of the type or function that a symbol is of: `<a::B as c::D>::e` is of `a::B`.
fn own_path(symbol: &str) -> &str {
    symbol.trim_start_matches(['<', '&', '*', '(', '['])
}

/// See [`is_plumbing`].
fn is_plumbing_file(place: &str) -> bool {
    const PLUMBING: [&str; 9] = [
        "alloc/src/",
        "core/src/",
        "dial9-tokio-telemetry",
        "runtime-insight/src/",
        "runtime-insight-",
        "std/src/",
        "/src/runtime/dump.rs",
        "/src/runtime/task/trace/",
        "/src/task/yield_now.rs",
    ];
    PLUMBING.iter().any(|part| {
        if part.starts_with('/') { place.contains(part) } else { place.starts_with(part) }
    })
}
