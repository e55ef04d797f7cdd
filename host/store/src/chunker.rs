//! Where bytes are cut into chunks: FastCDC, so that an insertion changes the chunks around it and no others.

use std::{
    io::{self, Read},
    ops::{Deref, Range},
    sync::Arc,
};

use fastcdc::v2020::FastCDC;

/// Smallest, average and largest chunk; the same whatever the length of the whole, since two versions on either side of
/// a limit would share nothing.
const CHUNK_SIZES: (usize, usize, usize) = (32 << 10, 64 << 10, 256 << 10);
/// So much is read before it is cut: what is left over at its end is moved to the front, which is little beside it.
const WINDOW: usize = 4 << 20;

/// A chunk, where it was read to. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Chunk {
    window: Arc<Vec<u8>>,
    place: Range<usize>,
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.window[self.place.clone()]
    }
}

/// Cuts everything that a reader gives, until `take` returns false.
pub(crate) fn cut(mut reader: impl Read, take: &mut dyn FnMut(Chunk) -> bool) -> io::Result<()> {
    let (smallest, average, largest) = CHUNK_SIZES;
    let mut windows: Vec<Arc<Vec<u8>>> = Vec::new();
    let mut left: Option<Chunk> = None;
    let mut at_end = false;
    while !at_end {
        // One whose chunks are all done with, as their memory is at hand.
        let free = windows.iter().position(|window| Arc::strong_count(window) == 1);
        let mut window = free.map_or_else(|| Arc::new(vec![0; WINDOW]), |free| windows.swap_remove(free));
        let Some(bytes) = Arc::get_mut(&mut window) else { continue };
        let mut filled = left.as_deref().map_or(0, <[u8]>::len);
        bytes[..filled].copy_from_slice(left.as_deref().unwrap_or_default());
        while filled < WINDOW && !at_end {
            match reader.read(&mut bytes[filled..]) {
                Ok(0) => at_end = true,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        let mut done = 0;
        for chunk in FastCDC::new(&window[..filled], smallest, average, largest) {
            // The window's end is no reason to cut.
            if !at_end && filled - chunk.offset < largest {
                break;
            }
            let place = chunk.offset..chunk.offset + chunk.length;
            done = place.end;
            if !take(Chunk { window: Arc::clone(&window), place }) {
                return Ok(());
            }
        }
        left = (done < filled).then(|| Chunk { window: Arc::clone(&window), place: done..filled });
        windows.push(window);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use fastcdc::v2020::StreamCDC;

    use super::*;

    #[test]
    fn the_window_does_not_show_in_the_cuts() {
        let mut state = 1_u64;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(3 * WINDOW + 12_345)
        .collect();
        for len in [0, 1, 16 << 10, 256 << 10, (256 << 10) + 1, WINDOW - 1, WINDOW, WINDOW + 1, bytes.len()] {
            let mut lengths = Vec::new();
            cut(&bytes[..len], &mut |chunk| {
                lengths.push(chunk.len());
                true
            })
            .unwrap();
            let (smallest, average, largest) = CHUNK_SIZES;
            let expected = StreamCDC::new(&bytes[..len], smallest, average, largest);
            assert_eq!(lengths, expected.map(|chunk| chunk.unwrap().length).collect::<Vec<_>>(), "{len}");
        }
    }
}
