//! What a user sees, without what differs from one run to the next.

use std::path::Path;

/// Replaces the project's folder, digests, durations and dates by words.
pub fn masked(text: &str, folder: &Path) -> String {
    let mut out = String::new();
    let text = text.replace(&*folder.to_string_lossy(), "[project]");
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        mask_line(line.trim_end(), &mut out);
    }
    out
}

fn mask_line(line: &str, out: &mut String) {
    let mut rest = line;
    while let Some(character) = rest.chars().next() {
        let is_word = |character: char| character.is_ascii_alphanumeric() || ".:-".contains(character);
        let end = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
        if end == 0 {
            out.push(character);
            rest = &rest[character.len_utf8()..];
            continue;
        }
        let (word, behind) = rest.split_at(end);
        let unit = behind.strip_prefix(' ').and_then(|unit| {
            let end = unit.find(|character: char| !character.is_alphabetic()).unwrap_or(unit.len());
            ["s", "ms", "µs", "min"].contains(&&unit[..end]).then(|| &unit[end..])
        });
        match (unit, is_number(word)) {
            (Some(behind), true) => {
                out.push_str("[time]");
                rest = behind;
            }
            _ => {
                out.push_str(if is_digest(word) {
                    "[digest]"
                } else if is_date(word) {
                    "[date]"
                } else if out.ends_with("[date] ") && is_clock(word) {
                    "[clock]"
                } else {
                    word
                });
                rest = behind;
            }
        }
    }
}

fn is_clock(word: &str) -> bool {
    word.len() == 8
        && word.bytes().enumerate().all(|(at, byte)| if at % 3 == 2 { byte == b':' } else { byte.is_ascii_digit() })
}

fn is_number(word: &str) -> bool {
    word.starts_with(|character: char| character.is_ascii_digit()) && word.parse::<f64>().is_ok()
}

/// At least eight digits of a hexadecimal number, one of which shows that it is not a decimal one.
fn is_digest(word: &str) -> bool {
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    word.len() >= 8 && word.bytes().all(hexadecimal) && word.bytes().any(|byte| byte.is_ascii_digit())
}

fn is_date(word: &str) -> bool {
    let shape: String =
        word.chars().map(|character| if character.is_ascii_digit() { '0' } else { character }).collect();
    shape.starts_with("0000-00-00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_runs_is_masked_and_nothing_else() {
        let line = "run 12 at 2024-05-06T07:08:09Z took 1.25 s in /tmp/x/pipelines: 0a1b2c3d4e5f, 3000 rows, 12 ms";
        let expected = "run 12 at [date] took [time] in [project]/pipelines: [digest], 3000 rows, [time]";
        assert_eq!(masked(line, Path::new("/tmp/x")), expected);
    }
}
