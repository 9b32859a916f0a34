//! International Standard Book Numbers (ISO 2108).

/// The thirteen digits of the ISBN in `text`, which may be an ISBN-10 or an ISBN-13,
/// with hyphens or spaces. `None` where a digit is missing or the check digit is wrong, and
/// for a row of zeros, which many files write for "none".
#[must_use]
pub fn parse(text: &str) -> Option<String> {
    let digits: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'-' | b' ')).collect::<Vec<_>>();
    match digits.len() {
        10 => from_isbn10(&digits),
        13 => from_isbn13(&digits),
        _ => None,
    }
}

/// Like [`parse`], for an ISBN-10 that a spreadsheet took for a number: its leading
/// zeros, two at most, are put back. The check digit must still be right.
#[must_use]
pub fn parse_isbn10_without_zeros(text: &str) -> Option<String> {
    let text = text.trim();
    (8..=10).contains(&text.len()).then(|| format!("{text:0>10}")).as_deref().and_then(parse)
}

/// The thirteen digits of the first ISBN in a text that has more than the ISBN, such as
/// `="9780439023481"`, `[0439023483]` or `ISBN 0-439-02348-3 (pbk.)`.
///
/// An ISBN begins and ends where a word does, so digits of a longer number are never taken
/// for one.
#[must_use]
pub fn find(text: &str) -> Option<String> {
    let plain: String = text.chars().filter_map(plain_char).collect();
    plain.split(|c| !is_word_char(c)).find_map(|part| {
        let words = part.split_whitespace().filter(|word| *word != "-").map(without_label);
        let words: Vec<&str> = words.collect();
        words.split(|word| !is_number(word)).find_map(first_valid)
    })
}

/// A character with the dashes of Unicode as hyphens and without what cannot be seen.
fn plain_char(c: char) -> Option<char> {
    match c {
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => None,
        '\u{2010}'..='\u{2015}'
        | '\u{2043}'
        | '\u{2212}'
        | '\u{fe58}'
        | '\u{fe63}'
        | '\u{ff0d}' => Some('-'),
        _ => Some(c),
    }
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c.is_whitespace() || matches!(c, '-' | '.' | '+' | '$')
}

/// A word without the letters `ISBN` in front of a number. `ISBN-13` is no number.
fn without_label(word: &str) -> &str {
    let labeled = word.get(..4).is_some_and(|label| label.eq_ignore_ascii_case("isbn"));
    let number = if labeled { word[4..].trim_start_matches(['-', '.']) } else { word };
    match number {
        "10" | "13" if labeled => "",
        _ => without_binding(
            number.strip_suffix(".0").unwrap_or(number).trim_end_matches(['-', '.']),
        ),
    }
}

/// A number without the letters behind it, as in `9780439023481pbk`.
fn without_binding(word: &str) -> &str {
    let number = word.trim_end_matches(char::is_alphabetic);
    let (number, letters) = match word[number.len()..].strip_prefix(['X', 'x']) {
        Some(letters) => (&word[..=number.len()], letters),
        None => (number, &word[number.len()..]),
    };
    if letters.chars().nth(1).is_some() { number } else { word }
}

/// Whether a word is digits, with hyphens and dots between them and perhaps an X at the end.
fn is_number(word: &str) -> bool {
    let digits = word.strip_suffix(['X', 'x']).unwrap_or(word);
    !word.is_empty() && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'-' | b'.'))
}

/// The first of these words, or of several in a row, that is an ISBN. Words that have the length of
/// one and are none are skipped together, so that no part of a wrong ISBN is taken for another.
fn first_valid(words: &[&str]) -> Option<String> {
    let mut words = words;
    while !words.is_empty() {
        let (taken, digits) = candidate(words).unwrap_or((1, String::new()));
        if let Some(isbn) = parse(&digits) {
            return Some(isbn);
        }
        words = &words[taken..];
    }
    None
}

/// How many of these words have the length of an ISBN together, and their digits.
fn candidate(words: &[&str]) -> Option<(usize, String)> {
    let (mut digits, mut short) = (String::new(), None);
    for (i, word) in words.iter().enumerate() {
        digits.extend(word.chars().filter(char::is_ascii_alphanumeric));
        match digits.len() {
            10 => short = Some((i + 1, digits.clone())),
            13 if digits.starts_with("978") || digits.starts_with("979") => {
                return Some((i + 1, digits));
            }
            length if length > 13 => break,
            _ => {}
        }
    }
    short
}

fn from_isbn10(digits: &[u8]) -> Option<String> {
    let mut sum = 0;
    for (weight, byte) in (1..=10).rev().zip(digits) {
        let value = match byte {
            b'0'..=b'9' => u32::from(byte - b'0'),
            b'X' | b'x' if weight == 1 => 10,
            _ => return None,
        };
        sum += value * weight;
    }
    if !sum.is_multiple_of(11) || sum == 0 {
        return None;
    }
    let mut isbn13: Vec<u8> = b"978".iter().chain(&digits[..9]).copied().collect();
    isbn13.push(b'0' + check_digit(&isbn13)?);
    String::from_utf8(isbn13).ok()
}

