//! `[trust]` of `stagewright.toml`: whose plugins the project takes.

use super::source::{Located, Node, Source};

/// Whose plugins a project takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Whether every plugin must have a signature by one of the keys.
    pub require_signature: bool,
    /// Public keys of minisign, each as its one line.
    pub keys: Vec<String>,
}

/// How long the line of a public key is, and what all begin with (`Ed` in base64).
const KEY_LENGTH: usize = 56;
const KEY_BEGINS: &str = "RW";

impl Trust {
    pub(super) fn parse(file: &mut Source, section: &Node) -> Self {
        let keys = section.known(file, "[trust]", &["require-signature", "keys"]);
        let require_signature =
            keys.get("require-signature").and_then(|node| node.boolean(file, "require-signature")).unwrap_or(false);
        let texts = keys.get("keys").map(|node| node.texts(file, "keys")).unwrap_or_default();
        let keys: Vec<String> = texts.into_iter().filter_map(|text| key(file, text)).collect();
        if require_signature && keys.is_empty() && file.is_sound() {
            let hint = Some("list the keys whose signatures count under `keys`".to_owned());
            file.problem(
                &section.at,
                "[trust] requires signatures and lists no key, so that no plugin can be added",
                hint,
            );
        }
        Self { require_signature, keys }
    }
}

fn key(file: &mut Source, text: Located<String>) -> Option<String> {
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    let fits = text.value.len() == KEY_LENGTH && text.value.starts_with(KEY_BEGINS) && text.value.bytes().all(base64);
    if !fits {
        let hint =
            Some(format!("the second line of the .pub file: {KEY_LENGTH} characters that begin with {KEY_BEGINS}"));
        file.problem(&text.at, "not a public key of minisign", hint);
    }
    fits.then_some(text.value)
}

#[cfg(test)]
mod tests {
    use super::super::Settings;

    #[test]
    fn keys_are_read_and_what_is_none_is_refused_where_it_stands() {
        let key = format!("RW{}", "a".repeat(54));
        let parse = |text: &str| Settings::parse("s.toml", text);
        let trust = parse(&format!("[trust]\nrequire-signature = true\nkeys = [\"{key}\"]\n")).unwrap().trust;
        assert_eq!((trust.require_signature, trust.keys), (true, vec![key]));
        for (text, said) in [
            ("[trust]\nkeys = [\n  \"RWshort\",\n]\n", "s.toml:3:3: not a public key of minisign"),
            ("[trust]\nrequire-signature = true\n", "s.toml:1:1: [trust] requires signatures and lists no key"),
            ("[trust]\nrequire-signatures = true\n", "did you mean `require-signature`?"),
            ("[trust]\nrequire-signature = 1\n", "s.toml:2:21: require-signature must be true or false"),
        ] {
            let problems = parse(text).unwrap_err().to_string();
            assert!(problems.contains(said), "{problems}");
        }
    }
}
