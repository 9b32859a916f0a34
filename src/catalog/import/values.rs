//! The optional values of a book in the forms that files have them in.

use std::{collections::HashMap, sync::LazyLock};

use isolang::Language;
use regex::Regex;

use crate::catalog::{
    books::{
        input::{self, MAX_PAGES, MIN_YEAR},
        isbn,
    },
    import::pattern,
    language,
};

/// A cell has a value that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The value of a cell, or `None` where the cell says that the book has none.
pub(super) type Reading<T> = std::result::Result<Option<T>, Unreadable>;

/// What a value is read from: a cell without what spreadsheets put around it. `None` if it has
/// nothing, or one of the usual words for that.
fn content(cell: &str) -> Option<&str> {
    const WORDS: [&str; 8] = ["n/a", "na", "nan", "none", "null", "\\n", "unknown", "undefined"];
    let cell = cell.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\'' | '"'));
    let is_none = !cell.contains(char::is_alphanumeric)
        || WORDS.iter().any(|word| cell.eq_ignore_ascii_case(word));
    (!is_none).then_some(cell)
}

fn matched<'a>(pattern: &Regex, text: &'a str) -> Option<&'a str> {
    pattern.captures(text)?.iter().skip(1).flatten().next().map(|found| found.as_str())
}

/// An ISBN, which may have something around it.
///
/// Spreadsheets turn an ISBN-13 into `9.78043902348e+12`, which has lost digits; even where
/// all thirteen are there, a check digit finds only nine of ten mistakes, so that notation is
/// never trusted.
pub(super) fn isbn(cell: &str) -> Reading<String> {
    let Some(cell) = content(cell).filter(|cell| !has_no_isbn(cell)) else { return Ok(None) };
    let number = cell.strip_suffix(".0").unwrap_or(cell);
    isbn::find(cell)
        .or_else(|| isbn::parse_isbn10_without_zeros(number))
        .map(Some)
        .ok_or(Unreadable)
}

/// Whether a cell has no ISBN: many files write zeros for "none", some the label alone.
fn has_no_isbn(cell: &str) -> bool {
    let mut digits = cell.chars().filter(|c| c.is_alphanumeric());
    digits.all(|c| c == '0') || cell.trim_end_matches([':', ' ']).eq_ignore_ascii_case("isbn")
}

/// An ISBN from a column that has identifiers of other kinds too. Those are no values.
pub(super) fn isbn_among_identifiers(cell: &str) -> Reading<String> {
    let is_other = content(cell).is_none_or(|cell| {
        let digits = cell.bytes().filter(u8::is_ascii_digit).count();
        let letters = cell.chars().filter(|c| c.is_alphabetic()).count();
        digits < 9 || letters > 4
    });
    if is_other { Ok(None) } else { isbn(cell) }
}

/// A whole number that may be written `2008.0`.
fn whole_number(text: &str) -> Option<i32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    fraction.bytes().all(|b| b == b'0').then(|| whole.parse().ok()).flatten()
}

/// A number of pages, such as `412`, `412 p.`, `xii, 412 pages` or `1,024`.
pub(super) fn pages(cell: &str) -> Reading<i32> {
    let Some(cell) = content(cell) else { return Ok(None) };
    match cell.parse().ok().or_else(|| number_of_pages(cell)) {
        Some(0) => Ok(None),
        Some(pages) if (1..=MAX_PAGES).contains(&pages) => Ok(Some(pages)),
        _ => Err(Unreadable),
    }
}

fn number_of_pages(cell: &str) -> Option<i32> {
    static THOUSANDS: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^([0-9]{1,3})[,.'’\s]([0-9]{3})(\D|$)"));
    static BEFORE_UNIT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)(?:^|[^0-9.,'’])([0-9]{1,3}[,.'’\s][0-9]{3}|[0-9]+)(?:\.0+)?\s*(?:p|pp|pg|pgs|page|pages|s|seiten?|sider|sidor|sivua|pagine|p[áa]ginas|p[áa]gs?|str|стр|с|頁|页|ページ)(?:\.|\b|$)",
        )
    });
    static AFTER_UNIT: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)^(?:p|pp|pages|s)\.?:?\s*([0-9]+)$"));
    static ABOUT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)^(?:ca|c|approx|about)\.?\s*"));
    // Such as `viii, 300, 24 p.`: none of them is the number of pages.
    static SEVERAL: LazyLock<Regex> = LazyLock::new(|| pattern(r"[0-9]\]?,\s+\[?[0-9]"));
    let cell = ABOUT.replace(cell, "");
    let plain = cell.trim_matches(|c: char| !c.is_alphanumeric() && c != '-');
    if SEVERAL.is_match(plain) {
        return None;
    }
    let with_thousands = |text: &str| {
        let joined = THOUSANDS.replace(text, "$1$2$3");
        whole_number(&joined).filter(|pages| *pages <= MAX_PAGES)
    };
    with_thousands(plain)
        .or_else(|| whole_number(plain))
        .or_else(|| with_thousands(matched(&BEFORE_UNIT, plain)?))
        .or_else(|| whole_number(matched(&AFTER_UNIT, plain)?))
}

