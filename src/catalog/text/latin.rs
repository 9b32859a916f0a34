//! Latin letters that Unicode does not decompose, such as `ø`, `ł`, `ß` and `æ`.

/// Returns the ASCII letters that stand for `letter`, which is in lower case.
///
/// The table has every letter that PostgreSQL's [`unaccent.rules`] or Lucene's
/// [`ASCIIFoldingFilter`] maps to ASCII, less those that NFKD decomposes and modifier letters.
/// No letter is in both with different values. Letters of other scripts are in neither table.
///
/// The newest migration of folded keys has a copy of this table. A change here needs a new
/// migration, or stored keys no longer match those of queries; `tests/folding.rs` compares the two.
///
/// [`unaccent.rules`]: https://github.com/postgres/postgres/blob/REL_15_STABLE/contrib/unaccent/unaccent.rules
/// [`ASCIIFoldingFilter`]: https://lucene.apache.org/core/9_0_0/analysis/common/org/apache/lucene/analysis/miscellaneous/ASCIIFoldingFilter.html
pub fn to_ascii(letter: char) -> Option<&'static str> {
    // Most letters of most texts.
    if letter.is_ascii() {
        return None;
    }
    Some(match letter {
        'ɐ' | 'ə' | 'ɚ' | 'ᴀ' | 'ᶏ' | 'ᶕ' | 'ⱥ' => "a",
        'ꜳ' => "aa",
        'æ' | 'ᴁ' | 'ᴂ' => "ae",
        'ꜵ' => "ao",
        'ꜷ' => "au",
        'ꜹ' | 'ꜻ' => "av",
        'ꜽ' => "ay",
        'ƀ' | 'ƃ' | 'ɓ' | 'ʙ' | 'ᴃ' | 'ᵬ' | 'ᶀ' => "b",
        'ƈ' | 'ȼ' | 'ɕ' | 'ʗ' | 'ᴄ' | 'ↄ' | 'ꜿ' | 'ꞓ' => "c",
        'ð' | 'đ' | 'ƌ' | 'ȡ' | 'ɖ' | 'ɗ' | 'ᴅ' | 'ᴆ' | 'ᵭ' | 'ᶁ' | 'ᶑ' | 'ꝱ' | 'ꝺ' => {
            "d"
        }
        'ȸ' => "db",
        'ʣ' | 'ʥ' => "dz",
        'ǝ' | 'ɇ' | 'ɘ' | 'ɛ' | 'ɜ' | 'ɝ' | 'ɞ' | 'ʚ' | 'ᴇ' | 'ᴈ' | 'ᶒ' | 'ᶓ' | 'ᶔ' | 'ⱸ' | 'ⱻ' => {
            "e"
        }
        'ƒ' | 'ᵮ' | 'ᶂ' | 'ꜰ' | 'ꝼ' | 'ꟻ' => "f",
        'ǥ' | 'ɠ' | 'ɡ' | 'ɢ' | 'ʛ' | 'ᵷ' | 'ᵹ' | 'ᶃ' | 'ꝿ' | 'ꞡ' => "g",
        'ħ' | 'ɥ' | 'ɦ' | 'ɧ' | 'ʜ' | 'ʮ' | 'ʯ' | 'ⱨ' | 'ⱶ' => "h",
        'ƕ' => "hv",
        'ı' | 'ɨ' | 'ɩ' | 'ɪ' | 'ᴉ' | 'ᵻ' | 'ᵼ' | 'ᶖ' | 'ꟾ' => "i",
        'ȷ' | 'ɉ' | 'ɟ' | 'ʄ' | 'ʝ' | 'ᴊ' => "j",
        'ƙ' | 'ʞ' | 'ᴋ' | 'ᶄ' | 'ⱪ' | 'ꝁ' | 'ꝃ' | 'ꝅ' | 'ꞣ' => "k",
        'ł' | 'ƚ' | 'ȴ' | 'ɫ' | 'ɬ' | 'ɭ' | 'ʟ' | 'ᴌ' | 'ᶅ' | 'ⱡ' | 'ꝇ' | 'ꝉ' | 'ꝲ' | 'ꞁ' => {
            "l"
        }
        'ỻ' => "ll",
        'ʪ' => "ls",
        'ʫ' => "lz",
        'ɯ' | 'ɰ' | 'ɱ' | 'ᴍ' | 'ᵯ' | 'ᶆ' | 'ꝳ' | 'ꟽ' | 'ꟿ' => "m",
        'ŋ' | 'ƞ' | 'ȵ' | 'ɲ' | 'ɳ' | 'ɴ' | 'ᴎ' | 'ᵰ' | 'ᶇ' | 'ꝴ' | 'ꞑ' | 'ꞥ' => {
            "n"
        }
        'ø' | 'ɔ' | 'ɵ' | 'ᴏ' | 'ᴐ' | 'ᴖ' | 'ᴗ' | 'ᶗ' | 'ⱺ' | 'ꝋ' | 'ꝍ' => "o",
        'œ' | 'ɶ' | 'ᴔ' => "oe",
        'ƣ' => "oi",
        'ꝏ' => "oo",
        'ȣ' | 'ᴕ' => "ou",
        'ƥ' | 'ᴘ' | 'ᵱ' | 'ᵽ' | 'ᶈ' | 'ꝑ' | 'ꝓ' | 'ꝕ' | 'ꟼ' => "p",
        'ĸ' | 'ɋ' | 'ʠ' | 'ꝗ' | 'ꝙ' => "q",
        'ȹ' => "qp",
        'ɍ' | 'ɼ' | 'ɽ' | 'ɾ' | 'ɿ' | 'ʀ' | 'ʁ' | 'ᴙ' | 'ᴚ' | 'ᵲ' | 'ᵳ' | 'ᶉ' | 'ꝛ' | 'ꝵ' | 'ꝶ'
        | 'ꞃ' | 'ꞧ' => "r",
        'ȿ' | 'ʂ' | 'ᵴ' | 'ᶊ' | 'ẜ' | 'ẝ' | 'ꜱ' | 'ꞅ' | 'ꞩ' => "s",
        'ß' => "ss",
        'ŧ' | 'ƫ' | 'ƭ' | 'ȶ' | 'ʇ' | 'ʈ' | 'ᴛ' | 'ᵵ' | 'ⱦ' | 'ꝷ' | 'ꞇ' => "t",
        'ʨ' => "tc",
        'þ' | 'ᵺ' | 'ꝥ' | 'ꝧ' => "th",
        'ʦ' => "ts",
        'ꜩ' => "tz",
        'ʉ' | 'ᴜ' | 'ᵾ' | 'ᶙ' => "u",
        'ᵫ' => "ue",
        'ʋ' | 'ʌ' | 'ᴠ' | 'ᶌ' | 'ỽ' | 'ⱱ' | 'ⱴ' | 'ꝟ' | 'ꝩ' => "v",
        'ꝡ' => "vy",
        'ƿ' | 'ʍ' | 'ᴡ' | 'ⱳ' => "w",
        'ᶍ' => "x",
        'ƴ' | 'ɏ' | 'ʎ' | 'ʏ' | 'ỿ' => "y",
        'ƶ' | 'ȝ' | 'ȥ' | 'ɀ' | 'ʐ' | 'ʑ' | 'ᴢ' | 'ᵶ' | 'ᶎ' | 'ⱬ' | 'ꝣ' => "z",
        _ => return None,
    })
}
