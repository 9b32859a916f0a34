//! Where each signal goes, and how to reach the collector.

use std::time::Duration;

use url::Url;

use super::{
    Exporter, OtlpOptions, Protocol, Tls,
    environment::{BadVariable, Environment, Result, for_signal},
    values::{endpoint, gzip, headers, pem, protocol, timeout},
};

/// A value of `OTEL_…_EXPORTER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Otlp,
    Console,
    Prometheus,
    None,
}

impl Choice {
    fn known(name: &str) -> Option<Self> {
        match name {
            "otlp" => Some(Self::Otlp),
            "console" => Some(Self::Console),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}

/// Where a signal goes.
pub fn exporter(env: &Environment, signal: &str) -> Result<Exporter> {
    let variable = format!("OTEL_{signal}_EXPORTER");
    let choices = env.choices(&variable, "must be otlp, console or none", Choice::known);
    chosen(env, signal, first(env, &variable, choices))
}

/// Where metrics go, and whether they can be scraped. They may have two ways out at once, such as
/// `otlp,prometheus`; the scrape is there unless something else was chosen.
pub fn metric_exporters(env: &Environment) -> Result<(Exporter, bool)> {
    let variable = "OTEL_METRICS_EXPORTER";
    let known = |name: &str| match name {
        "prometheus" => Some(Choice::Prometheus),
        _ => Choice::known(name),
    };
    let choices = env.choices(variable, "must be otlp, console, none or prometheus", known);
    let (scrape, others): (Vec<_>, Vec<_>) =
        choices.into_iter().partition(|choice| *choice == Choice::Prometheus);
    let other = first(env, variable, others);
    let (scrape, other) = match (!scrape.is_empty(), other) {
        (true, None) => (true, Some(Choice::None)),
        (scrape, other) => (scrape || matches!(other, None | Some(Choice::Otlp)), other),
    };
    Ok((chosen(env, "METRICS", other)?, scrape))
}

/// The first choice; a signal has one exporter.
fn first(env: &Environment, variable: &str, choices: Vec<Choice>) -> Option<Choice> {
    for beyond in choices.iter().skip(1) {
        let name = format!("{beyond:?}").to_ascii_lowercase();
        env.ignore(variable, &name, "the first exporter of the list is used");
    }
    choices.first().copied()
}

/// With nothing chosen, OTLP if an endpoint is set, and nothing otherwise.
fn chosen(env: &Environment, signal: &str, choice: Option<Choice>) -> Result<Exporter> {
    let endpoint = for_signal(signal, "ENDPOINT", |variable| Ok(env.text(variable)))?;
    match choice {
        Some(Choice::Console) => Ok(Exporter::Console),
        Some(Choice::None) => Ok(Exporter::None),
        None if endpoint.is_none() => Ok(Exporter::None),
        _ => Ok(Exporter::Otlp(Box::new(otlp(env, signal)?))),
    }
}

fn otlp(env: &Environment, signal: &str) -> Result<OtlpOptions> {
    let protocol = for_signal(signal, "PROTOCOL", |variable| {
        Ok(env.choice(variable, "must be grpc or http/protobuf", protocol))
    })?
    .unwrap_or(Protocol::Http);
    let gzip = for_signal(signal, "COMPRESSION", |variable| {
        Ok(env.choice(variable, "must be gzip or none", gzip))
    })?;
    Ok(OtlpOptions {
        timeout: for_signal(signal, "TIMEOUT", |variable| env.get(variable, timeout))?
            .unwrap_or(Duration::from_secs(10)),
        gzip: gzip.unwrap_or(false),
        headers: for_signal(signal, "HEADERS", |variable| env.get(variable, headers))?
            .unwrap_or_default(),
        tls: Tls {
            authority: for_signal(signal, "CERTIFICATE", |variable| env.get(variable, pem))?,
            identity: identity(env, signal)?,
        },
        ..OtlpOptions::new(protocol, signal_endpoint(env, signal, protocol)?)
    })
}

fn signal_endpoint(env: &Environment, signal: &str, protocol: Protocol) -> Result<Url> {
    let insecure = for_signal(signal, "INSECURE", |variable| Ok(env.flag(variable)))?;
    let scheme = match (protocol, insecure.unwrap_or(false)) {
        (Protocol::Http, _) => None,
        (Protocol::Grpc, true) => Some("http"),
        (Protocol::Grpc, false) => Some("https"),
    };
    let read = |variable: &str| env.get(variable, |text| endpoint(text, scheme));
    let own = read(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"))?;
    let common = read("OTEL_EXPORTER_OTLP_ENDPOINT")?;
    Ok(match (own, common, protocol) {
        // Only the endpoint of one signal is used as it is.
        (Some(own), _, _) => own,
        (None, Some(common), Protocol::Grpc) => common,
        (None, Some(common), Protocol::Http) => with_path(common, signal),
        (None, None, Protocol::Grpc) => known_url("http://localhost:4317"),
        (None, None, Protocol::Http) => with_path(known_url("http://localhost:4318"), signal),
    })
}

fn identity(env: &Environment, signal: &str) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    let read = |variable: &str| env.get(variable, pem);
    let certificate = for_signal(signal, "CLIENT_CERTIFICATE", read)?;
    let key = for_signal(signal, "CLIENT_KEY", read)?;
    if certificate.is_some() != key.is_some() {
        return Err(BadVariable {
            variable: "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE".to_owned(),
            value: "…".to_owned(),
            expected: "must be given together with OTEL_EXPORTER_OTLP_CLIENT_KEY".to_owned(),
        });
    }
    Ok(certificate.zip(key))
}

fn known_url(url: &str) -> Url {
    Url::parse(url).expect("a valid URL")
}

fn with_path(mut endpoint: Url, signal: &str) -> Url {
    let base = endpoint.path().trim_end_matches('/');
    let path = format!("{base}/v1/{}", signal.to_ascii_lowercase());
    endpoint.set_path(&path);
    endpoint
}