/// A year, by itself or in a date of any usual form.
pub(super) fn year(cell: &str) -> Reading<i32> {
    /// What calibre, MySQL and .NET write for a date that is not known.
    const UNKNOWN: [&str; 3] = ["0101-01-01", "0000-00-00", "0001-01-01"];
    let Some(cell) = content(cell) else { return Ok(None) };
    if UNKNOWN.iter().any(|date| cell.starts_with(date)) {
        return Ok(None);
    }
    let year = whole_number(cell)
        .or_else(|| with_comma(cell))
        .or_else(|| before_common_era(cell))
        .or_else(|| in_date(cell));
    match year {
        Some(0) => Ok(None),
        Some(year) if (MIN_YEAR..=input::max_year()).contains(&year) => Ok(Some(year)),
        _ => match compact_date(cell) {
            Some(year) => Ok(Some(year)),
            None => Err(Unreadable),
        },
    }
}

/// The year in `2,008`.
fn with_comma(cell: &str) -> Option<i32> {
    static YEAR: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[12],[0-9]{3}$"));
    YEAR.is_match(cell).then(|| cell.replace(',', "").parse().ok()).flatten()
}

/// The year in `750 BC`.
fn before_common_era(cell: &str) -> Option<i32> {
    static YEAR: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"(?i)^\D*?([0-9]{1,4})\s*(?:b\.?\s?c\.?(?:\s?e\.?)?|v\.?\s?chr\.?)\W*$")
    });
    matched(&YEAR, cell)?.parse::<i32>().ok().map(|year| -year)
}

/// The year in `20080914`.
fn compact_date(cell: &str) -> Option<i32> {
    static DATE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^([12][0-9]{3})(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])$"));
    let year = matched(&DATE, cell)?.parse().ok()?;
    (year <= input::max_year()).then_some(year)
}

/// The year of an ISO date or, in any other text, the first number of four digits that can be one.
fn in_date(cell: &str) -> Option<i32> {
    static ISO: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^([+-]?[0-9]{4})-[0-9]{1,2}(?:-[0-9]{1,2})?(?:[T\s].*)?$"));
    static OTHER_ERA: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"(?i)^(?:a\.?d\.?\s*([0-9]{1,4})|([0-9]{1,4})\s*(?:a\.?d\.?|c\.?e\.?))$")
    });
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"[0-9]+"));
    if is_decimal(cell) {
        return None;
    }
    if let Some(year) = matched(&ISO, cell).or_else(|| matched(&OTHER_ERA, cell)) {
        return year.parse().ok();
    }
    let numbers = NUMBER.find_iter(cell).map(|found| found.as_str());
    let mut years = numbers.filter(|digits| digits.len() == 4).filter_map(|year| year.parse().ok());
    years.find(|year| (1000..=input::max_year()).contains(year))
}

/// Whether a cell is a number with a fraction, which is no year, and not `05.1990`.
fn is_decimal(cell: &str) -> bool {
    static MONTH: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"^(?:(?:0?[1-9]|1[0-2])\.[0-9]{4}|[0-9]{4}\.(?:0[1-9]|1[0-2]))$")
    });
    cell.parse::<f64>().is_ok() && !MONTH.is_match(cell)
}

/// A language as a tag (`en-US`), a code of two or three letters, a locale (`en_US.UTF-8`), an
/// English name or its own name for itself. Of several languages the first.
pub(super) fn language(cell: &str) -> Reading<String> {
    const NOT_DETERMINED: [&str; 3] = ["und", "zxx", "mis"];
    let Some(cell) = content(cell) else { return Ok(None) };
    // Open Library's key.
    let cell = cell.trim_matches(['[', ']', '\'', '"']).trim_start_matches("/languages/");
    if NOT_DETERMINED.iter().any(|code| cell.eq_ignore_ascii_case(code)) {
        return Ok(None);
    }
    let first = || cell.split([';', '|', '/', '&', '\n', ',']).next();
    one_language(cell).or_else(|| one_language(first()?)).map(Some).ok_or(Unreadable)
}

