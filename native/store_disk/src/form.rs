//! Numbers and checksums as they are written: little-endian, CRC-32.

/// Writes numbers behind one another.
pub trait Put {
    /// Adds bytes.
    fn put(&mut self, bytes: &[u8]);

    /// Adds a number.
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    /// Adds a number.
    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    /// Adds a number.
    fn put_u128(&mut self, value: u128) {
        self.put(&value.to_le_bytes());
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Takes numbers off the front of bytes.
#[derive(Clone, Copy)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    pub fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn expect(&mut self, bytes: &[u8]) -> Option<()> {
        (self.bytes(bytes.len())? == bytes).then_some(())
    }
}

/// A page of fixed size that ends with the checksum of the rest.
pub fn sealed_page(mut content: Vec<u8>, size: usize) -> Vec<u8> {
    content.resize(size.saturating_sub(4), 0);
    let crc = crc32fast::hash(&content);
    content.put_u32(crc);
    content
}

/// The content of such a page, if its checksum is right.
pub fn open_page(page: &[u8]) -> Option<Reader<'_>> {
    let (content, crc) = page.split_last_chunk::<4>()?;
    (crc32fast::hash(content) == u32::from_le_bytes(*crc)).then_some(Reader(content))
}

/// The next multiple of eight.
pub fn aligned(offset: u64) -> u64 {
    offset.next_multiple_of(8)
}
