//! The names of authors in the cells of a file.

use std::{borrow::Cow, collections::HashSet, sync::LazyLock};

use regex::Regex;

use crate::catalog::{authors::AuthorRef, text};

/// How a column writes the names of several authors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum NameStyle {
    /// Any of the usual separators.
    #[default]
    Mixed,
    /// `Terry Pratchett & Neil Gaiman`, as calibre has them.
    Ampersand,
    /// `Pratchett, Terry|Gaiman, Neil`, as LibraryThing has them.
    Inverted,
}

/// The authors of one book, from its cells. Repeated names count once.
pub(super) fn authors<'a>(cells: impl IntoIterator<Item = (NameStyle, &'a str)>) -> Vec<AuthorRef> {
    let names = cells.into_iter().flat_map(|(style, cell)| style.split(cell));
    let mut keys = HashSet::new();
    names
        .filter(|name| is_name(name) && keys.insert(text::fold(name)))
        .map(AuthorRef::Name)
        .collect()
}

fn is_name(text: &str) -> bool {
    text.contains(char::is_alphanumeric)
}

/// A cell without what is no part of a name: entities of HTML, and keys of Open Library.
fn plain(cell: &str) -> Cow<'_, str> {
    static KEY: LazyLock<Regex> =
        LazyLock::new(|| crate::catalog::import::pattern(r"(?:/authors/|\b)OL[0-9]+A\b"));
    if cell.contains("&amp;") {
        return cell.replace("&amp;", "&").into();
    }
    if cell.contains("OL") { KEY.replace_all(cell, "") } else { cell.into() }
}

impl NameStyle {
    fn split(self, cell: &str) -> Vec<String> {
        let cell = plain(cell);
        match self {
            Self::Mixed => mixed(&without_list_syntax(&cell)),
            Self::Ampersand => cell.split(['&', '\n']).map(text::tidy).collect(),
            Self::Inverted => cell.split(is_hard_separator).map(in_reading_order).collect(),
        }
    }
}

fn is_hard_separator(c: char) -> bool {
    matches!(c, ';' | '|' | '\n')
}

