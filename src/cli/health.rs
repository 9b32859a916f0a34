//! `colophon health`

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use crate::cli::{fail, print};

/// How long the service may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the service whose admin listener is at `address` whether it is ready: for containers, which
/// have no other program to ask with.
pub async fn run(address: SocketAddr) -> ExitCode {
    let url = format!("http://{}/readyz", reachable(address));
    match ask(&url).await {
        Ok((true, answer)) => print(&format!("{answer}\n")),
        Ok((false, answer)) => fail(format_args!("not ready: {answer}")),
        Err(error) => fail(format_args!("{url} cannot be asked: {error}")),
    }
}

/// A listener at every address is found at the loopback's.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

async fn ask(url: &str) -> reqwest::Result<(bool, String)> {
    // The client wants to know who does TLS, though nothing here is encrypted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build()?;
    let response = client.get(url).send().await?;
    Ok((response.status().is_success(), response.text().await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_localhost_for_any_address() {
        let reached = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:9464"), "127.0.0.1:9464");
        assert_eq!(reached("[::]:9464"), "[::1]:9464");
        assert_eq!(reached("10.0.0.1:9464"), "10.0.0.1:9464");
    }
}
