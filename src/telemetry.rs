//! What the service tells about itself. One source, one file; this part knows nothing of books.

pub mod database;
pub mod http;
pub mod logs;
