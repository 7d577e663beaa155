//! SSZ: strict decoding without copies, and SHA-256 merkleisation with the progressive types of EIP-7916 and EIP-7495.
//!
//! Source: consensus-specs, ssz/simple-serialize.md; EIP-7916 (ProgressiveList); EIP-7495 (ProgressiveContainer).

use alloc::vec::Vec;
use revm::precompile::crypto;

/// Bytes are not the canonical encoding of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecodable;

/// A node of a merkle tree.
pub type Chunk = [u8; 32];

const MAX_VARIABLE_FIELDS: usize = 4;

/// Reads a container whose fixed part is `fixed_size` bytes: fixed fields and offsets in order, then `finish` for the
/// variable fields.
pub struct Container<'a> {
    bytes: &'a [u8],
    fixed_size: usize,
    position: usize,
    offsets: [usize; MAX_VARIABLE_FIELDS],
    variable: usize,
}

impl<'a> Container<'a> {
    pub fn new(bytes: &'a [u8], fixed_size: usize) -> Result<Self, Undecodable> {
        if bytes.len() < fixed_size {
            return Err(Undecodable);
        }
        Ok(Self { bytes, fixed_size, position: 0, offsets: [0; MAX_VARIABLE_FIELDS], variable: 0 })
    }

    /// The next N bytes of the fixed part.
    pub fn fixed<const N: usize>(&mut self) -> Result<&'a [u8; N], Undecodable> {
        let end = self.position + N;
        if end > self.fixed_size {
            return Err(Undecodable);
        }
        let field = self.bytes[self.position..end].try_into().map_err(|_| Undecodable)?;
        self.position = end;
        Ok(field)
    }

    pub fn u64(&mut self) -> Result<u64, Undecodable> {
        self.fixed::<8>().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// The offset of the next variable field. The first is the size of the fixed part; none is below the one before.
    pub fn variable(&mut self) -> Result<(), Undecodable> {
        let offset = u32::from_le_bytes(*self.fixed::<4>()?) as usize;
        let expected = match self.variable {
            0 => offset == self.fixed_size,
            index => offset >= self.offsets[index - 1],
        };
        if !expected || offset > self.bytes.len() || self.variable == MAX_VARIABLE_FIELDS {
            return Err(Undecodable);
        }
        self.offsets[self.variable] = offset;
        self.variable += 1;
        Ok(())
    }

    /// The contents of the N variable fields, in order. A container without any has no bytes after its fixed part.
    pub fn finish<const N: usize>(self) -> Result<[&'a [u8]; N], Undecodable> {
        if self.position != self.fixed_size || self.variable != N || (N == 0 && self.bytes.len() != self.fixed_size) {
            return Err(Undecodable);
        }
        let mut fields = [&self.bytes[..0]; N];
        for (index, field) in fields.iter_mut().enumerate() {
            let end = if index + 1 < N { self.offsets[index + 1] } else { self.bytes.len() };
            *field = &self.bytes[self.offsets[index]..end];
        }
        Ok(fields)
    }
}

/// The elements of a list of variable-size elements, each at most `limit` bytes.
pub fn variable_list(bytes: &[u8], limit: usize) -> Result<Vec<&[u8]>, Undecodable> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let offset = |index: usize| -> Result<usize, Undecodable> {
        let at = bytes.get(4 * index..4 * index + 4).ok_or(Undecodable)?;
        Ok(u32::from_le_bytes(at.try_into().map_err(|_| Undecodable)?) as usize)
    };
    let first = offset(0)?;
    if first == 0 || first % 4 != 0 || first > bytes.len() {
        return Err(Undecodable);
    }
    let count = first / 4;
    let mut elements = Vec::with_capacity(count);
    let mut start = first;
    for index in 1..=count {
        let end = if index < count { offset(index)? } else { bytes.len() };
        let element = bytes.get(start..end).ok_or(Undecodable)?;
        if element.len() > limit {
            return Err(Undecodable);
        }
        elements.push(element);
        start = end;
    }
    Ok(elements)
}

/// The elements of a list of N-byte elements.
pub fn fixed_list<const N: usize>(bytes: &[u8]) -> Result<&[[u8; N]], Undecodable> {
    let (elements, rest) = bytes.as_chunks::<N>();
    if rest.is_empty() {
        Ok(elements)
    } else {
        Err(Undecodable)
    }
}

