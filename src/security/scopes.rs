//! What a caller may do.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    str::FromStr,
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::error::{Code, Error, Result};

/// A part of the catalog's use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `books:read`
    Read,
    /// `books:write`
    Write,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 2] = [Self::Read, Self::Write];

    /// As tokens have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "books:read",
            Self::Write => "books:write",
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes {
    read: bool,
    write: bool,
}

impl Scopes {
    /// Whether `scope` is among them.
    #[must_use]
    pub const fn contains(self, scope: Scope) -> bool {
        match scope {
            Scope::Read => self.read,
            Scope::Write => self.write,
        }
    }

    /// Adds the scope of this name, if it is known: tokens may have scopes of other services.
    pub fn add(&mut self, name: &str) {
        match name.parse() {
            Ok(Scope::Read) => self.read = true,
            Ok(Scope::Write) => self.write = true,
            Err(_) => {}
        }
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut all = Self::default();
        for scope in scopes {
            all.add(scope.as_str());
        }
        all
    }
}

/// What distinguishes callers: the holder of a token or, without authentication, the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity(u64);

impl Identity {
    /// The identity of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The identity of who has this. Nobody outside can find two that are of one.
    #[must_use]
    pub fn of(what: impl Hash) -> Self {
        static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(STATE.hash_one(what))
    }
}

/// A caller and its scopes. By default it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    scopes: Scopes,
    until: Option<u64>,
    identity: Identity,
}

impl Caller {
    /// One with these scopes.
    #[must_use]
    pub const fn new(scopes: Scopes) -> Self {
        Self { scopes, until: None, identity: Identity::new(0) }
    }

    /// This one, whose token holds until then, in seconds since 1970.
    #[must_use]
    pub const fn until(self, end: u64) -> Self {
        Self { until: Some(end), ..self }
    }

    /// This one, known by that.
    #[must_use]
    pub const fn known_as(self, identity: Identity) -> Self {
        Self { identity, ..self }
    }

    /// Whose share of the service its operations take.
    #[must_use]
    pub const fn identity(self) -> Identity {
        self.identity
    }

    /// What it may do.
    #[must_use]
    pub const fn scopes(self) -> Scopes {
        self.scopes
    }

    /// How long the token still holds, if it has an end.
    #[must_use]
    pub fn remaining(self) -> Option<Duration> {
        let end = UNIX_EPOCH.checked_add(Duration::from_secs(self.until?))?;
        Some(end.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// One who may do everything, since nobody has to say who they are.
    #[must_use]
    pub fn unrestricted() -> Self {
        Self::new(Scope::ALL.into_iter().collect())
    }

    /// Lets through who may.
    ///
    /// # Errors
    /// If `scope` is none of the caller's.
    pub fn require(self, scope: Scope) -> Result<()> {
        if self.scopes.contains(scope) {
            return Ok(());
        }
        Err(Error::Client(Code::Forbidden, format!("This takes the scope {}.", scope.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_nothing_by_default() {
        for scope in Scope::ALL {
            assert_eq!(Caller::default().require(scope).unwrap_err().code(), Code::Forbidden);
            assert!(Caller::unrestricted().require(scope).is_ok());
        }
    }

    #[test]
    fn ignores_scopes_of_other_services() {
        let mut scopes = Scopes::default();
        for name in ["openid", "books:readwrite", "BOOKS:READ", "books:write"] {
            scopes.add(name);
        }
        assert_eq!(scopes, [Scope::Write].into_iter().collect());
    }
}
