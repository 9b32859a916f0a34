//! The normal form in which titles and names are compared, sorted and searched.
//!
//! It is computed here and stored, so that SQLite and PostgreSQL agree to the byte
//! whatever their collations and tokenizers are.

mod latin;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_segmentation::UnicodeSegmentation;

/// Returns the key by which `text` is compared and sorted.
///
/// The key is in lower case. Compatibility characters are unified, accents of Latin, Greek and
/// Cyrillic letters are dropped, and other special Latin letters become ASCII: `ø` is `o`, `ß` is
/// `ss`. Each run of white space and control characters is one space. Other scripts stay as they are.
#[must_use]
pub fn fold(text: &str) -> String {
    // Most are, and nothing else than case and white space changes then.
    if text.is_ascii() {
        return tidy(&text.to_ascii_lowercase());
    }
    let mut plain = String::with_capacity(text.len());
    let letters = text.nfkd().filter(|c| !is_accent(*c) && !is_invisible(*c));
    for letter in letters.flat_map(char::to_lowercase) {
        match latin::to_ascii(letter) {
            Some(ascii) => plain.push_str(ascii),
            None => plain.push(if letter.is_control() { ' ' } else { letter }),
        }
    }
    if plain.is_ascii() {
        return collapse(&plain);
    }
    collapse(&plain.nfc().collect::<String>())
}

/// `text` without white space at its ends and with each inner run as one space.
/// Control characters count as white space (PostgreSQL cannot store a NUL).
#[must_use]
pub fn tidy(text: &str) -> String {
    if is_tidy(text) {
        return text.to_owned();
    }
    let visible: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    collapse(&visible)
}

/// Whether a text is ASCII and tidy, as most are that are entered.
fn is_tidy(text: &str) -> bool {
    let is_word = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_graphic);
    text.as_bytes().split(|byte| *byte == b' ').all(is_word)
}

/// The words of a text for a search: folded, split by the Unicode rules (UAX #29, so an
/// ideograph is a word of its own) and at the punctuation inside a word, so that `l'été`
/// is found by `été` and `Hitchhiker's` by `hitchhiker`.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    fold(text).unicode_words().flat_map(parts).map(str::to_owned).collect()
}

/// The [`words`] of a text, and those whole that are split: `hitchhikers`, as many people type it.
#[must_use]
pub fn words_and_compounds(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut words, mut compounds) = (Vec::new(), Vec::new());
    for word in fold(text).unicode_words() {
        let before = words.len();
        words.extend(parts(word).map(str::to_owned));
        if words.len() > before + 1 {
            compounds.push(words[before..].concat());
        }
    }
    (words, compounds)
}

fn parts(word: &str) -> impl Iterator<Item = &str> {
    word.split(|c: char| !c.is_alphanumeric() && !is_combining_mark(c))
        .filter(|part| !part.is_empty())
}

fn collapse(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// The block "Combining Diacritical Marks". Vowel signs of other scripts lie outside it and stay.
fn is_accent(c: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&c)
}

/// Soft hyphens, zero-width characters and byte order marks, common in real catalogs.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_unifies_case_accents_width_and_space() {
        assert_eq!(fold("  Gabriel  Garcí\u{ad}a\tMárquez "), "gabriel garcia marquez");
        assert_eq!(fold("Ｗａｒ ＆ Peace"), "war & peace");
        assert_eq!(fold("ΌΜΗΡΟΣ"), fold("όμηροσ"));
        assert_eq!(fold("a\0b"), "a b");
    }

    #[test]
    fn folding_ascii_is_no_exception() {
        let all: String = (0..0x80_u8).map(char::from).chain(['x']).collect();
        assert_eq!(fold(&format!("{all}é")), format!("{}e", fold(&all)));
        assert!(fold(&all).starts_with("!\"#$%&'()*+,-./0123456789:;<=>?@abcdefghijkl"));
    }

    #[test]
    fn tidies_text_once() {
        for text in ["", "a", "a b", "A tale, of 2"] {
            assert_eq!(tidy(text), text);
        }
        for text in [" a b", "a b ", "a  b", "a\tb", "a \0b", "\u{a0}a\u{2003}b"] {
            assert_eq!(tidy(text), "a b", "{text:?}");
        }
        assert_eq!(tidy(" \n"), "");
    }

    #[test]
    fn folding_replaces_special_latin_letters() {
        assert_eq!(fold("Jo Nesbø, STANISŁAW, Aslı, İĞDIR"), "jo nesbo, stanislaw, asli, igdir");
        assert_eq!(fold("Straße, STRAẞE"), "strasse, strasse");
        assert_eq!(fold("Ðið Þór Æ Œuvres Đỗ Ŋ ĸ"), "did thor ae oeuvres do n q");
        // With an accent, composed and decomposed, and a stroke that is a character of its own.
        assert_eq!(fold("Ǿ Ø\u{301} O\u{338} Ǽ"), "o o o ae");
        assert_eq!(fold("Ɓɗɛɔ Əǝ Ƿ Ȝ ꝥ"), "bdeo ae w z th");
    }

    #[test]
    fn folding_is_idempotent() {
        for c in '\u{80}'..='\u{ffff}' {
            let folded = fold(&c.to_string());
            assert_eq!(fold(&folded), folded, "{c}");
        }
    }

    #[test]
    fn folding_keeps_other_scripts() {
        for text in
            ["страшный", "ґ є ђ љ", "пушкін", "κόσμε", "ქართული", "עברית", "紅樓夢", "हिन्दी"]
        {
            assert_eq!(fold(text).chars().count(), text.chars().count(), "{text}");
            assert!(!fold(text).bytes().any(|byte| byte.is_ascii_alphabetic()), "{text}");
        }
    }

    #[test]
    fn folding_keeps_what_is_not_an_accent() {
        assert_eq!(fold("हिन्दी"), "हिन्दी");
        assert_ne!(fold("か"), fold("が"));
    }

    #[test]
    fn words_have_letters_and_digits_only() {
        assert_eq!(words("The Hitchhiker's Guide (#1)"), ["the", "hitchhiker", "s", "guide", "1"]);
        assert_eq!(words("O’Brien — Ça ira!"), ["o", "brien", "ca", "ira"]);
        assert_eq!(words("紅樓夢"), ["紅", "樓", "夢"]);
        assert!(words(" '&|!:* ").is_empty());
        let (words, compounds) = words_and_compounds("The Hitchhiker's Guide, 3.14");
        assert_eq!(words, ["the", "hitchhiker", "s", "guide", "3", "14"]);
        assert_eq!(compounds, ["hitchhikers", "314"]);
    }
}
