//! Plugins between people: signed, packed, pushed to a real registry, fetched by others, locked, and refused.
//!
//! The registry is Debian's, on a port of this machine. Where it cannot be had, its stories say that they are skipped.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
    sync::{Arc, OnceLock},
};

use expect_test::expect;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use stagewright_tests::{
    Lab, component,
    registry::{self, Open, Registry, minisign, oras},
};

/// A project, a key called `ada`, and the components of two plugins.
fn lab() -> Lab {
    let lab = Lab::empty();
    lab.ok(&["init"]);
    for name in ["split", "clean"] {
        fs::copy(component(name), lab.file(&format!("{name}.wasm"))).expect("the component can be copied");
    }
    lab.ok(&["plugin", "keygen", "ada", "--unencrypted"]);
    lab
}

/// The line of a public key.
fn line(lab: &Lab, key: &str) -> String {
    let file = fs::read_to_string(lab.file(&format!("{key}.pub"))).expect("the key was made");
    file.lines().nth(1).expect("a key has two lines").to_owned()
}

/// Adds a policy to a project's settings.
fn trusts(lab: &Lab, require_signature: bool, keys: &[String]) {
    let settings = fs::read_to_string(lab.file("stagewright.toml")).expect("the settings can be read");
    lab.write(
        "stagewright.toml",
        format!("{settings}\n[trust]\nrequire-signature = {require_signature}\nkeys = {keys:?}\n"),
    );
}

/// A refusal, with the registry's port taken out.
fn refusal(lab: &Lab, arguments: &[&str], host: &str) -> String {
    lab.run(arguments).refusal().replace(host, "[host]")
}

/// A lock file without what differs from run to run.
fn shown(lock: &str, host: &str) -> String {
    let apart = lock.replace(host, "[host]").replace("blake3:", "blake3: ").replace("sha256:", "sha256: ");
    stagewright_tests::masked(&apart, Path::new("/nowhere"))
}

/// How many versions of plugins a project has.
fn versions(lab: &Lab) -> u64 {
    let listed = lab.json(&["plugin", "list"]);
    listed.as_array().into_iter().flatten().filter_map(|one| one["versions"].as_u64()).sum()
}

