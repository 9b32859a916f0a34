//! The keys that signed tokens are verified with, from a file or a URL, as they are now.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse},
};
use reqwest::Client;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};
use tracing::{Instrument, field::Empty, info, info_span, warn};
use url::Url;

use super::{SecurityError, watch::WatchedFile};
use crate::config::values::KeySource;

/// What the source's setting is called.
const SETTING: &str = "COLOPHON_JWT_KEYS";
/// How long the server of the keys may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The least time between two fetches, however many tokens name keys that nobody knows; less if keys
/// are to be fetched more often.
const PAUSE: Duration = Duration::from_secs(5);
/// Bytes of a response.
const LARGEST: usize = 1024 * 1024;
/// Keys to try where a token does not say which it is signed with.
const MOST: usize = 16;

/// A key, and what it is for.
#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    /// The only algorithm it is for, if it says so.
    algorithm: Option<KeyAlgorithm>,
    public: DecodingKey,
}

type Current = Arc<RwLock<Vec<Key>>>;

/// The keys, as they are now.
#[derive(Clone)]
pub struct Keys {
    current: Current,
    remote: Option<Arc<Remote>>,
}

impl Keys {
    /// The keys of `source`, read again when a file changes and every `refresh` from a URL.
    pub fn new(source: &KeySource, refresh: Duration) -> Result<Self, SecurityError> {
        match source {
            KeySource::File(path) => {
                let file = WatchedFile::new(SETTING, path);
                let current: Current = Arc::new(RwLock::new(file.read(parse)?));
                let taken = current.clone();
                file.watch("key file", parse, move |keys| replace(&taken, keys));
                Ok(Self { current, remote: None })
            }
            KeySource::Url(url) => {
                let current = Current::default();
                let remote = Arc::new(Remote::new(url, refresh.min(PAUSE), current.clone())?);
                runtime_insight::spawn("key fetcher", remote.clone().keep_fresh(refresh));
                Ok(Self { current, remote: Some(remote) })
            }
        }
    }

