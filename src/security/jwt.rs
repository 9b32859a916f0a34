//! Signed tokens: JSON Web Tokens (RFC 7519) as access tokens (RFC 9068).

use std::sync::Arc;

use jsonwebtoken::{Algorithm, Validation, decode, decode_header, errors::ErrorKind};
use serde::Deserialize;

use super::{Refused, Scopes, SecurityError, keys::Keys, verify};
use crate::config::security::JwtSettings;

/// Seconds that clocks may differ by.
const LEEWAY: u64 = 30;

/// Those who sign tokens, and what they must say.
#[derive(Clone)]
pub struct SignedTokens {
    keys: Keys,
    rules: Arc<Validation>,
}

/// What a token says of scopes, in the three ways that there are.
#[derive(Deserialize)]
struct Claims {
    scope: Option<Names>,
    scp: Option<Names>,
    scopes: Option<Names>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    /// RFC 8693: with spaces between.
    Text(String),
    List(Vec<String>),
}

impl SignedTokens {
    /// As the settings say; none if they name no keys.
    ///
    /// # Errors
    /// If a file of keys cannot be used.
    pub fn new(settings: &JwtSettings) -> Result<Option<Self>, SecurityError> {
        let Some(source) = &settings.keys else { return Ok(None) };
        verify::install();
        let keys = Keys::new(source, settings.refresh)?;
        let mut rules = Validation::new(Algorithm::RS256);
        rules.algorithms.clone_from(&settings.algorithms);
        rules.leeway = LEEWAY;
        rules.validate_nbf = true;
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        rules.set_issuer(settings.issuer.as_slice());
        rules.set_audience(settings.audience.as_slice());
        Ok(Some(Self { keys, rules: Arc::new(rules) }))
    }

    /// What the token allows.
    ///
    /// # Errors
    /// If it is not signed by somebody who may, or not for us, or not now.
    pub async fn scopes(&self, token: &str) -> Result<Scopes, Refused> {
        let header = decode_header(token).map_err(|_| Refused::Invalid)?;
        // What is critical we do not know (RFC 7515, 4.1.11).
        if !self.rules.algorithms.contains(&header.alg) || header.crit.is_some() {
            return Err(Refused::Invalid);
        }
        // The library wants all algorithms that it may take to be of the key's family.
        let rules = Validation { algorithms: vec![header.alg], ..(*self.rules).clone() };
        let mut refused = Refused::Invalid;
        for key in self.keys.matching(header.kid.as_deref(), header.alg).await {
            match decode::<Claims>(token, &key, &rules) {
                Ok(token) => return Ok(token.claims.into_scopes()),
                // Looked at only when the signature is right.
                Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
                    refused = Refused::Expired;
                }
                Err(_) => {}
            }
        }
        Err(refused)
    }
}

impl Claims {
    fn into_scopes(self) -> Scopes {
        let mut scopes = Scopes::default();
        for names in [self.scope, self.scp, self.scopes].into_iter().flatten() {
            match names {
                Names::Text(text) => text.split(' ').for_each(|name| scopes.add(name)),
                Names::List(list) => list.iter().for_each(|name| scopes.add(name)),
            }
        }
        scopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::Scope;

    #[test]
    fn scopes_are_found_in_all_three_claims() {
        for (claims, expected) in [
            (r#"{"scope":"openid books:read"}"#, vec![Scope::Read]),
            (r#"{"scp":["books:write"],"scope":"books:read"}"#, vec![Scope::Read, Scope::Write]),
            (r#"{"scopes":["books:read"]}"#, vec![Scope::Read]),
            (r#"{"scp":"books:write"}"#, vec![Scope::Write]),
            ("{}", vec![]),
        ] {
            let scopes = serde_json::from_str::<Claims>(claims).unwrap().into_scopes();
            assert_eq!(scopes, expected.into_iter().collect(), "{claims}");
        }
    }
}