#[test]
fn a_signed_plugin_goes_to_a_registry_and_comes_back_trusted_and_locked() {
    let Some(registry) = Registry::start(Open::ToAll) else { return };
    let (ada, bob, eve) = (lab(), lab(), Lab::empty());
    let reference = format!("{}/team/split:1.0", registry.host);
    ada.ok(&["plugin", "sign", "split.wasm", "--key", "ada"]);
    ada.ok(&["plugin", "push", &reference, "split.wasm"]);

    trusts(&bob, true, &[line(&ada, "ada")]);
    bob.ok(&["plugin", "add", &format!("oci://{reference}")]);
    let log = bob.ok(&["audit", "log", "--repository", "code"]).out;
    let id = ada.json(&["plugin", "inspect", "split.wasm"])["signature"]["key"].as_str().unwrap_or_default().to_owned();
    assert!(id.len() == 16 && log.contains("signature trusted key") && log.contains(&id), "{id}: {log}");
    assert!(bob.ok(&["plugin", "inspect", "split@1"]).out.contains(&id));

    let lock = fs::read_to_string(bob.file("stagewright.lock")).expect("what comes from elsewhere is locked");
    expect![[r#"
        # Written by `stagewright plugin add`: the plugins that came from elsewhere, and exactly which bytes they are.
        # Keep it in version control; `stagewright plugin add --locked` adds them all again.
        layout = 1

        [plugin.split]
        source = "oci://[host]/team/split:1.0"
        version = "0.1.0"
        digest = "blake3: [digest]"
        manifest = "sha256: [digest]"
    "#]]
    .assert_eq(&shown(&lock, &registry.host));

    // A colleague's project is filled from the lock, even after the tag has moved.
    ada.ok(&["plugin", "push", &reference, "clean.wasm"]);
    eve.ok(&["init"]);
    eve.write("stagewright.lock", &lock);
    eve.ok(&["plugin", "add", "--locked"]);
    let digest = |lab: &Lab| lab.json(&["plugin", "inspect", "split"])["plugin"]["digest"].clone();
    assert_eq!(digest(&eve), digest(&bob));
    assert_eq!(fs::read_to_string(eve.file("stagewright.lock")).expect("it is still there"), lock);

    // The signature stayed with the plugin: bob's copy can go on to others, who trust ada and not bob.
    let other = format!("{}/bob/split:1", registry.host);
    bob.ok(&["plugin", "push", &other, "split@1"]);
    let pulled = eve.ok(&["plugin", "pull", &other, "-o", "again.wasm", "--signed-by", &line(&ada, "ada")]);
    assert!(pulled.out.contains(&format!("signed by the trusted key {id}")), "{}", pulled.out);
    assert_eq!(fs::read(eve.file("again.wasm")).ok(), fs::read(ada.file("split.wasm")).ok());
}

#[test]
fn a_tag_that_moved_is_refused_until_one_asks_for_the_update() {
    let Some(registry) = Registry::start(Open::ToAll) else { return };
    let lab = lab();
    let reference = format!("{}/split:latest", registry.host);
    let source = format!("oci://{reference}");
    let manifest = lab.json(&["plugin", "push", &reference, "split.wasm"])["manifest"].clone();
    lab.ok(&["plugin", "add", &source]);
    lab.ok(&["plugin", "push", &reference, "clean.wasm"]);
    expect![[r#"
        exit 4
        error: stagewright.lock locks `split` to [digest] from oci://[host]/split:latest, which now gives [digest]; nothing was added. If the change is meant, repeat this with --update
    "#]]
    .assert_eq(&refusal(&lab, &["--quiet", "plugin", "add", &source], &registry.host));
    assert_eq!(lab.run(&["plugin", "pull", &reference]).code, Some(4));
    assert_eq!(lab.run(&["plugin", "add", "clean.wasm", "--name", "split"]).code, Some(4), "a file neither");
    assert_eq!(versions(&lab), 1);
    // What was pinned by its digest is still there, under the name that it had.
    lab.ok(&["plugin", "add", &format!("{source}@{}", manifest.as_str().unwrap_or_default())]);
    assert_eq!(versions(&lab), 1);

    lab.ok(&["plugin", "add", &source, "--update"]);
    assert_eq!(versions(&lab), 2);
    lab.ok(&["plugin", "add", &source]);
    // One's own file takes the name back, and the lock forgets it.
    lab.ok(&["plugin", "add", "split.wasm", "--update"]);
    assert!(!fs::read_to_string(lab.file("stagewright.lock")).expect("the file stays").contains("split"));
}

#[test]
fn a_changed_file_a_foreign_key_and_a_missing_signature_are_each_refused() {
    let lab = lab();
    lab.ok(&["plugin", "keygen", "eve", "--unencrypted"]);
    trusts(&lab, true, &[line(&lab, "ada")]);
    let add = || lab.run(&["--quiet", "plugin", "add", "split.wasm"]).refusal();
    let masked = |text: String| {
        let is_id = |word: &str| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        text.split(' ')
            .map(|word| if is_id(word.trim_end_matches([';', ','])) { "[key]" } else { word })
            .collect::<Vec<_>>()
            .join(" ")
    };
    expect![[r#"
        exit 4
        error: split.wasm is not signed, and stagewright.toml requires signatures; its author makes one with `stagewright plugin sign`
    "#]]
    .assert_eq(&add());
    lab.ok(&["plugin", "sign", "split.wasm", "--key", "eve"]);
    expect![[r#"
        exit 4
        error: split.wasm is signed by the key [key] which stagewright.toml does not list under [trust] keys
    "#]]
    .assert_eq(&masked(add()));
    lab.ok(&["plugin", "sign", "split.wasm", "--key", "ada"]);
    let good = fs::read(lab.file("split.wasm")).expect("the component is there");
    let clean = fs::read(lab.file("clean.wasm")).expect("the component is there");
    lab.write("split.wasm", clean);
    let wrong = expect![[r#"
        exit 4
        error: split.wasm: the signature by the trusted key [key] is wrong; the file or its signature was changed
    "#]];
    wrong.assert_eq(&masked(add()));
    assert_eq!(versions(&lab), 0);

    // A wrong signature is refused whatever the policy.
    lab.replace("stagewright.toml", "\nrequire-signature = true", "\nrequire-signature = false");
    wrong.assert_eq(&masked(add()));
    lab.write("split.wasm", good);
    lab.ok(&["plugin", "add", "split.wasm"]);
    lab.write("clean.wasm.minisig", "not a signature\n");
    assert_eq!(lab.run(&["plugin", "add", "clean.wasm"]).code, Some(2));
}

#[test]
fn the_tool_of_minisign_checks_our_signatures_and_we_check_its_own() {
    let Some(mut check) = minisign() else { return };
    let lab = lab();
    lab.ok(&["plugin", "sign", "split.wasm", "--key", "ada"]);
    let at = |name: &str| lab.file(name);
    let accepted = check.arg("-Vm").arg(at("split.wasm")).arg("-p").arg(at("ada.pub")).status();
    assert!(accepted.expect("minisign runs").success());

    let mut generate = minisign().expect("it was there a moment ago");
    let made = generate.args(["-G", "-W", "-f", "-p"]).arg(at("bob.pub")).arg("-s").arg(at("bob")).status();
    assert!(made.expect("minisign runs").success());
    let mut sign = minisign().expect("it was there a moment ago");
    let signed = sign.arg("-Sm").arg(at("clean.wasm")).arg("-W").arg("-s").arg(at("bob")).status();
    assert!(signed.expect("minisign runs").success());
    lab.ok(&["plugin", "add", "clean.wasm", "--signed-by", "bob.pub"]);
    assert_eq!(lab.run(&["plugin", "add", "clean.wasm", "--signed-by", "ada.pub"]).code, Some(4));
    // A key that the tool made signs here too.
    lab.ok(&["plugin", "sign", "split.wasm", "--key", "bob"]);
    lab.ok(&["plugin", "add", "split.wasm", "--signed-by", &line(&lab, "bob")]);
}

#[test]
fn a_key_is_kept_under_a_password_and_from_others_eyes() {
    let lab = lab();
    lab.write("word", "open sesame\n");
    lab.write("other", "open barley\n");
    lab.ok(&["plugin", "keygen", "safe", "--password-file", "word"]);
    #[cfg(unix)]
    for key in ["safe", "ada"] {
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(lab.file(key)).expect("it was made").permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    let sign = |more: &[&str]| lab.run(&[&["plugin", "sign", "split.wasm", "--key", "safe"], more].concat()).refusal();
    expect![[r#"
        exit 2
        error: safe: Wrong password for that key
    "#]]
    .assert_eq(&sign(&["--password-file", "other"]));
    lab.ok(&["plugin", "sign", "split.wasm", "--key", "safe", "--password-file", "word"]);
    lab.ok(&["plugin", "add", "split.wasm", "--signed-by", "safe.pub"]);
    expect![[r#"
        exit 2
        error: safe exists already
    "#]]
    .assert_eq(&lab.run(&["plugin", "keygen", "safe", "--unencrypted"]).refusal());
}

#[test]
fn other_tools_read_what_is_pushed() {
    let (Some(registry), Some(mut python)) = (Registry::start(Open::ToAll), oras()) else { return };
    let lab = lab();
    let reference = format!("{}/split:1", registry.host);
    lab.ok(&["plugin", "push", &reference, "split.wasm"]);
    let script =
        "import sys, oras.client\noras.client.OrasClient(insecure=True).pull(target=sys.argv[1], outdir=sys.argv[2])";
    let pulled = python.args(["-c", script, &reference]).arg(lab.file("pulled")).output().expect("python runs");
    assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
    assert_eq!(fs::read(lab.file("pulled/split.wasm")).ok(), fs::read(component("split")).ok());
}

#[test]
fn a_registry_that_wants_a_password_gets_it_from_the_file_of_logins_and_nobody_else_does() {
    let Some(registry) = Registry::start(Open::ToUsers) else { return };
    let lab = lab();
    let reference = format!("{}/split:1", registry.host);
    let push = || refusal(&lab, &["plugin", "push", &reference, "split.wasm"], &registry.host);
    expect![[r#"
        exit 1
        error: [host] wants credentials: `docker login`, `oras login` or `skopeo login` writes them into a file that is read
    "#]]
    .assert_eq(&push());
    let login = |password: &str| {
        let entry =
            serde_json::json!({ "auths": { &registry.host: { "username": registry::USER, "password": password } } });
        lab.write(".docker/config.json", entry.to_string());
    };
    login("guessed");
    expect![[r#"
        exit 1
        error: [host] wants credentials, and did not accept those given
    "#]]
    .assert_eq(&push());
    login(registry::PASSWORD);
    lab.ok(&["plugin", "push", &reference, "split.wasm"]);
    let said = lab.ok(&["plugin", "add", &format!("oci://{reference}")]);
    let log = lab.ok(&["--json", "audit", "log"]).out;
    assert!(!format!("{}{}{log}", said.out, said.err).contains(registry::PASSWORD));

    // Another registry is not told.
    let asked = Answers::start(|request| {
        assert!(!request.to_lowercase().contains("authorization"), "{request}");
        answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b"")
    });
    assert_eq!(lab.run(&["plugin", "pull", &format!("{}/split:1", asked.host)]).code, Some(1));
}

#[test]
fn a_registry_that_hands_out_tokens_is_asked_for_one_and_shown_it() {
    let lab = lab();
    lab.ok(&["plugin", "pack", "split.wasm"]);
    let tar = std::process::Command::new("tar")
        .args(["-xf", "split.oci.tar", "--one-top-level=layout"])
        .current_dir(lab.path())
        .status();
    assert!(tar.expect("tar runs").success());
    let index = fs::read_to_string(lab.file("layout/index.json")).expect("a layout has an index");
    let index: serde_json::Value = serde_json::from_str(&index).expect("the index is JSON");
    let manifest = index["manifests"][0]["digest"].as_str().expect("the index names a manifest").to_owned();
    let blobs = lab.file("layout/blobs/sha256");
    // Its own address, which its challenge names, is known only once it listens.
    let own = Arc::new(OnceLock::<String>::new());
    let host = Arc::clone(&own);
    let registry = Answers::start(move |request| {
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let shown = |header: &str| request.to_lowercase().contains(&format!("authorization: {header}").to_lowercase());
        if let Some(asked) = path.strip_prefix("/token?") {
            let scoped = asked.contains("service=ours") && asked.contains("scope=repository%3Ateam%2Fsplit%3Apull");
            assert!(scoped, "{asked}");
            return match shown("Basic YWRhOnNlY3JldA==") {
                true => answer("200 OK", "", b"{\"access_token\": \"handed-out\"}"),
                false => answer("401 Unauthorized", "", b""),
            };
        }
        if !shown("Bearer handed-out") {
            let realm = format!("Bearer realm=\"http://{}/token\",service=\"ours\"", host.get().expect("it listens"));
            return answer("401 Unauthorized", &format!("WWW-Authenticate: {realm}\r\n"), b"");
        }
        let wanted =
            if path == "/v2/team/split/manifests/1" { &manifest } else { path.rsplit('/').next().unwrap_or("") };
        match fs::read(blobs.join(wanted.trim_start_matches("sha256:"))) {
            Ok(bytes) => answer("200 OK", "", &bytes),
            Err(_) => answer("404 Not Found", "", b""),
        }
    });
    own.set(registry.host.clone()).expect("nobody set it before");
    let pull = ["plugin", "pull", &format!("{}/team/split:1", registry.host), "-o", "pulled.wasm"];
    expect![[r#"
        exit 1
        error: [host] wants credentials: `docker login`, `oras login` or `skopeo login` writes them into a file that is read
    "#]]
    .assert_eq(&refusal(&lab, &pull, &registry.host));
    let login = serde_json::json!({ "auths": { &registry.host: { "auth": "YWRhOnNlY3JldA==" } } });
    lab.write(".docker/config.json", login.to_string());
    lab.ok(&pull);
    assert_eq!(fs::read(lab.file("pulled.wasm")).ok(), fs::read(lab.file("split.wasm")).ok());
}

#[test]
fn a_packed_plugin_is_one_file_with_its_signature() {
    let lab = lab();
    lab.ok(&["plugin", "sign", "split.wasm", "--key", "ada"]);
    lab.ok(&["plugin", "pack", "split.wasm"]);
    let first = fs::read(lab.file("split.oci.tar")).expect("it was packed");
    lab.ok(&["plugin", "add", "split.oci.tar", "--signed-by", "ada.pub"]);
    lab.ok(&["plugin", "pack", "split@1", "-o", "again.oci.tar"]);
    assert_eq!(fs::read(lab.file("again.oci.tar")).ok().as_ref(), Some(&first), "a version packs to the same bytes");

    let mut changed = first.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    lab.write("changed.oci.tar", &changed);
    assert_eq!(lab.run(&["plugin", "add", "changed.oci.tar"]).code, Some(4));
    lab.write("cut.oci.tar", &first[..middle]);
    assert_ne!(lab.run(&["plugin", "add", "cut.oci.tar"]).code, Some(0));
    assert_eq!(versions(&lab), 1);
}

#[test]
fn a_plugin_comes_from_a_web_server_with_its_signature() {
    let lab = lab();
    lab.ok(&["plugin", "sign", "split.wasm", "--key", "ada"]);
    let read = |name: &str| fs::read(lab.file(name)).expect("it is there");
    let (component, signature) = (read("split.wasm"), read("split.wasm.minisig"));
    let server = Answers::start(move |request| match request.split(' ').nth(1) {
        Some("/split.wasm?token=hidden") => answer("200 OK", "", &component),
        Some("/split.wasm.minisig?token=hidden") => answer("200 OK", "", &signature),
        _ => answer("404 Not Found", "", b"no such file"),
    });
    trusts(&lab, true, &[line(&lab, "ada")]);
    lab.ok(&["plugin", "add", &format!("http://{}/split.wasm?token=hidden", server.host)]);
    let lock = fs::read_to_string(lab.file("stagewright.lock")).expect("it is locked");
    assert!(lock.contains("/split.wasm\"") && !lock.contains("hidden"), "{lock}");
    expect![[r#"
        exit 1
        error: http://[host]/other.wasm answers 404 Not Found: no such file
    "#]]
    .assert_eq(&refusal(
        &lab,
        &["--quiet", "plugin", "add", &format!("http://{}/other.wasm", server.host)],
        &server.host,
    ));
}

#[test]
fn a_web_server_is_believed_only_with_a_certificate_that_this_machine_trusts() {
    let lab = lab();
    let component = fs::read(lab.file("split.wasm")).expect("it is there");
    let (server, certificate) = Answers::over_tls(move |request| match request.split(' ').nth(1) {
        Some("/split.wasm") => answer("200 OK", "", &component),
        _ => answer("404 Not Found", "", b""),
    });
    let address = format!("https://{}/split.wasm", server.host);
    let doubted = lab.run(&["plugin", "add", &address]);
    assert!(doubted.code == Some(1) && doubted.err.contains("certificate"), "{doubted:?}");
    assert_eq!(versions(&lab), 0);
    lab.write("ca.pem", certificate);
    let trusting = [("SSL_CERT_FILE", lab.file("ca.pem"))].map(|(name, path)| (name, path.display().to_string()));
    let trusting = trusting.each_ref().map(|(name, path)| (*name, path.as_str()));
    let said = lab.run_in(&trusting, &["plugin", "add", &address]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(fs::read_to_string(lab.file("stagewright.lock")).is_ok_and(|lock| lock.contains(&address)));
}

#[test]
fn addresses_that_anybody_could_answer_are_refused() {
    let lab = lab();
    let redirects = Answers::start(|_| answer("302 Found", "Location: http://example.org/split.wasm\r\n", b""));
    let add = |source: &str| refusal(&lab, &["--quiet", "plugin", "add", source], &redirects.host);
    expect![[r#"
        exit 2
        error: http://example.org/split.wasm is not encrypted; only https is used, except towards this machine itself
    "#]]
    .assert_eq(&add("http://example.org/split.wasm"));
    expect![[r#"
        exit 2
        error: `https://ada:word@example.org/split.wasm` is no address of a plugin: write no password into an address
    "#]]
    .assert_eq(&add("https://ada:word@example.org/split.wasm"));
    let said = add(&format!("http://{}/split.wasm", redirects.host));
    assert!(said.contains("it redirects to an address that is not encrypted"), "{said}");
    expect![[r#"
        exit 2
        error: `oci://team/split:1` is no address of a plugin: begin with the registry's host, such as registry.example.org or localhost:5000
    "#]]
    .assert_eq(&add("oci://team/split:1"));
}

#[test]
fn a_registry_that_answers_nonsense_is_refused_in_words() {
    let lab = lab();
    let manifest = |size: &str, digest: &str| {
        format!("{{\"layers\":[{{\"mediaType\":\"application/wasm\",\"digest\":\"{digest}\",\"size\":{size}}}]}}")
    };
    let nothing = format!("sha256:{}", "0".repeat(64));
    let ok = |body: &str| answer("200 OK", "", body.as_bytes());
    // A body that never ends, announced or not.
    let endless =
        |header: &str| [format!("HTTP/1.1 200 OK\r\n{header}\r\n").into_bytes(), vec![b' '; 6 << 20]].concat();
    let cases: Vec<(&str, Vec<u8>, Vec<u8>)> = vec![
        ("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), Vec::new()),
        ("nothing at all", Vec::new(), Vec::new()),
        ("a web page", ok("<html>hello</html>"), Vec::new()),
        ("an index", ok("{\"manifests\":[]}"), Vec::new()),
        ("an endless manifest", endless(""), Vec::new()),
        ("a manifest of a terabyte", endless("Content-Length: 1099511627776\r\n"), Vec::new()),
        ("a huge layer", ok(&manifest("1099511627776", &nothing)), Vec::new()),
        ("a path for a digest", ok(&manifest("1", "sha256:../../etc/passwd")), Vec::new()),
        ("other bytes", ok(&manifest("5", &nothing)), ok("other")),
        ("more bytes than it said", ok(&manifest("5", &nothing)), ok("others")),
        (
            "a blob that breaks off",
            ok(&manifest("5", &nothing)),
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\noth".to_vec(),
        ),
        ("a redirect without end", answer("302 Found", "Location: /v2/\r\n", b""), Vec::new()),
        (
            "a token from nowhere",
            answer("401 Unauthorized", "WWW-Authenticate: Bearer realm=\"\"\r\n", b""),
            Vec::new(),
        ),
        (
            "a token in the clear",
            answer("401 Unauthorized", "WWW-Authenticate: Bearer realm=\"http://example.org/\"\r\n", b""),
            Vec::new(),
        ),
        ("an error", answer("500 Oh No", "", b"\x1b[31mred\nlines"), Vec::new()),
    ];
    for (what, manifest, blob) in cases {
        let server =
            Answers::start(move |request| if request.contains("/blobs/") { blob.clone() } else { manifest.clone() });
        let said = lab.run(&["--quiet", "plugin", "pull", &format!("{}/split:1", server.host)]);
        assert!(matches!(said.code, Some(1 | 2 | 4)), "{what}: {said:?}");
        assert!(said.err.starts_with("error: ") && !said.err.contains(['\x1b', '\0']), "{what}: {}", said.err);
        assert!(!lab.file("split.wasm.new").exists());
    }
    let same = fs::read(lab.file("split.wasm")).ok() == fs::read(component("split")).ok();
    assert!(same, "what was there before stays as it was");
}

/// A server that says the same thing to everybody, whatever it is.
struct Answers {
    host: String,
}

impl Answers {
    fn start(reply: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        Self::serve(None, reply)
    }

    /// The same over TLS, and the certificate that vouches for it, as PEM.
    fn over_tls(reply: impl Fn(&str) -> Vec<u8> + Send + 'static) -> (Self, String) {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .expect("the key fits the certificate");
        let served = Self::serve(Some(Arc::new(config)), reply);
        (Self { host: served.host.replace("127.0.0.1", "localhost") }, cert.pem())
    }

    fn serve(tls: Option<Arc<ServerConfig>>, reply: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        fn converse(mut stream: impl Read + Write, reply: &impl Fn(&str) -> Vec<u8>) {
            let mut head = String::new();
            let mut reader = BufReader::new(&mut stream);
            while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
            // Whoever hung up has heard enough.
            let _ = stream.write_all(&reply(&head)).and_then(|()| stream.flush());
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let host = listener.local_addr().expect("it is bound").to_string();
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                match &tls {
                    None => converse(stream, &reply),
                    Some(config) => {
                        let connection = ServerConnection::new(Arc::clone(config)).expect("the configuration holds");
                        let mut stream = StreamOwned::new(connection, stream);
                        converse(&mut stream, &reply);
                        stream.conn.send_close_notify();
                        let _ = stream.flush();
                    }
                }
            }
        });
        Self { host }
    }
}

/// An answer of HTTP.
fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn a_plugin_in_a_package_is_judged_and_described_as_any_other_that_comes_from_elsewhere() {
    let from = lab();
    from.ok(&["plugin", "add", "split.wasm"]);
    from.ok(&["repo", "export", "code", "split@1", "split.package"]);

    let to = lab();
    to.write("split.package", fs::read(from.file("split.package")).expect("the package is there"));
    trusts(&to, true, &[line(&to, "ada")]);
    expect![[r#"
        exit 4
        error: split.package: component split is not signed, and stagewright.toml requires signatures; its author makes one with `stagewright plugin sign`
    "#]]
    .assert_eq(&to.run(&["repo", "import", "code", "split.package"]).refusal());
    assert_eq!(versions(&to), 0);

    to.replace("stagewright.toml", "\nrequire-signature = true", "\nrequire-signature = false");
    to.ok(&["repo", "import", "code", "split.package"]);
    let described = to.json(&["plugin", "inspect", "split@1"]);
    assert_eq!(described["plugin"]["stages"][0]["kind"], "preprocessor", "{described}");
}