    /// The keys that a token of this kind may be signed with. One that is not known may be new.
    pub async fn matching(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<DecodingKey> {
        let found = self.known(id, algorithm);
        match &self.remote {
            Some(remote) if found.is_empty() => {
                remote.fetch_unless_just_done().await;
                self.known(id, algorithm)
            }
            _ => found,
        }
    }

    fn known(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<DecodingKey> {
        let keys = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let fit = keys.iter().filter(|key| key.fits(id, algorithm));
        fit.take(MOST).map(|key| key.public.clone()).collect()
    }
}

impl Key {
    fn fits(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        // A PEM file gives its key no name.
        let is_named = id.is_none() || self.id.is_none() || self.id.as_deref() == id;
        let is_for = self.algorithm.is_none_or(|own| own.to_string() == format!("{algorithm:?}"));
        is_named && is_for && self.public.family() == algorithm.family()
    }
}

fn replace(current: &Current, keys: Vec<Key>) {
    *current.write().unwrap_or_else(PoisonError::into_inner) = keys;
}

/// A JWK set, or one public key in PEM.
fn parse(text: &str) -> Result<Vec<Key>, String> {
    if text.trim_start().starts_with("-----BEGIN") {
        let pem = text.as_bytes();
        let public = DecodingKey::from_rsa_pem(pem)
            .or_else(|_| DecodingKey::from_ec_pem(pem))
            .or_else(|_| DecodingKey::from_ed_pem(pem))
            .map_err(|_| "it is no public key that can be used")?;
        return Ok(vec![Key { id: None, algorithm: None, public }]);
    }
    let set: JwkSet = serde_json::from_str(text)
        .map_err(|_| "it is neither a JWK set nor a public key in PEM".to_owned())?;
    let keys: Vec<_> = set.keys.iter().filter_map(signing_key).collect();
    if keys.is_empty() { Err("no key of the set can be used".to_owned()) } else { Ok(keys) }
}

/// Keys for encryption and shared secrets may be beside those we want.
fn signing_key(jwk: &Jwk) -> Option<Key> {
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let public = DecodingKey::from_jwk(jwk).ok()?;
    let (id, algorithm) = (jwk.common.key_id.clone(), jwk.common.key_algorithm);
    (public.family() != AlgorithmFamily::Hmac).then_some(Key { id, algorithm, public })
}

/// Keys of a server.
struct Remote {
    url: Url,
    client: Client,
    /// The least time between two fetches.
    pause: Duration,
    current: Current,
    /// When they were last asked for. Locked while that is done.
    asked: Mutex<Option<Instant>>,
}

impl Remote {
    fn new(url: &Url, pause: Duration, current: Current) -> Result<Self, SecurityError> {
        // The client wants to know who does TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client =
            Client::builder().timeout(PATIENCE).https_only(url.scheme() == "https").build();
        let client = client.map_err(SecurityError::Client)?;
        Ok(Self { url: url.clone(), client, pause, current, asked: Mutex::default() })
    }

    async fn keep_fresh(self: Arc<Self>, refresh: Duration) {
        loop {
            self.fetch_unless_just_done().await;
            let is_empty = self.current.read().unwrap_or_else(PoisonError::into_inner).is_empty();
            // Without any key nobody gets in.
            sleep(if is_empty { self.pause } else { refresh }).await;
        }
    }

    /// Fetches the keys, unless that was tried a moment ago. A server that fails, or that says
    /// something else, takes no key away.
    async fn fetch_unless_just_done(&self) {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|asked| asked.elapsed() < self.pause) {
            return;
        }
        let span = info_span!(
            "fetch signing keys",
            otel.kind = "client",
            otel.status_code = Empty,
            server.address = self.url.host_str(),
        );
        let fetched = self.fetch().instrument(span.clone()).await.and_then(|text| parse(&text));
        *asked = Some(Instant::now());
        match fetched {
            Ok(keys) => {
                info!(name: "security.keys_fetched", { security.keys.count = keys.len() }, "token keys fetched");
                replace(&self.current, keys);
            }
            Err(problem) => {
                span.record("otel.status_code", "ERROR");
                warn!(name: "security.keys_unavailable", { exception.message = problem }, "fetching token keys failed");
            }
        }
    }

    async fn fetch(&self) -> Result<String, String> {
        // Without the URL, which may hold a password.
        let failed = |error: reqwest::Error| error.without_url().to_string();
        let request = self.client.get(self.url.clone()).send().await;
        let mut response = request.and_then(reqwest::Response::error_for_status).map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST {
                return Err(format!("the answer has more than {LARGEST} bytes"));
            }
        }
        String::from_utf8(body).map_err(|_| "the answer is not UTF-8".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_keys_that_verify_signatures() {
        let set = r#"{ "keys": [
            { "kty": "oct", "k": "c2VjcmV0", "kid": "shared" },
            { "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
              "kid": "encrypts", "use": "enc" },
            { "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
              "kid": "signs", "alg": "EdDSA" },
            { "kty": "NEW", "kid": "of tomorrow" } ] }"#;
        let keys = parse(set).unwrap();
        let [key] = &keys[..] else { panic!("{keys:?}") };
        assert!(key.fits(Some("signs"), Algorithm::EdDSA) && key.fits(None, Algorithm::EdDSA));
        assert!(!key.fits(Some("other"), Algorithm::EdDSA));
        assert!(!key.fits(Some("signs"), Algorithm::RS256));
    }

    #[test]
    fn rejects_what_is_no_key() {
        for text in ["", "{}", r#"{ "keys": [] }"#, "-----BEGIN PUBLIC KEY-----\ns3cret\n"] {
            let problem = parse(text).unwrap_err();
            assert!(!problem.contains("s3cret"), "{problem}");
        }
    }
}
