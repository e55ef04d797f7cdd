//! Bit-packed values, least significant bit first.

/// A growing bit-packed sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    /// No bits yet.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), len: 0 }
    }

    /// Adds a bit.
    pub fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if bit {
            self.bytes[self.len / 8] |= 1 << (self.len % 8);
        }
        self.len += 1;
    }

    /// Adds `len` bits of `source`, from bit `start`.
    ///
    /// # Panics
    /// `source` holds fewer than `start + len` bits.
    pub fn extend(&mut self, source: &[u8], start: usize, len: usize) {
        if self.len.is_multiple_of(8) && start.is_multiple_of(8) {
            self.bytes.extend_from_slice(&source[start / 8..(start + len).div_ceil(8)]);
            self.len += len;
            self.clear_tail();
        } else {
            (start..start + len).for_each(|bit| self.push(source[bit / 8] >> (bit % 8) & 1 == 1));
        }
    }

    /// Adds `len` set bits.
    pub fn extend_set(&mut self, len: usize) {
        (0..len).for_each(|_| self.push(true));
    }

    /// The number of bits.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether every bit is set.
    pub fn all(&self) -> bool {
        all_set(&self.bytes, self.len)
    }

    /// The bytes; bits behind the last are zero.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn clear_tail(&mut self) {
        clear_tail(&mut self.bytes, self.len);
    }
}

impl FromIterator<bool> for Bits {
    fn from_iter<I: IntoIterator<Item = bool>>(bits: I) -> Self {
        let mut all = Self::new();
        bits.into_iter().for_each(|bit| all.push(bit));
        all
    }
}

/// Whether the first `len` bits are all set.
pub(super) fn all_set(bytes: &[u8], len: usize) -> bool {
    bytes[..len / 8].iter().all(|byte| *byte == 0xff)
        && (len.is_multiple_of(8) || bytes[len / 8] | 0xffu8 << (len % 8) == 0xff)
}

/// Zeroes the bits behind the first `len`.
pub(super) fn clear_tail(bytes: &mut [u8], len: usize) {
    if !len.is_multiple_of(8)
        && let Some(last) = bytes.get_mut(len / 8)
    {
        *last &= !(0xff << (len % 8));
    }
}
