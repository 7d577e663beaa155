//! SHA-384, SHA-512, SHA-512/224 and SHA-512/256 (FIPS 180-4, 6.4 to 6.7) under the digest crate's traits, in software.

use crate::constants::{SHA384_INITIAL, SHA512_224_INITIAL, SHA512_256_INITIAL, SHA512_CONSTANTS, SHA512_INITIAL};
use core::fmt;
use digest::block_buffer::Eager;
use digest::consts::{U128, U64};
use digest::core_api::{
    AlgorithmName, Block, BlockSizeUser, Buffer, BufferKindUser, OutputSizeUser, TruncSide, UpdateCore, VariableOutputCore,
};
use digest::generic_array::GenericArray;
use digest::{HashMarker, InvalidOutputSize, Output};

/// What the SHA-512 family shares; its members differ in the initial state and in how much of the result is shown.
#[derive(Clone)]
pub struct Sha512VarCore {
    state: [u64; 8],
    /// Blocks compressed so far.
    blocks: u128,
}

impl HashMarker for Sha512VarCore {}

impl BlockSizeUser for Sha512VarCore {
    type BlockSize = U128;
}

impl BufferKindUser for Sha512VarCore {
    type BufferKind = Eager;
}

impl OutputSizeUser for Sha512VarCore {
    type OutputSize = U64;
}

impl AlgorithmName for Sha512VarCore {
    fn write_alg_name(f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha512")
    }
}

impl fmt::Debug for Sha512VarCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha512VarCore { ... }")
    }
}

fn compress(state: &mut [u64; 8], block: &GenericArray<u8, U128>) {
    let mut schedule = [0u64; 80];
    for (word, bytes) in schedule.iter_mut().zip(block.chunks_exact(8)) {
        *word = u64::from_be_bytes(bytes.try_into().unwrap());
    }
    for t in 16..80 {
        let (early, late) = (schedule[t - 15], schedule[t - 2]);
        let small0 = early.rotate_right(1) ^ early.rotate_right(8) ^ (early >> 7);
        let small1 = late.rotate_right(19) ^ late.rotate_right(61) ^ (late >> 6);
        schedule[t] = small1.wrapping_add(schedule[t - 7]).wrapping_add(small0).wrapping_add(schedule[t - 16]);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for t in 0..80 {
        let big1 = e.rotate_right(14) ^ e.rotate_right(18) ^ e.rotate_right(41);
        let choose = (e & f) ^ (!e & g);
        let first = h
            .wrapping_add(big1)
            .wrapping_add(choose)
            .wrapping_add(SHA512_CONSTANTS[t])
            .wrapping_add(schedule[t]);
        let big0 = a.rotate_right(28) ^ a.rotate_right(34) ^ a.rotate_right(39);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        let second = big0.wrapping_add(majority);
        (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(first), c, b, a, first.wrapping_add(second));
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(add);
    }
}

/// The raw compression function on each block in turn.
#[cfg(feature = "compress")]
pub fn compress512(state: &mut [u64; 8], blocks: &[GenericArray<u8, U128>]) {
    for block in blocks {
        compress(state, block);
    }
}

impl UpdateCore for Sha512VarCore {
    fn update_blocks(&mut self, blocks: &[Block<Self>]) {
        self.blocks += blocks.len() as u128;
        for block in blocks {
            compress(&mut self.state, block);
        }
    }
}

impl VariableOutputCore for Sha512VarCore {
    const TRUNC_SIDE: TruncSide = TruncSide::Left;

    fn new(output_size: usize) -> Result<Self, InvalidOutputSize> {
        let state = match output_size {
            28 => SHA512_224_INITIAL,
            32 => SHA512_256_INITIAL,
            48 => SHA384_INITIAL,
            64 => SHA512_INITIAL,
            _ => return Err(InvalidOutputSize),
        };
        Ok(Sha512VarCore { state, blocks: 0 })
    }

    fn finalize_variable_core(&mut self, buffer: &mut Buffer<Self>, out: &mut Output<Self>) {
        let bits = 8 * (buffer.get_pos() as u128 + 128 * self.blocks);
        let state = &mut self.state;
        buffer.len128_padding_be(bits, |block| compress(state, block));
        for (bytes, word) in out.chunks_exact_mut(8).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
    }
}
