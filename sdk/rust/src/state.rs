//! States and weights as bytes: canonical to write, wary to read.
//!
//! Small states are JSON, whose numbers come back as the same bits. Large ones are little-endian binary.

use serde::{Serialize, de::DeserializeOwned};

use crate::Failure;

/// Writes a state as JSON. Maps in it must be ordered; numbers must be finite.
pub fn to_json(state: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(state).map_err(|error| Failure::internal(format!("the state cannot be written: {error}")))
}

/// Reads a state that [`to_json`] wrote.
pub fn from_json<State: DeserializeOwned>(bytes: &[u8]) -> Result<State, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::invalid_state(format!("the saved state is not one of this plugin's: {error}")))
}

/// Writes a binary state.
#[derive(Debug, Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// Begins with the magic bytes that say whose state this is.
    pub fn new(magic: &[u8]) -> Self {
        Self(magic.to_vec())
    }

    /// Adds a byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Adds a number.
    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Adds a number.
    pub fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Adds a number; every NaN is written as the same one.
    pub fn f64(&mut self, value: f64) {
        let value = if value.is_nan() { f64::NAN } else { value };
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// Adds a length, which must fit 32 bits.
    pub fn length(&mut self, length: usize) -> Result<(), Failure> {
        self.u32(u32::try_from(length).map_err(|_| Failure::internal("a state with over four billion parts"))?);
        Ok(())
    }

    /// Adds text, its length first.
    pub fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.length(text.len())?;
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a binary state. Nothing is allocated that the bytes at hand could not fill.
#[derive(Debug)]
pub struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    /// Begins to read, if the bytes begin with the magic ones.
    pub fn new(magic: &[u8], bytes: &'a [u8]) -> Result<Self, Failure> {
        bytes.strip_prefix(magic).map(Self).ok_or_else(broken)
    }

    fn bytes<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], Failure> {
        let (first, rest) = self.0.split_first_chunk::<COUNT>().ok_or_else(broken)?;
        self.0 = rest;
        Ok(*first)
    }

    /// Reads a byte.
    pub fn u8(&mut self) -> Result<u8, Failure> {
        Ok(self.bytes::<1>()?[0])
    }

    /// Reads a number.
    pub fn u32(&mut self) -> Result<u32, Failure> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    /// Reads a number.
    pub fn i64(&mut self) -> Result<i64, Failure> {
        Ok(i64::from_le_bytes(self.bytes()?))
    }

    /// Reads a number.
    pub fn f64(&mut self) -> Result<f64, Failure> {
        Ok(f64::from_le_bytes(self.bytes()?))
    }

    /// Reads how many parts follow, each of at least `least` bytes.
    pub fn length(&mut self, least: usize) -> Result<usize, Failure> {
        let length = self.u32()? as usize;
        if length.saturating_mul(least.max(1)) > self.0.len() { Err(broken()) } else { Ok(length) }
    }

    /// Reads text.
    pub fn text(&mut self) -> Result<String, Failure> {
        let length = self.length(1)?;
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8(text.to_vec()).map_err(|_| broken())
    }

    /// Ends reading; bytes that are left over are a fault.
    pub fn finish(self) -> Result<(), Failure> {
        if self.0.is_empty() { Ok(()) } else { Err(broken()) }
    }
}

fn broken() -> Failure {
    Failure::invalid_state("the saved state is damaged, or another plugin's")
}

#[cfg(test)]
mod tests {
    use super::{Decoder, Encoder, from_json, to_json};
    use crate::Failure;

    #[test]
    fn what_was_written_is_read_and_every_shorter_state_is_refused() {
        let mut encoder = Encoder::new(b"test1");
        encoder.u8(7);
        encoder.i64(-1);
        encoder.f64(-f64::NAN);
        encoder.text("größe").unwrap();
        let bytes = encoder.finish();
        let read = |bytes: &[u8]| -> Result<(u8, i64, u64, String), Failure> {
            let mut decoder = Decoder::new(b"test1", bytes)?;
            let all = (decoder.u8()?, decoder.i64()?, decoder.f64()?.to_bits(), decoder.text()?);
            decoder.finish()?;
            Ok(all)
        };
        assert_eq!(read(&bytes).unwrap(), (7, -1, f64::NAN.to_bits(), "größe".into()));
        for length in 0..bytes.len() {
            assert!(matches!(read(&bytes[..length]), Err(Failure::InvalidState(_))));
        }
        assert!(matches!(read(&[&bytes[..], b"x"].concat()), Err(Failure::InvalidState(_))));
    }

    #[test]
    fn a_huge_length_does_not_allocate() {
        let mut encoder = Encoder::new(b"");
        encoder.u32(u32::MAX);
        assert!(Decoder::new(b"", &encoder.finish()).unwrap().length(8).is_err());
    }

    #[test]
    fn json_numbers_come_back_bit_for_bit() {
        let numbers = vec![0.1, 1e-300, f64::MAX, f64::MIN_POSITIVE / 8.0, -0.0, 2.0_f64.powi(60) + 256.0];
        let read: Vec<f64> = from_json(&to_json(&numbers).unwrap()).unwrap();
        assert_eq!(
            read.iter().map(|n| n.to_bits()).collect::<Vec<_>>(),
            numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>()
        );
        assert!(matches!(from_json::<Vec<f64>>(b"[1,"), Err(Failure::InvalidState(_))));
    }
}
