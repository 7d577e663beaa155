//! SHA-224 and SHA-256 (FIPS 180-4, 6.2 and 6.3) under the digest crate's traits.

use crate::constants::{SHA224_INITIAL, SHA256_INITIAL};
use blockproof_sdk::syscall::{sha256_compress, sha256_compress_at, Sha256Block, Sha256State};
use core::fmt;
use digest::block_buffer::Eager;
use digest::consts::{U32, U64};
use digest::core_api::{
    AlgorithmName, Block, BlockSizeUser, Buffer, BufferKindUser, OutputSizeUser, TruncSide, UpdateCore, VariableOutputCore,
};
use digest::generic_array::GenericArray;
use digest::{HashMarker, InvalidOutputSize, Output};

/// What SHA-224 and SHA-256 share; they differ in the initial state and in how much of the result is shown.
#[derive(Clone)]
pub struct Sha256VarCore {
    state: Sha256State,
    /// Blocks compressed so far.
    blocks: u64,
}

impl HashMarker for Sha256VarCore {}

impl BlockSizeUser for Sha256VarCore {
    type BlockSize = U64;
}

impl BufferKindUser for Sha256VarCore {
    type BufferKind = Eager;
}

impl OutputSizeUser for Sha256VarCore {
    type OutputSize = U32;
}

impl AlgorithmName for Sha256VarCore {
    fn write_alg_name(f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256")
    }
}

impl fmt::Debug for Sha256VarCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256VarCore { ... }")
    }
}

fn compress(state: &mut Sha256State, blocks: &[GenericArray<u8, U64>]) {
    for block in blocks {
        if block.as_ptr() as usize % 8 == 0 {
            // SAFETY: a block is 64 bytes, and this one lies at a multiple of 8.
            unsafe { sha256_compress_at(state, block.as_ptr()) };
        } else {
            let mut aligned = Sha256Block([0; 64]);
            aligned.0.copy_from_slice(block);
            sha256_compress(state, &aligned);
        }
    }
}

/// The raw compression function on each block in turn.
#[cfg(feature = "compress")]
pub fn compress256(state: &mut [u32; 8], blocks: &[GenericArray<u8, U64>]) {
    let mut aligned = Sha256State(*state);
    compress(&mut aligned, blocks);
    *state = aligned.0;
}

impl UpdateCore for Sha256VarCore {
    #[inline]
    fn update_blocks(&mut self, blocks: &[Block<Self>]) {
        self.blocks += blocks.len() as u64;
        compress(&mut self.state, blocks);
    }
}

impl VariableOutputCore for Sha256VarCore {
    const TRUNC_SIDE: TruncSide = TruncSide::Left;

    #[inline]
    fn new(output_size: usize) -> Result<Self, InvalidOutputSize> {
        let state = match output_size {
            28 => SHA224_INITIAL,
            32 => SHA256_INITIAL,
            _ => return Err(InvalidOutputSize),
        };
        Ok(Sha256VarCore { state: Sha256State(state), blocks: 0 })
    }

    #[inline]
    fn finalize_variable_core(&mut self, buffer: &mut Buffer<Self>, out: &mut Output<Self>) {
        let bits = 8 * (buffer.get_pos() as u64 + 64 * self.blocks);
        let state = &mut self.state;
        buffer.len64_padding_be(bits, |block| compress(state, core::slice::from_ref(block)));
        for (bytes, word) in out.chunks_exact_mut(4).zip(self.state.0) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
    }
}
