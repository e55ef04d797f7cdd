//! A small world for the tests of each capability.

use std::path::Path;

use super::*;

pub(crate) const NOW: i64 = 1_700_000_000_000_000;

struct Small;

impl World for Small {
    fn environment(&self, name: &str) -> Option<String> {
        match name {
            "REGION" => Some("north".to_owned()),
            "LONG" => Some("x".repeat(65_537)),
            _ => None,
        }
    }

    fn now_us(&self) -> i64 {
        NOW
    }

    /// Echoes, with a cookie and with headers out of order.
    fn http(
        &self,
        target: &HttpTarget,
        request: &HttpRequest,
        body: &[u8],
        _: &dyn Fn() -> bool,
    ) -> Result<(HttpResponse, Vec<u8>), Refusal> {
        let scheme = if target.tls { "https" } else { "http" };
        let HttpRequest { method, path, .. } = request;
        let said = format!("{method} {scheme} {} {path} {}", target.authority, String::from_utf8_lossy(body));
        let headers = [("set-cookie", "id=1"), ("b", "2"), ("a", "1")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Ok((HttpResponse { status: 200, headers }, said.into_bytes()))
    }
}

/// Asks the small world within these grants.
pub(crate) fn ask(grants: &Grants, request: &Request, body: &[u8]) -> Result<(Reply, Vec<u8>), Refusal> {
    ask_in(Path::new("/nowhere"), grants, request, body)
}

/// The same, with a root for folders.
pub(crate) fn ask_in(
    root: &Path,
    grants: &Grants,
    request: &Request,
    body: &[u8],
) -> Result<(Reply, Vec<u8>), Refusal> {
    let live = Live::new(grants.clone(), root.to_owned(), Arc::new(Small), u64::MAX);
    let answer = live.ask(request, body, &|| false).unwrap();
    answer.result.map(|reply| (reply, answer.body))
}

#[test]
fn a_call_that_was_not_recorded_ends_the_stage() {
    let exchange = Exchange {
        request: Request::Environment { name: "REGION".to_owned() },
        body: Vec::new(),
        answer: Reply::Environment(Some("north".to_owned())).into(),
    };
    let recorded = Recorded::new(vec![exchange.clone()]);
    let ask = |request: &Request| recorded.ask(request, &[], &|| false).map_err(|error| error.to_string());
    let differs =
        |call, recorded| format!("granted call {call} asks for the wall clock, where the recording has {recorded}");
    assert_eq!(ask(&Request::WallClock), Err(differs(1, "environment name `REGION`")));
    assert_eq!(ask(&exchange.request), Ok(exchange.answer));
    assert_eq!(ask(&Request::WallClock), Err(differs(2, "no further call")));
}

#[test]
fn granted_calls_are_bounded_in_bytes() {
    let grants = Grants { http: ["api.example.org".to_owned()].into(), ..Grants::default() };
    let request = Request::Http(HttpRequest {
        host: "api.example.org".to_owned(),
        method: "POST".to_owned(),
        path: "/".to_owned(),
        headers: Vec::new(),
    });
    let live = Live::new(grants, "/nowhere".into(), Arc::new(Small), 100);
    assert!(live.ask(&request, &[b'x'; 30], &|| false).is_ok());
    let error = live.ask(&request, &[b'x'; 30], &|| false).unwrap_err().to_string();
    assert_eq!(
        error,
        "what granted calls carry together exceeds 100 bytes (`limits.output` in stagewright.toml raises this)"
    );
    let live = Live::new(Grants::default(), "/nowhere".into(), Arc::new(Small), u64::MAX);
    let answer = live.ask(&request, &vec![0; 16 << 20 | 1], &|| false).unwrap();
    assert_eq!(answer.result, Err(Refusal::TooLarge("one call carries at most 16777216 bytes".to_owned())));
}
