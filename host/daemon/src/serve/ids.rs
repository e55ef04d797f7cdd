//! The ids of a request: its own, and its place in a W3C trace.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// A longer id of a caller is not taken over.
const MOST: usize = 128;

/// Makes ids that differ from each other and, by the random start, from those of other processes.
pub(super) struct Ids(AtomicU64);

impl Ids {
    pub(super) fn new(random: u64) -> Self {
        Self(AtomicU64::new(random))
    }

    /// SplitMix64: every state gives another number, and near states far ones. Never 0, which no trace may be.
    fn next(&self) -> u64 {
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).max(1)
    }

    /// Writes the next one as sixteen digits.
    fn write(&self, text: &mut String) {
        let number = self.next();
        let digits = (0..16).rev().map(|place| number >> (4 * place) & 15);
        text.extend(digits.filter_map(|digit| char::from_digit(digit as u32, 16)));
    }

    /// The next two as thirty-two digits.
    fn long(&self) -> String {
        let mut text = String::with_capacity(32);
        (0..2).for_each(|_| self.write(&mut text));
        text
    }
}

/// Who a request is.
pub(super) struct Trace {
    /// The caller's `x-request-id`, or one of ours.
    pub(super) request: String,
    /// `traceparent`, version 00: the caller's trace with our span in it.
    parent: String,
}

impl Trace {
    pub(super) fn of(headers: &HeaderMap, ids: &Ids) -> Self {
        let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_plain(id));
        let request = given.map_or_else(|| ids.long(), str::to_owned);
        let given = headers.get(TRACEPARENT).and_then(|parent| parent.to_str().ok()).and_then(taken_over);
        let mut parent = String::with_capacity(55);
        parent.push_str("00-");
        match given {
            Some((trace, _)) => parent.push_str(trace),
            None => (0..2).for_each(|_| ids.write(&mut parent)),
        }
        parent.push('-');
        ids.write(&mut parent);
        parent.push('-');
        parent.push_str(given.map_or("00", |(_, flags)| flags));
        Self { request, parent }
    }

    /// The trace's id.
    pub(super) fn trace_id(&self) -> &str {
        self.parent.get(3..35).unwrap_or_default()
    }

    /// Tells the caller.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        for (name, value) in [(REQUEST_ID, &self.request), (TRACEPARENT, &self.parent)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// Ids end up in logs and records: no blanks, no control characters, nothing that a terminal takes for an order.
fn is_plain(id: &str) -> bool {
    (1..=MOST).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte))
}

/// The trace and the flags of a valid `traceparent`.
fn taken_over(parent: &str) -> Option<(&str, &str)> {
    let hex = |text: &str, len| {
        text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let mut parts = parent.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // A later version may have more parts; version 00 has not, and ff is none.
    let whole = hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    let set = |id: &str| id.bytes().any(|byte| byte != b'0');
    (whole && hex(trace, 32) && set(trace) && hex(span, 16) && set(span) && hex(flags, 2)).then_some((trace, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(name: HeaderName, value: &'static str) -> Trace {
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        Trace::of(&headers, &Ids::new(7))
    }

    #[test]
    fn a_trace_of_the_caller_is_taken_over_with_a_span_of_ours() {
        let trace = trace(TRACEPARENT, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(trace.parent.ends_with("-01") && !trace.parent.contains("00f067aa0ba902b7"), "{}", trace.parent);
    }

    #[test]
    fn what_is_no_trace_starts_a_new_one() {
        for wrong in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            let trace = trace(TRACEPARENT, wrong);
            assert!(taken_over(&trace.parent).is_some(), "{}", trace.parent);
            assert_ne!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        }
    }

    #[test]
    fn an_id_that_could_write_into_a_log_is_not_taken_over() {
        assert_eq!(trace(REQUEST_ID, "order-17/b").request, "order-17/b");
        assert_eq!(trace(REQUEST_ID, "a b").request.len(), 32);
        assert_eq!(trace(REQUEST_ID, "\"}, {\"").request.len(), 32);
    }
}
