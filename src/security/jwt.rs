//! Signed tokens: JSON Web Tokens (RFC 7519) as access tokens (RFC 9068).

use std::sync::Arc;

use jsonwebtoken::{Algorithm, Validation, decode, decode_header, errors::ErrorKind};
use serde::Deserialize;
use serde_json::Value;

use super::{AuthError, Caller, Identity, Scope, Scopes, SecurityError, keys::Keys, verify};
use crate::config::security::JwtSettings;

/// Seconds that clocks may differ by.
const LEEWAY: u64 = 30;

/// Those who sign tokens, and what they must say.
#[derive(Clone)]
pub struct SignedTokens {
    keys: Keys,
    rules: Arc<Rules>,
}

struct Rules {
    validation: Validation,
    /// In small letters, without `application/`; `none` is for tokens that do not say.
    types: Vec<String>,
    grants: Grants,
}

/// How claims become scopes.
struct Grants {
    claims: Vec<String>,
    roles: Vec<(String, Scope)>,
}

#[derive(Deserialize)]
struct Claims {
    /// Checked by the library.
    exp: u64,
    sub: Option<String>,
    #[serde(flatten)]
    others: Value,
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
        let mut validation = Validation::new(Algorithm::RS256);
        validation.algorithms.clone_from(&settings.algorithms);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(settings.issuer.as_slice());
        validation.set_audience(settings.audience.as_slice());
        let types = settings.types.iter().map(|kind| media_type(kind)).collect();
        let grants =
            Grants { claims: settings.scope_claims.clone(), roles: settings.roles.clone() };
        Ok(Some(Self { keys, rules: Arc::new(Rules { validation, types, grants }) }))
    }

    /// Who has this token: what it allows, and until when.
    ///
    /// # Errors
    /// If it is not signed by somebody who may, or not for us, or not now.
    pub async fn caller(&self, text: &str) -> Result<Caller, AuthError> {
        let Rules { validation, types, grants } = &*self.rules;
        let header = decode_header(text).map_err(|_| AuthError::Invalid)?;
        // What is critical we do not know (RFC 7515, 4.1.11). An ID token of the same issuer is no
        // access token, whatever it claims (RFC 9068, 4).
        let is_taken = validation.algorithms.contains(&header.alg)
            && header.crit.is_none()
            && types.contains(&media_type(header.typ.as_deref().unwrap_or("none")));
        if !is_taken {
            return Err(AuthError::Invalid);
        }
        // The library wants all algorithms that it may take to be of the key's family.
        let validation = Validation { algorithms: vec![header.alg], ..validation.clone() };
        let mut refused = AuthError::Invalid;
        for key in self.keys.matching(header.kid.as_deref(), header.alg).await {
            match decode::<Claims>(text, &key, &validation) {
                Ok(token) => {
                    let Claims { exp, sub, others } = token.claims;
                    let scopes = grants.scopes(&others);
                    // A holder of many tokens is one.
                    let identity = sub.map_or_else(|| Identity::of(text), Identity::of);
                    // The library takes it for the whole of the last second.
                    return Ok(Caller::new(scopes).until(exp + LEEWAY + 1).known_as(identity));
                }
                // Looked at only when the signature is right.
                Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
                    refused = AuthError::Expired;
                }
                Err(_) => {}
            }
        }
        Err(refused)
    }
}

/// A type as it is compared (RFC 7515, 4.1.9).
fn media_type(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    text.strip_prefix("application/").map_or(text.clone(), str::to_owned)
}

impl Grants {
    /// What claims allow: names in lists, or in a text with spaces between (RFC 8693).
    fn scopes(&self, claims: &Value) -> Scopes {
        let mut scopes = Scopes::default();
        for claim in &self.claims {
            let found =
                if claim.starts_with('/') { claims.pointer(claim) } else { claims.get(claim) };
            match found {
                Some(Value::String(text)) => {
                    text.split(' ').for_each(|it| self.add(it, &mut scopes));
                }
                Some(Value::Array(list)) => {
                    list.iter().filter_map(Value::as_str).for_each(|it| self.add(it, &mut scopes));
                }
                _ => {}
            }
        }
        scopes
    }

    fn add(&self, name: &str, scopes: &mut Scopes) {
        scopes.add(name);
        let allowed = self.roles.iter().filter(|(role, _)| role == name);
        allowed.for_each(|(_, scope)| scopes.add(scope.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn finds_scopes_in_the_named_claims() {
        let grants = Grants {
            claims: ["scope", "permissions", "/realm_access/roles", "https://books.example/roles"]
                .map(str::to_owned)
                .to_vec(),
            roles: vec![("librarian".into(), Scope::Write), ("librarian".into(), Scope::Read)],
        };
        for (claims, expected) in [
            (json!({ "scope": "openid books:read" }), vec![Scope::Read]),
            (json!({ "permissions": ["books:write"], "scope": "books:read" }), Scope::ALL.to_vec()),
            (json!({ "realm_access": { "roles": ["offline", "librarian"] } }), Scope::ALL.to_vec()),
            (json!({ "https://books.example/roles": ["books:read"] }), vec![Scope::Read]),
            (
                json!({ "scope": 1, "permissions": [1, ["librarian"]], "roles": ["librarian"] }),
                vec![],
            ),
            (json!({}), vec![]),
        ] {
            assert_eq!(grants.scopes(&claims), expected.into_iter().collect(), "{claims}");
        }
    }
}
