//! Canonical JSON: the one byte sequence a record is hashed and stored as.
//!
//! Keys are sorted, there is no white space, and numbers are printed in the shortest form that reads back. Two values
//! that compare equal therefore have one digest, whatever order they were built in.

use serde::{Serialize, de::DeserializeOwned};

use crate::Digest;

/// Prints a value as canonical JSON.
///
/// # Panics
/// Never for the records of this crate: they have string keys and finite numbers or null.
pub fn to_vec(value: &impl Serialize) -> Vec<u8> {
    // `serde_json::Value` keeps objects in a `BTreeMap`, which is what sorts the keys.
    let value = serde_json::to_value(value).expect("records have string keys");
    serde_json::to_vec(&value).expect("a JSON value always prints")
}

/// Hashes a value's canonical JSON.
pub fn digest(value: &impl Serialize) -> Digest {
    Digest::of(&to_vec(value))
}

/// Reads a record back.
///
/// # Errors
/// The bytes are not JSON, or not of the expected shape.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn the_order_of_keys_does_not_matter() {
        let one = json!({ "b": 1, "a": { "d": 0.1, "c": [1, 2] } });
        let other = json!({ "a": { "c": [1, 2], "d": 0.1 }, "b": 1 });
        assert_eq!(super::to_vec(&one), br#"{"a":{"c":[1,2],"d":0.1},"b":1}"#);
        assert_eq!(super::digest(&one), super::digest(&other));
    }
}
