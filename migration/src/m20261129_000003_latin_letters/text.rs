//! The folding of this migration: a frozen copy of the service's `books::text`.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_segmentation::UnicodeSegmentation;

use super::latin;

/// A version of the folding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folding {
    /// Before this migration: special Latin letters stay.
    Accents,
    /// From this migration on: special Latin letters become ASCII.
    AccentsAndLetters,
}

impl Folding {
    /// Returns the key by which `text` is compared and sorted.
    pub fn key(self, text: &str) -> String {
        let mut plain = String::with_capacity(text.len());
        let letters = text.nfkd().filter(|c| !is_accent(*c) && !is_invisible(*c));
        for letter in letters.flat_map(char::to_lowercase) {
            match latin::to_ascii(letter) {
                Some(ascii) if self == Self::AccentsAndLetters => plain.push_str(ascii),
                _ => plain.push(if letter.is_control() { ' ' } else { letter }),
            }
        }
        let composed: String = plain.nfc().collect();
        composed.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Returns the words of `text`, and those compounds whose parts are words of their own.
    pub fn words(self, text: &str) -> (Vec<String>, Vec<String>) {
        let (mut words, mut compounds) = (Vec::new(), Vec::new());
        for word in self.key(text).unicode_words() {
            let before = words.len();
            words.extend(parts(word).map(str::to_owned));
            if words.len() > before + 1 {
                compounds.push(words[before..].concat());
            }
        }
        (words, compounds)
    }
}

/// Whether both versions of the folding have the same key for `text`.
pub fn is_unaffected(text: &str) -> bool {
    text.is_ascii() || Folding::Accents.key(text) == Folding::AccentsAndLetters.key(text)
}

fn parts(word: &str) -> impl Iterator<Item = &str> {
    word.split(|c: char| !c.is_alphanumeric() && !is_combining_mark(c))
        .filter(|part| !part.is_empty())
}

fn is_accent(c: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&c)
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}
