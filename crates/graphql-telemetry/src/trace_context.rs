//! The caller's trace, as [W3C Trace Context level 2](https://www.w3.org/TR/trace-context-2/) has
//! it: `traceparent` and `tracestate`, as headers or as entries of a WebSocket message.
//!
//! The SDK's `TraceContextPropagator` accepts ids that are too short, signs, trailing dashes and
//! several `traceparent` headers, and reads one `tracestate` header only.

use opentelemetry::{
    Context, KeyValue, SpanId, TraceId,
    trace::{Link, SpanContext, SpanKind, TraceContextExt, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};

/// The name of the header and the entry with the caller's trace and span.
pub const TRACEPARENT: &str = "traceparent";
/// The name of the header and the entry with what tracing systems add.
pub const TRACESTATE: &str = "tracestate";

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// The flag of an id whose right half is random (level 2, section 3.2.2.5.2).
const RANDOM: TraceFlags = TraceFlags::new(2);
/// The members of a `tracestate`, at most.
const MAX_MEMBERS: usize = 32;
/// The characters of a key, and of a value, at most.
const MAX_TOKEN: usize = 256;
/// The characters of a `tracestate` that are propagated: what the specification asks for at least.
const MAX_TRACESTATE: usize = 512;
/// Longer members are the first to be removed from a `tracestate` that is too long.
const LONG_MEMBER: usize = 128;

/// The context of the caller's span, or an empty one if there is not exactly one valid
/// `traceparent`. An invalid `tracestate` is discarded by itself.
pub fn extract<'a>(
    traceparent: impl IntoIterator<Item = &'a [u8]>,
    tracestate: impl IntoIterator<Item = &'a [u8]>,
) -> Context {
    let mut traceparent = traceparent.into_iter();
    let (Some(only), None) = (traceparent.next(), traceparent.next()) else {
        return Context::new();
    };
    let Some((trace, span, flags)) = parse_traceparent(only) else { return Context::new() };
    let state = parse_tracestate(tracestate).unwrap_or_default();
    Context::new().with_remote_span_context(SpanContext::new(trace, span, flags, true, state))
}

/// The `traceparent` of a context's span; none if it has no span.
#[must_use]
pub fn traceparent(context: &Context) -> Option<String> {
    let span = context.span().span_context().clone();
    let (trace, id, flags) = (span.trace_id(), span.span_id(), span.trace_flags());
    span.is_valid().then(|| format!("00-{trace}-{id}-{:02x}", flags.to_u8()))
}

/// The span that a `traceparent` names, for a link to it.
#[must_use]
pub fn parse(traceparent: &str) -> Option<SpanContext> {
    let (trace, span, flags) = parse_traceparent(traceparent.as_bytes())?;
    Some(SpanContext::new(trace, span, flags, true, TraceState::NONE))
}

/// Parses a `traceparent` of version 00, or what is known to be in one of a higher version.
fn parse_traceparent(text: &[u8]) -> Option<(TraceId, SpanId, TraceFlags)> {
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let [version] = hex(&known[..2])?;
    let is_complete = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.first().is_none_or(|next| *next == b'-'),
    };
    if !is_complete || [2, 35, 52].iter().any(|dash| known[*dash] != b'-') {
        return None;
    }
    let (trace, span) =
        (TraceId::from_bytes(hex(&known[3..35])?), SpanId::from_bytes(hex(&known[36..52])?));
    let [flags] = hex(&known[53..])?;
    let flags = TraceFlags::new(flags) & (TraceFlags::SAMPLED | RANDOM);
    (trace != TraceId::INVALID && span != SpanId::INVALID).then_some((trace, span, flags))
}

/// The bytes of lowercase hexadecimal digits.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let is_lowercase = !digits.iter().any(u8::is_ascii_uppercase);
    is_lowercase.then(|| const_hex::decode_to_array(digits).ok())?
}

/// The members of all headers, in their order; `None` if one of them is invalid.
fn parse_tracestate<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Option<TraceState> {
    let mut members: Vec<(&str, &str)> = Vec::new();
    let mut count = 0;
    for header in headers {
        for member in str::from_utf8(header).ok()?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            // Empty members are permitted, and not counted.
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            count += 1;
            if count > MAX_MEMBERS || !is_key(key) || !is_value(value) {
                return None;
            }
            // One entry a key: the leftmost is the most recent.
            if members.iter().all(|(known, _)| *known != key) {
                members.push((key, value));
            }
        }
    }
    // The library has the stricter keys of level 1.
    members.retain(|(key, value)| TraceState::from_key_value([(key, value)]).is_ok());
    shorten(&mut members);
    TraceState::from_key_value(members).ok()
}

fn is_key(key: &str) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    key.len() <= MAX_TOKEN
        && key.as_bytes().first().is_some_and(is_first)
        && key.bytes().all(|byte| is_first(&byte) || b"_-*/@".contains(&byte))
}

