//! The arguments of `colophon import`.

use std::path::PathBuf;

use clap::Args;
use encoding_rs::Encoding;

use crate::catalog::import::{Mapping, ReadOptions};

/// What to import and how to read it.
#[derive(Clone, Debug, Args)]
pub struct ImportSettings {
    /// Files to import; - is standard input
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// The column for a field: title, authors, isbn, isbn13, year, language or pages
    ///
    /// Given several times for one field, the first filled column counts; of authors all columns
    /// count. An empty name, as in --map year=, leaves the field out.
    #[arg(long, value_name = "FIELD=COLUMN")]
    pub map: Vec<Mapping>,
    /// The encoding of files without a byte order mark, such as windows-1252 or utf-16le [default:
    /// utf-8]
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    pub encoding: Option<&'static Encoding>,
    /// The delimiter: comma, tab, semicolon, pipe or another ASCII character [default: detected in
    /// the header row, or what a first line such as sep=; says]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<u8>,
    /// Read the files and report columns and rows as an import does, but write nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl ImportSettings {
    /// How to read the files.
    #[must_use]
    pub fn read_options(&self) -> ReadOptions {
        let Self { map, encoding, delimiter, .. } = self;
        ReadOptions { mapping: Mapping::merged(map), encoding: *encoding, delimiter: *delimiter }
    }
}

/// An encoding by a name of the Encoding Standard, or one like it, such as `Latin-1`.
fn encoding(name: &str) -> Result<&'static Encoding, String> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    Encoding::for_label_no_replacement(name.as_bytes())
        .or_else(|| Encoding::for_label_no_replacement(plain.as_bytes()))
        .ok_or_else(|| {
            "must be the name of an encoding, such as utf-8, utf-16le, latin1 or windows-1252"
                .to_owned()
        })
}

/// A delimiter by its name or itself.
fn delimiter(text: &str) -> Result<u8, String> {
    match text.to_ascii_lowercase().as_str() {
        "comma" => Ok(b','),
        "tab" | "\\t" => Ok(b'\t'),
        "semicolon" => Ok(b';'),
        "pipe" => Ok(b'|'),
        _ => match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
            _ => Err("must be comma, tab, semicolon, pipe or one ASCII character".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_usual_names_of_encodings() {
        for (name, expected) in [
            ("latin-1", "windows-1252"),
            ("ISO-8859-1", "windows-1252"),
            ("ISO_8859_1", "windows-1252"),
            ("cp1252", "windows-1252"),
            ("Windows-1252", "windows-1252"),
            ("UTF-16", "UTF-16LE"),
            ("utf_16_be", ""),
            ("utf-16be", "UTF-16BE"),
            ("UTF8", "UTF-8"),
            ("klingon", ""),
        ] {
            let found = encoding(name).map(Encoding::name).unwrap_or_default();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn accepts_names_of_delimiters() {
        for (text, byte) in
            [("tab", b'\t'), ("\\t", b'\t'), ("\t", b'\t'), (";", b';'), ("Pipe", b'|')]
        {
            assert_eq!(delimiter(text), Ok(byte), "{text}");
        }
        for wrong in ["", "ab", "\"", "é"] {
            assert!(delimiter(wrong).is_err(), "{wrong}");
        }
    }
}