fn one_language(text: &str) -> Option<String> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\'' | '"'));
    // A locale's encoding and modifier say nothing about the language.
    let locale = text.split(['.', '@']).next().unwrap_or_default().replace('_', "-");
    language::tag(&locale).or_else(|| language_by_name(text))
}

/// The language of a name, also of `Greek, Ancient`, `English (Middle)` and `Chinese (Simplified)`.
fn language_by_name(name: &str) -> Option<String> {
    static QUALIFIED: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^(.+?)\s*(?:,\s*|\()([^()]+?)\s*\)?$"));
    let tag = |language: Language| language::tag(language.to_639_3());
    if let Some(language) = named(name) {
        return tag(language);
    }
    let parts = QUALIFIED.captures(name)?;
    let qualified = named(&format!("{} {}", &parts[2], &parts[1]));
    qualified.or_else(|| named(&parts[1]).filter(|_| name.ends_with(')'))).and_then(tag)
}

fn named(name: &str) -> Option<Language> {
    static BY_NAME: LazyLock<HashMap<String, Language>> = LazyLock::new(languages_by_name);
    // Some languages are called by a letter, but so is much else.
    let name = name.trim().to_lowercase();
    BY_NAME.get(&name).copied().filter(|_| name.chars().nth(1).is_some())
}