/// `['Ann Lee', 'Bo Ray']` with semicolons in place of the syntax.
fn without_list_syntax(cell: &str) -> Cow<'_, str> {
    static BETWEEN: LazyLock<Regex> =
        LazyLock::new(|| crate::catalog::import::pattern(r#"['"]\s*,\s*['"]"#));
    let list = cell.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match list.map(str::trim) {
        Some(list) if list.starts_with(['\'', '"']) => {
            let names = list.trim_matches(['\'', '"']);
            BETWEEN.replace_all(names, ";")
        }
        Some(list) => list.into(),
        None => cell.into(),
    }
}

/// A semicolon, a vertical bar or a line break separates names; without one, a comma does, except
/// before what belongs to the name in front of it. ` & `, and `/` and `and` between names, separate
/// as well.
fn mixed(cell: &str) -> Vec<String> {
    let separated = cell.contains(is_hard_separator);
    let mut names = Vec::new();
    for part in cell.split(is_hard_separator) {
        let joined: Vec<&str> = part.split(" & ").collect();
        let inverted = separated || joined.len() > 1 && joined.iter().all(|name| is_inverted(name));
        for part in joined {
            if inverted {
                names.extend(at_slashes(part));
            } else {
                names.extend(at_and_of_inverted(part).unwrap_or_else(|| at_commas(part)));
            }
        }
    }
    names.iter().map(|name| text::tidy(name)).collect()
}

/// Whether a name is written `Pratchett, Terry`.
fn is_inverted(name: &str) -> bool {
    matches!(name.split_once(','), Some((_, rest)) if !rest.contains(',') && !is_suffix(rest))
}

/// The names in `Pratchett, Terry and Gaiman, Neil`.
fn at_and_of_inverted(text: &str) -> Option<Vec<String>> {
    let names: Vec<&str> = text.split(" and ").collect();
    let all_inverted = names.len() > 1 && names.iter().all(|name| is_inverted(name));
    all_inverted.then(|| names.into_iter().map(str::to_owned).collect())
}

fn at_commas(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for part in text.split(',').map(str::trim) {
        let part = part.strip_prefix("and ").unwrap_or(part);
        match names.last_mut() {
            Some(name) if is_suffix(part) => *name = format!("{name}, {part}"),
            _ => names.extend(at_and(part).flat_map(at_slashes)),
        }
    }
    names
}

/// Splits `Terry Pratchett and Neil Gaiman`, but not `Bill and Melinda Gates Foundation`.
fn at_and(text: &str) -> impl Iterator<Item = &str> {
    let names: Vec<&str> = text.split(" and ").collect();
    let split = names.iter().all(|name| is_full_name(name));
    if split { names } else { vec![text] }.into_iter()
}

/// Whether a text is two to five words, as persons have them, and not the name of a corporation.
fn is_full_name(text: &str) -> bool {
    const PARTICLES: [&str; 11] =
        ["da", "de", "del", "den", "der", "di", "du", "la", "le", "van", "von"];
    let is_part = |word: &str| {
        word.starts_with(|c: char| c.is_alphabetic() && !c.is_lowercase())
            || PARTICLES.contains(&word)
    };
    (2..=5).contains(&text.split_whitespace().count()) && text.split_whitespace().all(is_part)
}

/// Splits `Homer/Robert Fagles`, but not `AC/DC`.
fn at_slashes(text: &str) -> Vec<String> {
    let is_abbreviation = |part: &str| part.chars().all(|c| c.is_ascii_uppercase() || c == '.');
    let mut names: Vec<String> = Vec::new();
    let mut before = "";
    for part in text.split('/') {
        match names.last_mut() {
            Some(name) if is_abbreviation(before) && is_abbreviation(part) => {
                *name = format!("{name}/{part}");
            }
            _ => names.push(part.to_owned()),
        }
        before = part;
    }
    names
}

/// `Pratchett, Terry` as `Terry Pratchett`, and `King, Martin Luther, Jr.` with its suffix last.
fn in_reading_order(name: &str) -> String {
    let parts: Vec<String> = name.split(',').map(text::tidy).collect();
    match parts.as_slice() {
        [last, first] if !is_suffix(first) => text::tidy(&format!("{first} {last}")),
        [last, first, suffix] | [last, suffix, first] if is_suffix(suffix) => {
            format!("{first} {last}, {suffix}")
        }
        _ => text::tidy(name),
    }
}

fn is_suffix(part: &str) -> bool {
    const SUFFIXES: [&str; 14] = [
        "jr", "sr", "ii", "iii", "iv", "phd", "md", "mfa", "esq", "inc", "ltd", "llc", "dds", "obe",
    ];
    let plain: String = part.chars().filter(|c| c.is_alphanumeric()).collect();
    SUFFIXES.contains(&plain.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(style: NameStyle, cell: &str) -> Vec<String> {
        let name = |author| match author {
            AuthorRef::Name(name) => name,
            AuthorRef::Id(_) => unreachable!("cells hold names"),
        };
        authors([(style, cell)]).into_iter().map(name).collect()
    }

    fn names(cell: &str) -> Vec<String> {
        names_of(NameStyle::Mixed, cell)
    }

    #[test]
    fn splits_a_cell_with_several_authors() {
        assert_eq!(names("J.K. Rowling, Mary GrandPré"), ["J.K. Rowling", "Mary GrandPré"]);
        assert_eq!(names("Martin Luther King, Jr., Clayborne Carson").len(), 2);
        assert_eq!(names("Marx, Karl; Engels, Friedrich"), ["Marx, Karl", "Engels, Friedrich"]);
        assert_eq!(names("Ann Lee, ann  lee,, "), ["Ann Lee"]);
        for cell in ["", "-", "/authors/OL12A", "['OL12A']", "OL1A, OL2A"] {
            assert!(names(cell).is_empty(), "{cell}");
        }
    }

    #[test]
    fn splits_at_every_usual_separator() {
        for cell in [
            "Terry Pratchett & Neil Gaiman",
            "Terry Pratchett &amp; Neil Gaiman",
            "Terry Pratchett/Neil Gaiman",
            "Terry Pratchett / Neil Gaiman",
            "Terry Pratchett and Neil Gaiman",
            "Terry Pratchett, and Neil Gaiman",
            "Terry Pratchett|Neil Gaiman",
            "Terry Pratchett; Neil Gaiman;",
            "Terry Pratchett\nNeil Gaiman",
            "['Terry Pratchett', 'Neil Gaiman']",
            "[\"Terry Pratchett\",\"Neil Gaiman\"]",
        ] {
            assert_eq!(names(cell), ["Terry Pratchett", "Neil Gaiman"], "{cell}");
        }
        assert_eq!(names("Ann Lee, Bo Ray & Cy Doe"), ["Ann Lee", "Bo Ray", "Cy Doe"]);
        assert_eq!(names("Lee, Ann & Ray, Bo"), ["Lee, Ann", "Ray, Bo"]);
        assert_eq!(names("Lee, Ann and Ray, Bo"), ["Lee, Ann", "Ray, Bo"]);
        assert_eq!(names("Homer/Robert Fagles"), ["Homer", "Robert Fagles"]);
    }

    #[test]
    fn keeps_names_together() {
        for name in ["Bill and Melinda Gates", "Simon and Schuster", "AC/DC", "Standards & more"] {
            let expected = name.split(" & ").collect::<Vec<_>>();
            assert_eq!(names(name), expected);
        }
        let calibre = |cell| names_of(NameStyle::Ampersand, cell);
        assert_eq!(calibre("Lee, Ann & Bo Ray and Co"), ["Lee, Ann", "Bo Ray and Co"]);
    }

    #[test]
    fn turns_inverted_names() {
        let library_thing = |cell| names_of(NameStyle::Inverted, cell);
        assert_eq!(
            library_thing("Pratchett, Terry|King, Martin Luther, Jr.|Plato|Davis, Jr., Sammy"),
            ["Terry Pratchett", "Martin Luther King, Jr.", "Plato", "Sammy Davis, Jr."]
        );
    }
}
