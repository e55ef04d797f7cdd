//! Shares of requests, and the deterministic draw that decides who belongs to one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stagewright_core::Digest;

/// Parts that make a whole. Shares are kept as whole parts, so that they compare and print exactly.
const WHOLE: u32 = 1_000_000;

/// A part of all requests, from none to all, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// Every request.
    pub const ALL: Self = Self(WHOLE);
    /// No request.
    pub const NONE: Self = Self(0);

    /// A share from 0 to 1.
    pub fn new(part: f64) -> Option<Self> {
        let millionths = part * f64::from(WHOLE);
        (0.0..=f64::from(WHOLE)).contains(&millionths).then_some(Self(millionths.round() as u32))
    }

    /// The share as a number from 0 to 1.
    pub fn part(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    /// Whether the request with this key belongs to the share. One key always gets one answer from one salt, a larger
    /// share includes the smaller, and different salts draw independently.
    pub fn includes(self, salt: &str, key: &str) -> bool {
        match self {
            Self::NONE => false,
            Self::ALL => true,
            Self(millionths) => draw(salt, key) < millionths,
        }
    }
}

/// A number below [`WHOLE`], evenly spread over keys.
fn draw(salt: &str, key: &str) -> u32 {
    let digest = Digest::of(&[salt.as_bytes(), &[0], key.as_bytes()].concat());
    let first = digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    ((u128::from(first) * u128::from(WHOLE)) >> 64) as u32
}

impl FromStr for Share {
    type Err = String;

    /// Reads `0.1` or `10%`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, scale) = match text.strip_suffix('%') {
            Some(percent) => (percent, 100.0),
            None => (text, 1.0),
        };
        let share = number.parse::<f64>().ok().and_then(|number| Self::new(number / scale));
        share.ok_or_else(|| format!("`{text}` is no share: write a number from 0 to 1, or a percentage such as `10%`"))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.part() * 100.0)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.part())
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let part = f64::deserialize(deserializer)?;
        Self::new(part).ok_or_else(|| serde::de::Error::custom(format!("{part} is no share from 0 to 1")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_read_as_parts_and_as_percentages() {
        assert_eq!("0.1".parse(), Ok(Share(100_000)));
        assert_eq!("10%".parse(), Ok(Share(100_000)));
        assert_eq!(("0".parse(), "100%".parse()), (Ok(Share::NONE), Ok(Share::ALL)));
        for text in ["1.1", "-0.1", "NaN", "half", "101%", ""] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_of_many_keys_is_close_to_what_it_says_and_the_same_each_time() {
        for part in [0.01, 0.1, 0.5] {
            let share = Share::new(part).unwrap();
            let members = |salt: &str| -> Vec<u32> {
                (0..20_000).filter(|key: &u32| share.includes(salt, &key.to_string())).collect()
            };
            let first = members("trial 1");
            assert_eq!(first, members("trial 1"));
            // Four standard deviations of a binomial count.
            let bound = 4.0 * (20_000.0 * part * (1.0 - part)).sqrt();
            assert!((first.len() as f64 - 20_000.0 * part).abs() < bound, "{} of {part}", first.len());
            assert_ne!(first, members("trial 2"), "another trial draws other requests");
        }
    }

    #[test]
    fn a_larger_share_includes_the_smaller() {
        let (small, large) = (Share::new(0.1).unwrap(), Share::new(0.3).unwrap());
        for key in (0..1000).map(|key: u32| key.to_string()) {
            assert!(!small.includes("s", &key) || large.includes("s", &key));
        }
    }
}
