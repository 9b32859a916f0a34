//! Who may ask, and what strangers see; `docs/security.md` is the page about it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use axum::http::HeaderName;
use clap::Args;
use ipnet::IpNet;
use jsonwebtoken::Algorithm;

use super::{
    http::HttpSettings,
    values::{
        KeySource, Secret, algorithm, duration, header_name, host, key_source, network, origin,
        role, secret, switch,
    },
};
use crate::security::scopes::Scope;

/// Who may ask, and what strangers see.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Security")]
pub struct SecuritySettings {
    /// Disable introspection, the playground and, unless --admin-ui is set, the admin UI
    #[arg(long, global = true, env = "COLOPHON_PRODUCTION", value_parser = switch)]
    pub production: bool,
    /// Disable authentication, on any address
    #[arg(long, global = true, env = "COLOPHON_INSECURE_OPEN", value_parser = switch)]
    pub insecure_open: bool,
    /// Web sites whose pages may send requests (CORS), as SCHEME://HOST; comma-separated
    #[arg(long, global = true, env = "COLOPHON_ALLOWED_ORIGINS", value_parser = origin,
        value_delimiter = ',', value_name = "ORIGIN")]
    pub allowed_origins: Vec<String>,
    /// Additional request headers that these sites' pages may send, beside those of GraphQL clients and
    /// tracing; comma-separated
    #[arg(long, global = true, env = "COLOPHON_ALLOWED_HEADERS", value_parser = header_name,
        value_delimiter = ',', value_name = "HEADER")]
    pub allowed_headers: Vec<HeaderName>,
    /// Host names accepted by a loopback listener without authentication, beside localhost
    /// and its addresses; comma-separated
    #[arg(long, global = true, env = "COLOPHON_ALLOWED_HOSTS", value_parser = host,
        value_delimiter = ',', value_name = "HOST")]
    pub allowed_hosts: Vec<String>,
    /// Proxies whose Forwarded or X-Forwarded-For, -Proto
    /// and -Host headers are trusted: addresses or networks, comma-separated
    #[arg(long, global = true, env = "COLOPHON_TRUSTED_PROXIES", value_parser = network,
        value_delimiter = ',', value_name = "NETWORK")]
    pub trusted_proxies: Vec<IpNet>,
    /// A file of tokens, as printed by `colophon token`; reloaded when it changes
    #[arg(long, global = true, env = "COLOPHON_TOKENS_FILE", value_name = "FILE")]
    pub tokens_file: Option<PathBuf>,
    /// Signed tokens.
    #[command(flatten)]
    pub jwt: JwtSettings,
    /// The bearer token of the admin listener's /metrics and /debug, at least 16 characters;
    /// required unless it listens on loopback
    #[arg(long, global = true, env = "COLOPHON_ADMIN_TOKEN", hide_env_values = true,
        value_parser = secret, value_name = "TOKEN")]
    pub admin_token: Option<Secret>,
}

/// Signed tokens (JSON Web Tokens), and who may sign them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Security")]
pub struct JwtSettings {
    /// The issuer of signed tokens: their claim `iss`
    #[arg(long = "jwt-issuer", global = true, env = "COLOPHON_JWT_ISSUER", value_name = "ISSUER")]
    pub issuer: Option<String>,
    /// The audience of signed tokens: one of their claim `aud`
    #[arg(
        long = "jwt-audience",
        global = true,
        env = "COLOPHON_JWT_AUDIENCE",
        value_name = "AUDIENCE"
    )]
    pub audience: Option<String>,
    /// The keys that tokens are signed with: a JWK set, by https or as a file, or a file with a public
    /// key in PEM; a file is reloaded when it changes
    #[arg(long = "jwt-keys", global = true, env = "COLOPHON_JWT_KEYS", value_parser = key_source,
        value_name = "FILE|URL")]
    pub keys: Option<KeySource>,
    /// The accepted signature algorithms; comma-separated
    #[arg(long = "jwt-algorithms", global = true, env = "COLOPHON_JWT_ALGORITHMS", default_value = "RS256,ES256,EdDSA",
        value_parser = algorithm, value_delimiter = ',', value_name = "ALGORITHM")]
    pub algorithms: Vec<Algorithm>,
    /// The accepted token types: the header `typ`, or `none` for tokens without it;
    /// with commas between
    #[arg(
        long = "jwt-types",
        global = true,
        env = "COLOPHON_JWT_TYPES",
        default_value = "at+jwt",
        value_delimiter = ',',
        value_name = "TYPE"
    )]
    pub types: Vec<String>,
    /// The claims that scopes are taken from, each a name or, for a nested one, a JSON pointer such as
    /// /realm_access/roles; with commas between
    #[arg(
        long = "jwt-scope-claims",
        global = true,
        env = "COLOPHON_JWT_SCOPE_CLAIMS",
        default_value = "scope,scp,scopes",
        value_delimiter = ',',
        value_name = "CLAIM"
    )]
    pub scope_claims: Vec<String>,
    /// What the provider's roles or permissions allow, such as librarian=books:write; with commas
    /// between
    #[arg(long = "jwt-roles", global = true, env = "COLOPHON_JWT_ROLES", value_parser = role,
        value_delimiter = ',', value_name = "ROLE=SCOPE")]
    pub roles: Vec<(String, Scope)>,
    /// How often keys are fetched from a URL; also fetched for a token with an unknown key id
    #[arg(long = "jwt-refresh", global = true, env = "COLOPHON_JWT_REFRESH", default_value = "5m",
        value_parser = duration, value_name = "TIME")]
    pub refresh: Duration,
}

