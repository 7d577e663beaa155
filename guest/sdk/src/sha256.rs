//! SHA-256 (FIPS 180-4) on the sha256_compress accelerator.

use crate::syscall::{sha256_compress, sha256_compress_at, Sha256Block, Sha256State};

/// First 32 bits of the fractional parts of the square roots of the first eight primes (FIPS 180-4, 5.3.3).
pub const INITIAL_STATE: [u32; 8] = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

/// The SHA-256 digest of `data`.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(data);
    hasher.finalize()
}

/// A running SHA-256.
#[derive(Clone)]
pub struct Sha256 {
    state: Sha256State,
    block: Sha256Block,
    /// Bytes absorbed so far; modulo 64 they wait in `block`.
    length: u64,
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl Sha256 {
    #[inline(always)]
    pub const fn new() -> Self {
        Self::with_state(INITIAL_STATE)
    }

    /// A hash that starts from another state (SHA-224 differs only there and in how much of the end it shows).
    #[inline(always)]
    pub const fn with_state(state: [u32; 8]) -> Self {
        Sha256 { state: Sha256State(state), block: Sha256Block([0; 64]), length: 0 }
    }

    /// Absorbs bytes. Whole blocks at an aligned address are compressed where they lie.
    #[inline]
    pub fn update(&mut self, mut data: &[u8]) {
        let waiting = (self.length % 64) as usize;
        self.length += data.len() as u64;
        if waiting > 0 {
            let count = (64 - waiting).min(data.len());
            self.block.0[waiting..waiting + count].copy_from_slice(&data[..count]);
            data = &data[count..];
            if waiting + count < 64 {
                return;
            }
            sha256_compress(&mut self.state, &self.block);
        }
        let mut blocks = data.chunks_exact(64);
        if data.as_ptr() as usize % 8 == 0 {
            for block in &mut blocks {
                // SAFETY: 64 bytes of `data`, at a multiple of 8 as `data` is.
                unsafe { sha256_compress_at(&mut self.state, block.as_ptr()) };
            }
        } else {
            for block in &mut blocks {
                self.block.0.copy_from_slice(block);
                sha256_compress(&mut self.state, &self.block);
            }
        }
        let rest = blocks.remainder();
        self.block.0[..rest.len()].copy_from_slice(rest);
    }

    /// The eight words of the final state.
    #[inline]
    pub fn finalize_words(mut self) -> [u32; 8] {
        let waiting = (self.length % 64) as usize;
        self.block.0[waiting] = 0x80;
        self.block.0[waiting + 1..].fill(0);
        if waiting >= 56 {
            sha256_compress(&mut self.state, &self.block);
            self.block.0[..56].fill(0);
        }
        self.block.0[56..].copy_from_slice(&(self.length * 8).to_be_bytes());
        sha256_compress(&mut self.state, &self.block);
        self.state.0
    }

    #[inline]
    pub fn finalize(self) -> [u8; 32] {
        let words = self.finalize_words();
        let mut digest = [0u8; 32];
        for i in 0..4 {
            // Two words at once: rv64im has no byte swap, and this halves its steps.
            let pair = words[2 * i] as u64 | (words[2 * i + 1] as u64) << 32;
            let bytes = ((pair >> 8) & 0x00ff_00ff_00ff_00ff) | ((pair & 0x00ff_00ff_00ff_00ff) << 8);
            let swapped = ((bytes >> 16) & 0x0000_ffff_0000_ffff) | ((bytes & 0x0000_ffff_0000_ffff) << 16);
            digest[8 * i..8 * i + 8].copy_from_slice(&swapped.to_le_bytes());
        }
        digest
    }
}
