//! Language tags (BCP 47).

/// The canonical form of a language tag (BCP 47: `en`, `pt-BR`, `zh-Hant`), or `None` where
/// it has not the shape of one.
#[must_use]
pub fn tag(tag: &str) -> Option<String> {
    let mut parts = tag.trim().split('-');
    let primary = parts.next()?;
    if tag.len() > 35
        || !(2..=3).contains(&primary.len())
        || !primary.bytes().all(|b| b.is_ascii_alphabetic())
    {
        return None;
    }
    let mut canonical = shortest(primary.to_ascii_lowercase());
    for part in parts {
        if !(1..=8).contains(&part.len()) || !part.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        canonical.push('-');
        match part.len() {
            2 => canonical.push_str(&part.to_ascii_uppercase()),
            4 => {
                canonical.push_str(&part[..1].to_ascii_uppercase());
                canonical.push_str(&part[1..].to_ascii_lowercase());
            }
            _ => canonical.push_str(&part.to_ascii_lowercase()),
        }
    }
    Some(canonical)
}

/// The two-letter code of a language where it has one, which is the one to use (BCP 47, 2.2.1);
/// files from libraries have three letters, often the bibliographic ones (ISO 639-2/B).
fn shortest(code: String) -> String {
    const BIBLIOGRAPHIC: [(&str, &str); 20] = [
        ("alb", "sq"),
        ("arm", "hy"),
        ("baq", "eu"),
        ("bur", "my"),
        ("chi", "zh"),
        ("cze", "cs"),
        ("dut", "nl"),
        ("fre", "fr"),
        ("geo", "ka"),
        ("ger", "de"),
        ("gre", "el"),
        ("ice", "is"),
        ("mac", "mk"),
        ("mao", "mi"),
        ("may", "ms"),
        ("per", "fa"),
        ("rum", "ro"),
        ("slo", "sk"),
        ("tib", "bo"),
        ("wel", "cy"),
    ];
    let bibliographic = BIBLIOGRAPHIC.iter().find(|(three, _)| *three == code).map(|(_, two)| *two);
    bibliographic
        .or_else(|| isolang::Language::from_639_3(&code)?.to_639_1())
        .map_or(code, str::to_owned)
}

#[cfg(test)]
mod tests {
    #[test]
    fn canonicalizes_language_tags() {
        for (tag, canonical) in [
            ("eng", "en"),
            ("fre", "fr"),
            ("fra", "fr"),
            ("ZH-hant-tw", "zh-Hant-TW"),
            ("grc", "grc"),
        ] {
            assert_eq!(super::tag(tag).as_deref(), Some(canonical));
        }
        for wrong in ["", "e", "english", "en-", "en-é", "e1", "en_US"] {
            assert_eq!(super::tag(wrong), None, "{wrong}");
        }
    }
}