impl SecuritySettings {
    /// Whether requests must have a token.
    #[must_use]
    pub const fn demands_tokens(&self) -> bool {
        self.tokens_file.is_some() || self.jwt.keys.is_some()
    }

    /// Rejects settings under which strangers could do more than was meant.
    ///
    /// # Errors
    /// What is missing, and how it can be given.
    pub fn check(&self, http: &HttpSettings) -> Result<(), String> {
        self.jwt.check()?;
        if !self.demands_tokens() && !self.insecure_open && !is_loopback(http.listen) {
            return Err(format!(
                "--listen (or COLOPHON_LISTEN) is {}, which others can reach, and nothing says who may \
                 ask. Name a file of tokens by --tokens-file (COLOPHON_TOKENS_FILE; `colophon token` \
                 makes one), or who signs tokens by --jwt-issuer, --jwt-audience and --jwt-keys. Or \
                 say --insecure-open (COLOPHON_INSECURE_OPEN=true), and whoever reaches it may read \
                 and change everything",
                http.listen
            ));
        }
        if self.admin_token.is_none() && !is_loopback(http.admin_listen) {
            return Err(format!(
                "--admin-listen (or COLOPHON_ADMIN_LISTEN) is {}, which others can reach. Give it a \
                 token by COLOPHON_ADMIN_TOKEN, or by a file that COLOPHON_ADMIN_TOKEN_FILE names",
                http.admin_listen
            ));
        }
        Ok(())
    }
}

impl JwtSettings {
    /// All three or none.
    fn check(&self) -> Result<(), String> {
        let parts = [
            ("--jwt-issuer (or COLOPHON_JWT_ISSUER)", self.issuer.is_some()),
            ("--jwt-audience (or COLOPHON_JWT_AUDIENCE)", self.audience.is_some()),
            ("--jwt-keys (or COLOPHON_JWT_KEYS)", self.keys.is_some()),
        ];
        match parts.iter().find(|(_, is_given)| !is_given) {
            Some((missing, _)) if parts.iter().any(|(_, is_given)| *is_given) => Err(format!(
                "signed tokens need an issuer, an audience and keys: {missing} is missing"
            )),
            _ => Ok(()),
        }
    }
}

/// Whether only this machine can reach the address.
#[must_use]
pub fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::config::Cli;

    fn check(arguments: &[&str]) -> Result<(), String> {
        let settings = Cli::parse_from([&["colophon"], arguments].concat()).settings;
        settings.security.check(&settings.http)
    }

    #[test]
    fn is_open_on_loopback_only() {
        for address in ["127.0.0.1:0", "127.1.2.3:0", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
            assert_eq!(
                check(&["--listen", address, "--admin-listen", address]),
                Ok(()),
                "{address}"
            );
        }
        for address in ["0.0.0.0:0", "10.0.0.1:0", "[::]:0", "[::ffff:10.0.0.1]:0"] {
            assert!(check(&["--listen", address]).unwrap_err().contains("--insecure-open"));
            assert_eq!(check(&["--listen", address, "--insecure-open"]), Ok(()));
            assert_eq!(check(&["--listen", address, "--tokens-file", "tokens"]), Ok(()));
            let admin = check(&["--admin-listen", address, "--insecure-open"]).unwrap_err();
            assert!(admin.contains("COLOPHON_ADMIN_TOKEN"), "{admin}");
        }
    }

    #[test]
    fn signed_tokens_need_issuer_audience_and_keys() {
        let error = check(&["--jwt-issuer", "i", "--jwt-keys", "keys.json"]).unwrap_err();
        assert!(error.contains("COLOPHON_JWT_AUDIENCE"), "{error}");
    }
}