/// Spaces around it are gone by then.
fn is_value(value: &str) -> bool {
    (1..=MAX_TOKEN).contains(&value.len())
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

/// Removes whole members as the specification has it (level 2, section 3.3.1.5): long ones first,
/// then from the end.
fn shorten(members: &mut Vec<(&str, &str)>) {
    let length = |(key, value): &(&str, &str)| key.len() + 1 + value.len();
    let total = |members: &[(&str, &str)]| {
        members.iter().map(length).sum::<usize>() + members.len().saturating_sub(1)
    };
    while total(members) > MAX_TRACESTATE {
        match members.iter().rposition(|member| length(member) > LONG_MEMBER) {
            Some(long) => drop(members.remove(long)),
            None => drop(members.pop()),
        }
    }
}

/// A sampler that decides without regard to the `sampled` flag of callers, unless they are trusted:
/// else a client that sends `…-00` hides the faults it causes, and one that sends `…-01` has
/// everything recorded that a ratio would leave out.
#[derive(Clone, Debug)]
pub struct CallerSampler {
    /// Decides.
    pub sampler: Sampler,
    /// Whether the flag of callers counts, where the sampler regards a parent's.
    pub trust: bool,
}

impl ShouldSample for CallerSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let caller = parent.filter(|parent| {
            !self.trust && parent.has_active_span() && parent.span().span_context().is_remote()
        });
        let Some(caller) = caller else {
            return self.sampler.should_sample(parent, trace, name, kind, attributes, links);
        };
        let mut result = self.sampler.should_sample(None, trace, name, kind, attributes, links);
        result.trace_state = caller.span().span_context().trace_state().clone();
        result
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::SamplingDecision;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn extracted(traceparent: &[&str], tracestate: &[&str]) -> SpanContext {
        let bytes = |headers: &[&str]| -> Vec<Vec<u8>> {
            headers.iter().map(|header| header.as_bytes().to_vec()).collect()
        };
        let (parents, states) = (bytes(traceparent), bytes(tracestate));
        let context = extract(parents.iter().map(Vec::as_slice), states.iter().map(Vec::as_slice));
        context.span().span_context().clone()
    }

    #[test]
    fn reads_what_the_specification_permits() {
        for (traceparent, flags) in [
            (format!("00-{TRACE}-{SPAN}-01"), 1),
            (format!("00-{TRACE}-{SPAN}-00"), 0),
            (format!("00-{TRACE}-{SPAN}-03"), 3),
            // Unknown flags are cleared.
            (format!("00-{TRACE}-{SPAN}-fd"), 1),
            (format!("00-{TRACE}-{SPAN}-fc"), 0),
            // Of higher versions, what is known of them.
            (format!("01-{TRACE}-{SPAN}-01"), 1),
            (format!("cc-{TRACE}-{SPAN}-01-what-the-future-adds"), 1),
            (format!("fe-{TRACE}-{SPAN}-09-"), 1),
        ] {
            let span = extracted(&[&traceparent], &[]);
            assert_eq!(span.trace_id().to_string(), TRACE, "{traceparent}");
            assert_eq!(span.span_id().to_string(), SPAN, "{traceparent}");
            assert_eq!(span.trace_flags().to_u8(), flags, "{traceparent}");
            assert!(span.is_remote());
        }
    }

    #[test]
    fn restarts_the_trace_for_an_invalid_traceparent() {
        let zeros = "0".repeat(32);
        for traceparent in [
            String::new(),
            "-".to_owned(),
            "00".to_owned(),
            format!("00-1-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}0-{SPAN}-01"),
            format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}g-{SPAN}-01", &TRACE[1..]),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-1-01"),
            format!("00-{TRACE}-{}-01", &SPAN[1..]),
            format!("00-{TRACE}-+{}-01", &SPAN[1..]),
            format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-001"),
            format!("00-{TRACE}-{SPAN}-+1"),
            format!("00-{TRACE}-{SPAN}-0A"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-02"),
            format!("00-{TRACE}-{SPAN}-01 "),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}_{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("000-{TRACE}-{SPAN}-01"),
            format!("+0-{TRACE}-{SPAN}-01"),
            format!("0x-{TRACE}-{SPAN}-01"),
            format!("CC-{TRACE}-{SPAN}-01"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("01-{TRACE}-{SPAN}-0"),
            format!("01-{TRACE}-{SPAN}-012"),
            format!("01-{TRACE}-{SPAN}-01.more"),
            format!("01-{TRACE}-{SPAN}-01,01-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-ñ"),
        ] {
            let span = extracted(&[&traceparent], &["a=b"]);
            assert_eq!(span, SpanContext::NONE, "{traceparent}");
        }
        let valid = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(extracted(&[&valid, &valid], &[]), SpanContext::NONE);
        assert_eq!(extracted(&[&valid, ""], &[]), SpanContext::NONE);
        assert_eq!(extracted(&[], &["a=b"]), SpanContext::NONE);
    }

    fn state(tracestate: &[&str]) -> String {
        let span = extracted(&[&format!("00-{TRACE}-{SPAN}-01")], tracestate);
        assert_eq!(span.trace_id().to_string(), TRACE, "whatever {tracestate:?} is");
        span.trace_state().header()
    }

    #[test]
    fn combines_tracestate_headers_in_order() {
        assert_eq!(state(&[]), "");
        assert_eq!(state(&["a=1"]), "a=1");
        assert_eq!(state(&["a=1,b=2", "c=3"]), "a=1,b=2,c=3");
        assert_eq!(state(&["z=1", "", " , ", "a=2"]), "z=1,a=2");
        assert_eq!(state(&["a=1 \t,\t b= 2 3 "]), "a=1,b= 2 3");
        assert_eq!(state(&["0/_-*/=x", "tenant@system=!~"]), "0/_-*/=x,tenant@system=!~");
        assert_eq!(state(&["a=1,b=2", "a=3"]), "a=1,b=2", "the leftmost is the latest");
        let members: Vec<_> = (0..32).map(|number| format!("k{number}=v")).collect();
        assert_eq!(state(&[&members.join(",")]), members.join(","));
    }

    #[test]
    fn discards_an_invalid_tracestate_alone() {
        let (long, longer) = ("k".repeat(256), "k".repeat(257));
        assert_eq!(state(&[&format!("{long}=v")]), format!("{long}=v"));
        let many: Vec<_> = (0..33).map(|number| format!("k{number}=v")).collect();
        for invalid in [
            "a",
            "=1",
            "a=",
            "a=1=2",
            "A=1",
            "a =1",
            "_a=1",
            "a=ñ",
            "a=\u{7f}",
            "a.b=1",
            "ä=1",
            "a=1\tb",
            &format!("{longer}=v"),
            &format!("a={longer}"),
            &many.join(","),
        ] {
            assert_eq!(state(&[invalid]), "", "{invalid}");
            assert_eq!(state(&["good=1", invalid]), "", "{invalid}");
        }
        assert_eq!(state(&[&many[..20].join(","), &many[20..].join(",")]), "");
    }

    #[test]
    fn shortens_a_long_tracestate_by_whole_members() {
        let long = format!("long={}", "x".repeat(200));
        let short: Vec<_> = (0..9).map(|number| format!("k{number}={}", "v".repeat(50))).collect();
        // Nine of 53 characters are 485 with their commas; the long one is the first to leave.
        assert_eq!(
            state(&[&short[..4].join(","), &long]),
            [&short[..4].join(","), &*long].join(",")
        );
        assert_eq!(state(&[&long, &short.join(",")]), short.join(","));
        let more = format!("{},last=x{}", short.join(","), "x".repeat(40));
        assert_eq!(state(&[&more]), short.join(","));
    }

    #[test]
    fn follows_callers_sampling_only_if_trusted() {
        let always_off = Sampler::ParentBased(Box::new(Sampler::AlwaysOff));
        let always_on = Sampler::ParentBased(Box::new(Sampler::AlwaysOn));
        let decide = |sampler: &Sampler, trust, flags| {
            let traceparent = format!("00-{TRACE}-{SPAN}-{flags}");
            let parent = extract([traceparent.as_bytes()], [&b"a=b"[..]]);
            let sampler = CallerSampler { sampler: sampler.clone(), trust };
            let trace = parent.span().span_context().trace_id();
            let kind = SpanKind::Server;
            let result = sampler.should_sample(Some(&parent), trace, "", &kind, &[], &[]);
            assert_eq!(result.trace_state.header(), "a=b");
            result.decision == SamplingDecision::RecordAndSample
        };
        for (sampler, trust, flags, sampled) in [
            (&always_on, false, "00", true),
            (&always_on, false, "01", true),
            (&always_on, true, "00", false),
            (&always_off, false, "01", false),
            (&always_off, true, "01", true),
        ] {
            assert_eq!(decide(sampler, trust, flags), sampled, "{sampler:?} {trust} {flags}");
        }
    }

    #[test]
    fn children_follow_the_span_of_this_process() {
        let span =
            SpanContext::new(1.into(), 2.into(), TraceFlags::NOT_SAMPLED, false, TraceState::NONE);
        let parent = Context::new().with_remote_span_context(span);
        let sampler = CallerSampler {
            sampler: Sampler::ParentBased(Box::new(Sampler::AlwaysOn)),
            trust: false,
        };
        let kind = SpanKind::Internal;
        let result = sampler.should_sample(Some(&parent), 1.into(), "", &kind, &[], &[]);
        assert_eq!(result.decision, SamplingDecision::Drop);
    }
}
