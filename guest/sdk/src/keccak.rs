//! Keccak-256 as Ethereum uses it (padding byte 0x01), on the keccak_f accelerator.

use crate::syscall::keccak_f;

/// Bytes absorbed per permutation: 1600 - 2 * 256 bits.
pub const RATE: usize = 136;

/// The Keccak-256 digest of `data`. Loads may be misaligned: one step each, where shifting aligned words together is four.
pub fn keccak256(data: &[u8]) -> [u8; 32] {
    let mut state = [0u64; 25];
    let mut rest = data;
    while let Some((block, tail)) = rest.split_first_chunk::<RATE>() {
        absorb_block(&mut state, block);
        keccak_f(&mut state);
        rest = tail;
    }
    let mut lane = 0;
    while let Some((bytes, tail)) = rest.split_first_chunk::<8>() {
        state[lane] ^= u64::from_le_bytes(*bytes);
        lane += 1;
        rest = tail;
    }
    // Up to 7 bytes and the padding's first bit, then its last.
    let mut last = 1;
    for byte in rest.iter().rev() {
        last = last << 8 | *byte as u64;
    }
    state[lane] ^= last;
    state[RATE / 8 - 1] ^= 0x80 << 56;
    keccak_f(&mut state);
    let mut digest = [0u8; 32];
    for i in 0..4 {
        digest[8 * i..8 * i + 8].copy_from_slice(&state[i].to_le_bytes());
    }
    digest
}

#[inline(always)]
fn absorb_block(state: &mut [u64; 25], block: &[u8; RATE]) {
    for i in 0..RATE / 8 {
        let bytes: &[u8; 8] = block[8 * i..8 * i + 8].try_into().unwrap();
        state[i] ^= u64::from_le_bytes(*bytes);
    }
}

/// The Keccak sponge over keccak-f\[1600\], for any rate that is a multiple of 8.
#[derive(Clone)]
pub struct Keccak {
    state: [u64; 25],
    /// Bytes in a block.
    rate: usize,
    /// Bytes of the current block already absorbed, below `rate`.
    offset: usize,
}

impl Keccak {
    /// An empty sponge with `rate` bytes per block; panics unless 0 < rate < 200 and a multiple of 8.
    #[inline(always)]
    pub const fn new(rate: usize) -> Self {
        assert!(rate % 8 == 0 && rate > 0 && rate < 200);
        Keccak { state: [0; 25], rate, offset: 0 }
    }

    #[inline(always)]
    fn absorb_bytes(&mut self, data: &[u8]) {
        for (i, byte) in data.iter().enumerate() {
            let at = self.offset + i;
            self.state[at / 8] ^= (*byte as u64) << (8 * (at % 8));
        }
        self.offset += data.len();
    }

    /// Absorbs bytes.
    #[inline]
    pub fn update(&mut self, mut data: &[u8]) {
        // Bytes up to the next lane of a half-filled block.
        if self.offset % 8 != 0 {
            let count = (8 - self.offset % 8).min(data.len());
            self.absorb_bytes(&data[..count]);
            data = &data[count..];
            if self.offset == self.rate {
                self.permute();
            }
        }
        // Whole blocks of the usual rate, then whole lanes up to the end of the block or of the data.
        if self.offset == 0 && self.rate == RATE {
            while let Some((block, tail)) = data.split_first_chunk::<RATE>() {
                absorb_block(&mut self.state, block);
                self.permute();
                data = tail;
            }
        }
        while data.len() >= 8 {
            let count = ((self.rate - self.offset) / 8).min(data.len() / 8);
            let (lanes, tail) = data.split_at(8 * count);
            for (lane, bytes) in self.state[self.offset / 8..].iter_mut().zip(lanes.chunks_exact(8)) {
                *lane ^= u64::from_le_bytes(bytes.try_into().unwrap());
            }
            self.offset += 8 * count;
            data = tail;
            if self.offset == self.rate {
                self.permute();
            }
        }
        if !data.is_empty() {
            self.absorb_bytes(data);
        }
    }

    #[inline(always)]
    fn permute(&mut self) {
        keccak_f(&mut self.state);
        self.offset = 0;
    }

    /// Pads with `domain` (0x01 for Keccak, 0x06 for SHA-3, 0x1f for SHAKE) and squeezes into `output`, any length.
    #[inline]
    pub fn finalize(mut self, domain: u8, output: &mut [u8]) {
        self.pad(domain);
        self.squeeze(output);
    }

    /// The padding and the permutation after it. From here on only [`Keccak::squeeze`] may be called.
    #[inline]
    pub fn pad(&mut self, domain: u8) {
        self.state[self.offset / 8] ^= (domain as u64) << (8 * (self.offset % 8));
        self.state[self.rate / 8 - 1] ^= 0x80 << 56;
        self.permute();
    }

    /// Permutes and stands at the start of a block, whatever was absorbed or squeezed of the current one.
    #[inline]
    pub fn start_block(&mut self) {
        self.permute();
    }

    /// The next bytes of the output stream.
    #[inline]
    pub fn squeeze(&mut self, output: &mut [u8]) {
        let mut rest = output;
        while !rest.is_empty() {
            if self.offset == self.rate {
                self.permute();
            }
            if self.offset % 8 == 0 && rest.len() >= 8 {
                let (head, tail) = rest.split_at_mut(8);
                head.copy_from_slice(&self.state[self.offset / 8].to_le_bytes());
                self.offset += 8;
                rest = tail;
            } else {
                rest[0] = (self.state[self.offset / 8] >> (8 * (self.offset % 8))) as u8;
                self.offset += 1;
                rest = &mut rest[1..];
            }
        }
    }
}
