//! Tokens by name, for small installations: a file of their hashes, in lines such as
//! `importer books:read,books:write sha256:9f86d0…`.

use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Scope, Scopes, SecurityError, watch::WatchedFile};

/// What the file's setting is called.
const SETTING: &str = "COLOPHON_TOKENS_FILE";
/// By which those who search for secrets that got out know ours.
const PREFIX: &str = "colophon_";
/// What hashes are called in the file.
const ALGORITHM: &str = "sha256:";

type Hash = [u8; 32];

/// The hash that a token is known by. Tokens are random, so that a fast one does.
#[must_use]
pub fn hash(token: &str) -> Hash {
    Sha256::digest(token).into()
}

/// A fresh token and the line that lets it in; none if the system has no randomness.
#[must_use]
pub fn generate(name: &str, scopes: &[Scope]) -> Option<(String, String)> {
    let mut random = [0; 32];
    SystemRandom::new().fill(&mut random).ok()?;
    let token = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(random));
    let hash = const_hex::encode(hash(&token));
    let scopes = scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",");
    Some((token, format!("{name} {scopes} {ALGORITHM}{hash}")))
}

/// The tokens of a file, as it is now.
#[derive(Clone)]
pub struct TokenFile(Arc<RwLock<Vec<(Hash, Scopes)>>>);

impl TokenFile {
    /// Reads the file, and reads it again when it changes. One that cannot be used any more changes
    /// nothing.
    ///
    /// # Errors
    /// If it cannot be read or used now.
    pub fn open(path: &Path) -> Result<Self, SecurityError> {
        let file = WatchedFile::new(SETTING, path);
        let entries = Arc::new(RwLock::new(file.read(parse)?));
        let current = entries.clone();
        file.watch("token file", parse, move |entries| {
            *current.write().unwrap_or_else(PoisonError::into_inner) = entries;
        });
        Ok(Self(entries))
    }

    /// What the token allows, if it is in the file. The time it takes does not depend on the token.
    #[must_use]
    pub fn scopes(&self, token: &str) -> Option<Scopes> {
        let presented = hash(token);
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().fold(
            None,
            |found, (hash, scopes)| {
                if hash.ct_eq(&presented).into() { Some(*scopes) } else { found }
            },
        )
    }
}

fn parse(text: &str) -> Result<Vec<(Hash, Scopes)>, String> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| entry(line).map_err(|problem| format!("line {number} {problem}")))
        .collect()
}

/// The problem does not quote the line: somebody may have put a token there.
fn entry(line: &str) -> Result<(Hash, Scopes), String> {
    let [_name, scopes, hash] = line.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err("must be NAME SCOPE[,SCOPE] sha256:HASH".to_owned());
    };
    let scopes = scopes
        .split(',')
        .map(|scope| {
            scope.parse::<Scope>().map_err(|right| format!("has an unknown scope: {right}"))
        })
        .collect::<Result<_, _>>()?;
    let hash = hash.strip_prefix(ALGORITHM).and_then(from_hex);
    Ok((hash.ok_or("must end with sha256: and 64 hexadecimal digits")?, scopes))
}

fn from_hex(text: &str) -> Option<Hash> {
    // Without a prefix, which the library takes.
    if text.len() == 64 { const_hex::decode_to_array(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_token_of_a_generated_line() {
        let (token, line) = generate("importer", &[Scope::Write]).unwrap();
        let entries = parse(&format!("# ours\n\n  {line}  \n")).unwrap();
        assert_eq!(entries, [(hash(&token), [Scope::Write].into_iter().collect())]);
        assert!(!line.contains(&token));
    }

    #[test]
    fn reports_a_bad_line_without_quoting_it() {
        let hash = "0".repeat(64);
        for line in [
            "s3cret".to_owned(),
            "name books:read s3cret".to_owned(),
            format!("name books:all sha256:{hash}"),
            format!("name books:read sha256:+{}", &hash[1..]),
            "name books:read sha256:00".to_owned(),
        ] {
            let problem = parse(&format!("# first\n{line}")).unwrap_err();
            assert!(problem.starts_with("line 2 ") && !problem.contains("s3cret"), "{problem}");
        }
    }
}