fn from_isbn13(digits: &[u8]) -> Option<String> {
    let is_book = digits.starts_with(b"978") || digits.starts_with(b"979");
    let valid = is_book && digits[12].checked_sub(b'0') == Some(check_digit(&digits[..12])?);
    valid.then(|| String::from_utf8(digits.to_vec()).ok()).flatten()
}

/// The check digit of the first twelve digits: weights 1 and 3 in turn, to a multiple of ten.
fn check_digit(digits: &[u8]) -> Option<u8> {
    let mut sum = 0;
    for (i, byte) in digits.iter().enumerate() {
        let value = byte.checked_sub(b'0').filter(|value| *value <= 9)?;
        sum += u32::from(value) * if i % 2 == 0 { 1 } else { 3 };
    }
    u8::try_from((10 - sum % 10) % 10).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn converts_both_forms_to_thirteen_digits() {
        assert_eq!(parse("978-0-439-02348-1").as_deref(), Some("9780439023481"));
        assert_eq!(parse("0-439-02348-3").as_deref(), Some("9780439023481"));
        assert_eq!(parse("080442957X").as_deref(), Some("9780804429573"));
        assert_eq!(parse("080442957x").as_deref(), Some("9780804429573"));
        assert_eq!(parse("979-10-90636-07-1").as_deref(), Some("9791090636071"));
    }

    #[test]
    fn rejects_wrong_settings() {
        for wrong in [
            "",
            "9780439023482",
            "0439023482",
            "043902348",
            "97804390234811",
            "X439023483",
            "1234567890128",
            "978043902348X",
            "９７８０４３９０２３４８１",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn restores_leading_zeros() {
        assert_eq!(parse_isbn10_without_zeros("439023483").as_deref(), Some("9780439023481"));
        assert_eq!(parse_isbn10_without_zeros("439023482"), None);
        assert_eq!(parse_isbn10_without_zeros("1"), None);
    }

    #[test]
    fn finds_an_isbn_in_decoration() {
        for text in [
            "=\"9780439023481\"",
            "[0439023483]",
            "'9780439023481",
            "ISBN 978-0-439-02348-1",
            "ISBN-13: 978 0 439 02348 1",
            "ISBN-10 0439023483",
            "isbn:0439023483",
            "ISBN9780439023481",
            "urn:isbn:9780439023481",
            "0-439-02348-3 (pbk.) : $7.99",
            "0439023483 (pbk) 9780439023504",
            "978\u{2010}0\u{2011}439\u{2013}02348\u{2014}1",
            "978 - 0 - 439 - 02348 - 1",
            "\u{202a}9780439023481\u{202c}",
            "978.0.439.02348.1",
            "9780439023481.0",
            "9780439023481pbk.",
            "9780439023481.",
            "0439023482, 9780439023481",
            "['9780439023481', '0439023483']",
            "0439023483 9780439023481",
            "9780439023481;0439023483",
        ] {
            assert_eq!(find(text).as_deref(), Some("9780439023481"), "{text}");
        }
        assert_eq!(find("080442957Xpbk").as_deref(), Some("9780804429573"));
        assert_eq!(find("(0-8044-2957-X)").as_deref(), Some("9780804429573"));
    }

    #[test]
    fn finds_no_isbn_in_parts_of_another_number() {
        for text in [
            "",
            "=\"\"",
            "9.78043902348e+12",
            "9.7804390235e+12",
            "978 0 439 02348 2",
            "978-0-439-02348-2",
            "109780439023481",
            "B002V1NWYQ",
            "0439023483e5",
            "10.1000/0439023482",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_isbn_or_none(text in prop_oneof!["\\PC{0,20}", "[0-9Xx -]{8,17}", "[0-9Xx ISBN.e+:\\-]{8,30}"]) {
            let found = [parse(&text), parse_isbn10_without_zeros(&text), find(&text)];
            for isbn in found.into_iter().flatten() {
                prop_assert_eq!(parse(&isbn), Some(isbn.clone()), "{}", text);
                prop_assert_eq!(isbn.len(), 13);
            }
        }

        #[test]
        fn rejects_a_wrong_check_digit(digits in "97[89][0-9]{9}", place in 3..13_usize, by in 1..10_u8) {
            let check = check_digit(digits.as_bytes()).unwrap();
            let isbn = format!("{digits}{check}");
            prop_assert_eq!(parse(&isbn), Some(isbn.clone()));
            let mut wrong = isbn.into_bytes();
            wrong[place] = b'0' + (wrong[place] - b'0' + by) % 10;
            prop_assert_eq!(parse(std::str::from_utf8(&wrong).unwrap()), None);
        }
    }
}