/// The languages by their names in lower case. Of several with one name, one that has a code of two
/// letters; English names before others.
fn languages_by_name() -> HashMap<String, Language> {
    // Names that ISO 639-3 does not have, or not so.
    let usual = [("greek", Language::Ell), ("farsi", Language::Fas), ("mandarin", Language::Zho)];
    let mut by_name: HashMap<String, Language> =
        usual.into_iter().map(|(name, language)| (name.to_owned(), language)).collect();
    let (common, rare): (Vec<_>, Vec<_>) =
        isolang::languages().partition(|language| language.to_639_1().is_some());
    let all = || common.iter().chain(&rare);
    let english = all().map(|language| (language.to_name(), language));
    let own = all().filter_map(|language| Some((language.to_autonym()?, language)));
    for (name, language) in english.chain(own) {
        by_name.entry(name.to_lowercase()).or_insert(*language);
    }
    by_name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_isbns_or_leaves_them_out() {
        let right = Ok(Some("9780439023481".to_owned()));
        for cell in
            ["=\"9780439023481\"", "9780439023481.0", "439023483", "439023483.0", "'439023483"]
        {
            assert_eq!(isbn(cell), right, "{cell}");
        }
        for cell in ["", "=\"\"", "[]", "-", "0000000000", "0.0", "ISBN:", "nan"] {
            assert_eq!(isbn(cell), Ok(None), "{cell}");
        }
        for cell in ["9.780439023481e+12", "9.78e+12", "9780439023482", "B002V1NWYQ"] {
            assert_eq!(isbn(cell), Err(Unreadable), "{cell}");
        }
        assert_eq!(isbn_among_identifiers("B002V1NWYQ"), Ok(None));
        assert_eq!(isbn_among_identifiers("9780439023482"), Err(Unreadable));
        assert_eq!(isbn_among_identifiers("9780439023481"), right);
    }

    #[test]
    fn reads_years() {
        for (cell, expected) in [
            ("2008", 2008),
            ("2008.0", 2008),
            ("'2008", 2008),
            ("2,008", 2008),
            ("-750.0", -750),
            ("750 BC", -750),
            ("c. 380 B.C.E.", -380),
            ("AD 98", 98),
            ("98 CE", 98),
            ("2008-09-14", 2008),
            ("0098-01-01", 98),
            ("1990-05", 1990),
            ("1990-05-01T00:00:00+00:00", 1990),
            ("1990-05-01 00:00:00", 1990),
            ("1990-05-01T00:00:00.000Z", 1990),
            ("9/16/2006", 2006),
            ("14/09/2008", 2008),
            ("14.09.2008", 2008),
            ("14-09-2008", 2008),
            ("05/1990", 1990),
            ("05.1990", 1990),
            ("2008.09", 2008),
            ("2008/09/14", 2008),
            ("2008.09.14", 2008),
            ("20080914", 2008),
            ("March 1, 2008", 2008),
            ("1st March 2008", 2008),
            ("14. September 2008", 2008),
            ("Sept. 2008", 2008),
            ("01-Mar-2008", 2008),
            ("Sat Sep 16 00:00:00 +0000 2006", 2006),
            ("Saturday, September 16, 2006 12:00 AM", 2006),
            ("2008年9月14日", 2008),
            ("c1998", 1998),
            ("©1998", 1998),
            ("ca. 1998", 1998),
            ("[1998?]", 1998),
            ("1998-2001", 1998),
            ("1998/99", 1998),
            ("2008, c2007", 2008),
            ("HarperTorch (2006)", 2006),
        ] {
            assert_eq!(year(cell), Ok(Some(expected)), "{cell}");
        }
        for cell in ["", "0", "0.0", "-", "0101-01-01T00:00:00+00:00", "0000-00-00", "unknown"] {
            assert_eq!(year(cell), Ok(None), "{cell}");
        }
        for cell in
            ["2008.5", "MMVIII", "3000", "39705", "é-é-123456", "9/16/06", "1e3", "12345678"]
        {
            assert_eq!(year(cell), Err(Unreadable), "{cell}");
        }
    }

    #[test]
    fn reads_pages() {
        for (cell, expected) in [
            ("412", 412),
            ("412.0", 412),
            ("412 ", 412),
            ("412 p.", 412),
            ("412p", 412),
            ("412 pp", 412),
            ("412 Pages", 412),
            ("412 S.", 412),
            ("412 Seiten", 412),
            ("[412]", 412),
            ("~412", 412),
            ("p. 412", 412),
            ("xii, 412 p.", 412),
            ("412 p. ; 23 cm", 412),
            ("1 v. (412 p.)", 412),
            ("ca. 412 p.", 412),
            ("c412", 412),
            ("412 págs.", 412),
            ("1,024", 1024),
            ("1.024", 1024),
            ("1 024", 1024),
            ("1\u{a0}024 pages", 1024),
            ("1,024 p.", 1024),
            ("412.000", 412),
            ("'412", 412),
        ] {
            assert_eq!(pages(cell), Ok(Some(expected)), "{cell}");
        }
        for cell in ["", "0", "0.0", "N/A", "?"] {
            assert_eq!(pages(cell), Ok(None), "{cell}");
        }
        for cell in
            ["many", "viii, 300, 24 p.", "2 v.", "-5", "100001", "412.5", "23 cm", "99999999999"]
        {
            assert_eq!(pages(cell), Err(Unreadable), "{cell}");
        }
    }

    #[test]
    fn reads_languages() {
        for (cell, expected) in [
            ("en", "en"),
            ("eng", "en"),
            ("EN-us", "en-US"),
            ("en_US", "en-US"),
            ("en_US.UTF-8", "en-US"),
            ("de_DE@euro", "de-DE"),
            ("zh_Hans_CN", "zh-Hans-CN"),
            ("English", "en"),
            ("english", "en"),
            ("GERMAN", "de"),
            ("Deutsch", "de"),
            ("Français", "fr"),
            ("español", "es"),
            ("русский", "ru"),
            ("Greek", "el"),
            ("Ancient Greek", "grc"),
            ("Greek, Ancient", "grc"),
            ("English (Middle)", "enm"),
            ("Portuguese (Brazil)", "pt"),
            ("Chinese (Simplified)", "zh"),
            ("Spanish; Castilian", "es"),
            ("English, French", "en"),
            ("eng, deu", "en"),
            ("['eng']", "en"),
            ("/languages/eng", "en"),
            ("Swahili", "sw"),
            ("Malay", "ms"),
            ("Nepali", "ne"),
            ("Norwegian", "no"),
            ("Persian", "fa"),
        ] {
            assert_eq!(language(cell), Ok(Some(expected.to_owned())), "{cell}");
        }
        for cell in ["", "--", "und", "N/A", "Unknown"] {
            assert_eq!(language(cell), Ok(None), "{cell}");
        }
        for cell in ["Klingonese", "12", "e"] {
            assert_eq!(language(cell), Err(Unreadable), "{cell}");
        }
    }

    proptest! {
        #[test]
        fn reads_only_values_that_a_book_can_have(cell in "[0-9.,/ -]{0,12}|\\PC{0,20}") {
            if let Ok(Some(year)) = year(&cell) {
                prop_assert!((MIN_YEAR..=input::max_year()).contains(&year));
            }
            if let Ok(Some(pages)) = pages(&cell) {
                prop_assert!((1..=MAX_PAGES).contains(&pages));
            }
            if let Ok(Some(tag)) = language(&cell) {
                prop_assert_eq!(language::tag(&tag), Some(tag));
            }
        }
    }
}
