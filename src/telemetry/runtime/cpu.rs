//! CPU profile.
