//! Which ids a segment cannot have: a Bloom filter whose bits for one id lie in one cache line.

use store_core::StreamNumber;

/// Bits an id; with six of them set about one id in a hundred seems to be there and is not.
const BITS: usize = 12;
const SET: u32 = 6;
const LINE: usize = 8;

/// The filter.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bloom(Vec<u64>);

/// An id of a stream as one number; the same for ever, as it is written to disk.
pub fn hash(stream: StreamNumber, id: u128) -> u64 {
    let mixed = mix(id as u64 ^ mix((id >> 64) as u64 ^ 0x9e37_79b9_7f4a_7c15));
    mix(mixed ^ u64::from(stream).wrapping_mul(0xd6e8_feb8_6659_fd93))
}

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Bloom {
    /// A filter of hashes.
    pub fn of(hashes: impl ExactSizeIterator<Item = u64>) -> Self {
        let lines = (hashes.len() * BITS).div_ceil(LINE * 64).max(1);
        let mut filter = Self(vec![0; lines * LINE]);
        for hash in hashes {
            for (word, bit) in filter.bits(hash) {
                if let Some(word) = filter.0.get_mut(word) {
                    *word |= 1 << bit;
                }
            }
        }
        filter
    }

    /// A filter as it was written.
    pub fn from_words(words: Vec<u64>) -> Self {
        Self(words)
    }

    /// What is written.
    pub fn words(&self) -> &[u64] {
        &self.0
    }

    /// Whether a hash may be among them.
    pub fn may_have(&self, hash: u64) -> bool {
        self.bits(hash).all(|(word, bit)| self.0.get(word).is_some_and(|word| word & (1 << bit) != 0))
    }

    fn bits(&self, hash: u64) -> impl Iterator<Item = (usize, u32)> + use<> {
        let lines = (self.0.len() / LINE) as u64;
        let line = ((u128::from(hash) * u128::from(lines)) >> 64) as usize * LINE;
        let within = mix(hash ^ 0x5851_f42d_4c95_7f2d);
        (0..SET).map(move |index| {
            let bit = (within >> (9 * index)) as usize & 0x1ff;
            (line + bit / 64, (bit % 64) as u32)
        })
    }
}
