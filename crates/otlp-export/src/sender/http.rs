//! OTLP by HTTP, for requests that are encoded already.

use std::{
    io::Write,
    time::{Duration, SystemTime},
};

use ::http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use flate2::{Compression, write::GzEncoder};
use prost::bytes::{Bytes, BytesMut};
use url::Url;

use super::{
    Result,
    backoff::{Failure, Retry},
    client,
};
use crate::{encoded::ExportRequest, options::OtlpOptions, text::error_chain};

/// Bytes of a response at most.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// A collector.
pub struct Collector {
    client: reqwest::Client,
    endpoint: Url,
    headers: HeaderMap,
    gzip: bool,
}

impl Collector {
    /// Connects when something is to be sent.
    pub fn new(otlp: &OtlpOptions) -> Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if otlp.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let endpoint = otlp.endpoint.clone();
        Ok(Self { client: client(otlp)?, endpoint, headers, gzip: otlp.gzip })
    }

    /// The body that all attempts to send `message` have.
    pub fn body(&self, message: &ExportRequest) -> Bytes {
        if !self.gzip {
            return message.whole();
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let written = message.pieces().try_for_each(|piece| encoder.write_all(piece));
        let compressed = written.and_then(|()| encoder.finish());
        compressed.expect("memory can be written to").into()
    }

    /// One attempt.
    pub async fn send(&self, body: Bytes) -> std::result::Result<Bytes, Failure> {
        let mut request = reqwest::Request::new(Method::POST, self.endpoint.clone());
        *request.headers_mut() = self.headers.clone();
        *request.body_mut() = Some(body.into());
        let response = self.client.execute(request).await.map_err(unreachable)?;
        let (status, retry_after) =
            (response.status(), response.headers().get(RETRY_AFTER).cloned());
        // Read in any case, so that the connection can be used again.
        let answer = answer(response).await?;
        if status.is_success() {
            return Ok(answer);
        }
        let retry_after = retry_after.as_ref().and_then(|value| value.to_str().ok());
        Err(Failure { reason: format!("HTTP status {status}"), retry: retry(status, retry_after) })
    }
}

async fn answer(mut response: reqwest::Response) -> std::result::Result<Bytes, Failure> {
    let mut answer = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if answer.len() + chunk.len() > LONGEST_ANSWER {
            let reason = format!("the answer has more than {LONGEST_ANSWER} bytes");
            return Err(Failure { reason, retry: Retry::Never });
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer.freeze())
}

fn unreachable(error: reqwest::Error) -> Failure {
    // The URL may have a password.
    Failure { reason: error_chain(&error.without_url()), retry: Retry::Later }
}

/// As the protocol has it (opentelemetry.io/docs/specs/otlp/#failures-1).
fn retry(status: StatusCode, retry_after: Option<&str>) -> Retry {
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            retry_after.and_then(delay).map_or(Retry::Later, Retry::After)
        }
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Retry::Later,
        _ => Retry::Never,
    }
}

/// Seconds, or a date.
fn delay(retry_after: &str) -> Option<Duration> {
    if let Ok(seconds) = retry_after.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(retry_after).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_tell_whether_to_try_again() {
        let after = |text| retry(StatusCode::SERVICE_UNAVAILABLE, Some(text));
        assert_eq!(retry(StatusCode::BAD_GATEWAY, Some("7")), Retry::Later);
        assert_eq!(retry(StatusCode::TOO_MANY_REQUESTS, None), Retry::Later);
        assert_eq!(retry(StatusCode::BAD_REQUEST, Some("7")), Retry::Never);
        assert_eq!(after("7"), Retry::After(Duration::from_secs(7)));
        assert_eq!(after("soon"), Retry::Later);
        assert_eq!(after("Fri, 31 Dec 1999 23:59:59 GMT"), Retry::After(Duration::ZERO));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_mins(1));
        let Retry::After(delay) = after(&date) else { panic!("{date}") };
        assert!((58..=60).contains(&delay.as_secs()), "{delay:?}");
    }
}