fn hash_pair(left: &Chunk, right: &Chunk) -> Chunk {
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(left);
    pair[32..].copy_from_slice(right);
    crypto().sha256(&pair)
}

/// The root of a binary tree with `leaves` (a power of two) leaves, of which those beyond `chunks` are zero.
fn merkleize(mut layer: Vec<Chunk>, leaves: usize) -> Chunk {
    let mut zero = [0; 32];
    let mut width = leaves;
    while width > 1 {
        // An all-zero subtree hashes like any other: `zero` is its root at this level.
        if layer.len() % 2 == 1 {
            layer.push(zero);
        }
        for index in 0..layer.len() / 2 {
            layer[index] = hash_pair(&layer[2 * index], &layer[2 * index + 1]);
        }
        layer.truncate(layer.len() / 2);
        zero = hash_pair(&zero, &zero);
        width /= 2;
    }
    layer.first().copied().unwrap_or(zero)
}

/// `merkleize_progressive` of EIP-7916: subtrees of 1, 4, 16, ... leaves along a spine.
fn merkleize_progressive(chunks: &[Chunk], leaves: usize) -> Chunk {
    if chunks.is_empty() {
        return [0; 32];
    }
    let (here, beyond) = chunks.split_at(leaves.min(chunks.len()));
    hash_pair(&merkleize(here.to_vec(), leaves), &merkleize_progressive(beyond, leaves.saturating_mul(4)))
}

fn pack(bytes: &[u8]) -> Vec<Chunk> {
    bytes
        .chunks(32)
        .map(|part| {
            let mut chunk = [0; 32];
            chunk[..part.len()].copy_from_slice(part);
            chunk
        })
        .collect()
}

/// A little-endian integer as a chunk.
pub fn u64_chunk(value: u64) -> Chunk {
    let mut chunk = [0; 32];
    chunk[..8].copy_from_slice(&value.to_le_bytes());
    chunk
}

/// `hash_tree_root` of a ByteVector.
pub fn vector_root(bytes: &[u8]) -> Chunk {
    let chunks = pack(bytes);
    let leaves = chunks.len().next_power_of_two();
    merkleize(chunks, leaves)
}

/// `hash_tree_root` of a ByteList with a limit of `limit_chunks` (a power of two) chunks.
pub fn byte_list_root(bytes: &[u8], limit_chunks: usize) -> Chunk {
    hash_pair(&merkleize(pack(bytes), limit_chunks), &u64_chunk(bytes.len() as u64))
}

/// `hash_tree_root` of a ProgressiveByteList.
pub fn progressive_bytes_root(bytes: &[u8]) -> Chunk {
    hash_pair(&merkleize_progressive(&pack(bytes), 1), &u64_chunk(bytes.len() as u64))
}

/// `hash_tree_root` of a ProgressiveList of composite elements, from their roots.
pub fn progressive_list_root(roots: &[Chunk]) -> Chunk {
    hash_pair(&merkleize_progressive(roots, 1), &u64_chunk(roots.len() as u64))
}

/// `hash_tree_root` of a Container, from its fields' roots.
pub fn container_root(fields: &[Chunk]) -> Chunk {
    merkleize(fields.to_vec(), fields.len().next_power_of_two())
}

/// `hash_tree_root` of a ProgressiveContainer (at most 64 fields, all active), from its fields' roots.
pub fn progressive_container_root(fields: &[Chunk]) -> Chunk {
    let active = u64_chunk(if fields.len() < 64 { (1 << fields.len()) - 1 } else { u64::MAX });
    hash_pair(&merkleize_progressive(fields, 1), &active)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_must_be_canonical() {
        assert_eq!(variable_list(&[4, 0, 0, 0, 7], 1).unwrap(), [&[7u8][..]]);
        for bad in [&[0, 0, 0, 0][..], &[5, 0, 0, 0, 1], &[8, 0, 0, 0, 7, 0, 0, 0], &[4, 0, 0, 0, 1, 2], &[4, 0]] {
            assert!(variable_list(bad, 1).is_err(), "{bad:?}");
        }
        let mut container = Container::new(&[5, 0, 0, 0, 9], 4).unwrap();
        assert_eq!(container.variable(), Err(Undecodable));
    }
}
