//! Authentication and authorization. A request's bearer token is one of a file (`tokens`) or signed by a trusted
//! issuer (`jwt`); it gives the [`Caller`] scopes, and each field that does I/O requires one.

mod jwt;
mod keys;
pub(crate) mod scopes;
pub(crate) mod tokens;
mod verify;
mod watch;

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use subtle::ConstantTimeEq;

pub use self::scopes::{Caller, Identity, Scope, Scopes};
use self::{jwt::SignedTokens, tokens::TokenFile};
use crate::config::{security::SecuritySettings, values::Secret};

/// Bytes of a token; longer ones are rejected.
const LONGEST_TOKEN: usize = 8 * 1024;

/// How old what is known of a token may be when an event of a subscription is sent to its holder. Files of tokens
/// are not looked at more often.
pub const RECHECK: Duration = Duration::from_secs(1);

/// Authenticates requests by the settings.
#[derive(Clone)]
pub struct Authenticator(Arc<Policy>);

enum Policy {
    /// Everybody, with every scope.
    Open,
    /// Callers with a token.
    Tokens { file: Option<TokenFile>, signed: Option<SignedTokens> },
}

/// Why a token is rejected; the message is for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is none.
    #[error("Send a token as `Authorization: Bearer …`.")]
    Missing,
    /// It is not valid, whatever the reason.
    #[error("The token is not valid.")]
    Invalid,
    /// It was valid once.
    #[error("The token has expired.")]
    Expired,
}

/// Why authentication cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// A file cannot be read.
    #[error("cannot read {path}, which {setting} names: {error}")]
    Unreadable {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: String,
        /// What the operating system says.
        error: io::Error,
    },
    /// A file does not hold what it must.
    #[error("cannot use {path}, which {setting} names: {problem}")]
    Unusable {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it; never its content.
        problem: String,
    },
    /// There is no client for keys.
    #[error("cannot fetch keys: {0}")]
    Client(reqwest::Error),
}

impl Authenticator {
    /// As the settings say. Files are read now, and watched from now on; keys at a URL are fetched by
    /// a task, so that the service starts though they are away.
    ///
    /// # Errors
    /// If a file cannot be read or used.
    pub fn new(settings: &SecuritySettings) -> Result<Self, SecurityError> {
        if !settings.demands_tokens() {
            return Ok(Self(Arc::new(Policy::Open)));
        }
        let file = settings.tokens_file.as_deref().map(TokenFile::open).transpose()?;
        let signed = SignedTokens::new(&settings.jwt)?;
        Ok(Self(Arc::new(Policy::Tokens { file, signed })))
    }

    /// Whether authentication is disabled.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(*self.0, Policy::Open)
    }

    /// The caller whose token this is; without authentication, callers are distinguished by host (`client`).
    ///
    /// # Errors
    /// If a token is needed and this is no good one.
    pub async fn caller(&self, token: Option<&str>, client: IpAddr) -> Result<Caller, AuthError> {
        let Policy::Tokens { file, signed } = &*self.0 else {
            return Ok(Caller::unrestricted().known_as(Identity::of(client)));
        };
        let token = token.ok_or(AuthError::Missing)?;
        if token.len() > LONGEST_TOKEN {
            return Err(AuthError::Invalid);
        }
        match (file, signed) {
            (_, Some(signed)) if token.split('.').count() == 3 => signed.caller(token).await,
            (Some(file), _) => {
                let scopes = file.scopes(token).ok_or(AuthError::Invalid)?;
                Ok(Caller::new(scopes).known_as(Identity::of(token)))
            }
            _ => Err(AuthError::Invalid),
        }
    }
}

/// The token of the admin listener, if it has one.
#[derive(Clone, Debug)]
pub struct AdminToken(Option<Secret>);

impl AdminToken {
    /// As the settings say.
    #[must_use]
    pub const fn new(token: Option<Secret>) -> Self {
        Self(token)
    }

    /// Whether this token is the admin token. Compares in constant time.
    #[must_use]
    pub fn admits(&self, token: Option<&str>) -> bool {
        match (&self.0, token) {
            (None, _) => true,
            (Some(right), Some(token)) => {
                tokens::hash(right.reveal()).ct_eq(&tokens::hash(token)).into()
            }
            (Some(_), None) => false,
        }
    }
}
