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
    fn both_forms_become_thirteen_digits() {
        assert_eq!(parse("978-0-439-02348-1").as_deref(), Some("9780439023481"));
        assert_eq!(parse("0-439-02348-3").as_deref(), Some("9780439023481"));
        assert_eq!(parse("080442957X").as_deref(), Some("9780804429573"));
        assert_eq!(parse("080442957x").as_deref(), Some("9780804429573"));
        assert_eq!(parse("979-10-90636-07-1").as_deref(), Some("9791090636071"));
    }

    #[test]
    fn wrong_ones_are_refused() {
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
    fn lost_zeros_come_back() {
        assert_eq!(parse_isbn10_without_zeros("439023483").as_deref(), Some("9780439023481"));
        assert_eq!(parse_isbn10_without_zeros("439023482"), None);
        assert_eq!(parse_isbn10_without_zeros("1"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_an_isbn_or_none(text in prop_oneof!["\\PC{0,20}", "[0-9Xx -]{8,17}"]) {
            for isbn in [parse(&text), parse_isbn10_without_zeros(&text)].into_iter().flatten() {
                prop_assert_eq!(parse(&isbn), Some(isbn.clone()), "{}", text);
                prop_assert_eq!(isbn.len(), 13);
            }
        }

        #[test]
        fn a_wrong_digit_is_found(digits in "97[89][0-9]{9}", place in 3..13_usize, by in 1..10_u8) {
            let check = check_digit(digits.as_bytes()).unwrap();
            let isbn = format!("{digits}{check}");
            prop_assert_eq!(parse(&isbn), Some(isbn.clone()));
            let mut wrong = isbn.into_bytes();
            wrong[place] = b'0' + (wrong[place] - b'0' + by) % 10;
            prop_assert_eq!(parse(std::str::from_utf8(&wrong).unwrap()), None);
        }
    }
}
