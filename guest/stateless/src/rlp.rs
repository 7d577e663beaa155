//! RLP (Yellow Paper, appendix B): a strict zero-copy reader and a small writer.
//!
//! Strict: only the one canonical encoding of an item is read. Long lengths below 56, leading zeros of a length or an
//! integer, a single byte below 0x80 with a prefix, and bytes after the last item are errors.

use alloc::vec::Vec;
use revm::primitives::U256;

/// Why bytes are not canonical RLP of the expected shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RlpError {
    Truncated,
    NotCanonical,
    TrailingBytes,
    ExpectedString,
    ExpectedList,
    WrongLength,
    IntegerTooLarge,
}

impl core::fmt::Display for RlpError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "RLP ends early",
            Self::NotCanonical => "RLP not canonical",
            Self::TrailingBytes => "RLP has trailing bytes",
            Self::ExpectedString => "RLP list where a string is due",
            Self::ExpectedList => "RLP string where a list is due",
            Self::WrongLength => "RLP string of a wrong length",
            Self::IntegerTooLarge => "RLP integer too large",
        })
    }
}

/// One decoded item; `payload` borrows from the input.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    pub is_list: bool,
    /// The content without its prefix.
    pub payload: &'a [u8],
    /// Prefix and content.
    pub encoded: &'a [u8],
}

/// Reads consecutive items of one list's payload.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over the concatenated items in `payload`.
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// A reader over the items of the list that `encoded` is, exactly.
    pub fn list_exact(encoded: &'a [u8]) -> Result<Self, RlpError> {
        let mut outer = Self::new(encoded);
        let list = outer.list()?;
        outer.finish()?;
        Ok(list)
    }

    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes not read yet.
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Refuses unread bytes.
    pub fn finish(&self) -> Result<(), RlpError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(RlpError::TrailingBytes)
        }
    }

    /// The next item.
    #[inline]
    pub fn item(&mut self) -> Result<Item<'a>, RlpError> {
        let rest = self.rest;
        let (&prefix, tail) = rest.split_first().ok_or(RlpError::Truncated)?;
        let (is_list, header, length) = match prefix {
            0x00..=0x7f => (false, 0, 1),
            0x80..=0xb7 => {
                let length = (prefix - 0x80) as usize;
                if length == 1 && tail.first().is_some_and(|&byte| byte < 0x80) {
                    return Err(RlpError::NotCanonical);
                }
                (false, 1, length)
            }
            0xb8..=0xbf => {
                let width = (prefix - 0xb7) as usize;
                (false, 1 + width, long_length(tail, width)?)
            }
            0xc0..=0xf7 => (true, 1, (prefix - 0xc0) as usize),
            0xf8..=0xff => {
                let width = (prefix - 0xf7) as usize;
                (true, 1 + width, long_length(tail, width)?)
            }
        };
        if rest.len() - header < length {
            return Err(RlpError::Truncated);
        }
        let (encoded, after) = rest.split_at(header + length);
        self.rest = after;
        Ok(Item { is_list, payload: &encoded[header..], encoded })
    }

    /// The next item's content, which must be a string.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], RlpError> {
        let item = self.item()?;
        if item.is_list {
            Err(RlpError::ExpectedString)
        } else {
            Ok(item.payload)
        }
    }

    /// A reader over the next item, which must be a list.
    #[inline]
    pub fn list(&mut self) -> Result<Reader<'a>, RlpError> {
        let item = self.item()?;
        if item.is_list {
            Ok(Reader::new(item.payload))
        } else {
            Err(RlpError::ExpectedList)
        }
    }

    /// A string of exactly N bytes.
    #[inline]
    pub fn fixed<const N: usize>(&mut self) -> Result<&'a [u8; N], RlpError> {
        self.bytes()?.try_into().map_err(|_| RlpError::WrongLength)
    }

    /// An integer below 2^64.
    pub fn u64(&mut self) -> Result<u64, RlpError> {
        let bytes = self.integer(8)?;
        Ok(bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// An integer below 2^128.
    pub fn u128(&mut self) -> Result<u128, RlpError> {
        let bytes = self.integer(16)?;
        Ok(bytes.iter().fold(0, |value, &byte| value << 8 | u128::from(byte)))
    }

    /// An integer below 2^256.
    pub fn u256(&mut self) -> Result<U256, RlpError> {
        Ok(U256::from_be_slice(self.integer(32)?))
    }

    fn integer(&mut self, width: usize) -> Result<&'a [u8], RlpError> {
        let bytes = self.bytes()?;
        if bytes.first() == Some(&0) {
            return Err(RlpError::NotCanonical);
        }
        if bytes.len() > width {
            Err(RlpError::IntegerTooLarge)
        } else {
            Ok(bytes)
        }
    }
}

fn long_length(tail: &[u8], width: usize) -> Result<usize, RlpError> {
    let bytes = tail.get(..width).ok_or(RlpError::Truncated)?;
    // A length that needs more than four bytes exceeds any input; leading zeros are not canonical.
    if bytes[0] == 0 {
        return Err(RlpError::NotCanonical);
    }
    if width > 4 {
        return Err(RlpError::Truncated);
    }
    let length = bytes.iter().fold(0usize, |value, &byte| value << 8 | byte as usize);
    if length < 56 {
        Err(RlpError::NotCanonical)
    } else {
        Ok(length)
    }
}

/// Bytes of the prefix of a string or list with a payload of `length` bytes (a single byte below 0x80 has none).
pub const fn prefix_length(length: usize) -> usize {
    if length < 56 {
        1
    } else {
        1 + (usize::BITS as usize - length.leading_zeros() as usize).div_ceil(8)
    }
}

/// Bytes of the encoding of `bytes` as a string.
pub fn string_length(bytes: &[u8]) -> usize {
    if bytes.len() == 1 && bytes[0] < 0x80 {
        1
    } else {
        prefix_length(bytes.len()) + bytes.len()
    }
}

fn put_prefix(out: &mut Vec<u8>, offset: u8, length: usize) {
    if length < 56 {
        out.push(offset + length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let skip = (length.leading_zeros() / 8) as usize;
        out.push(offset + 55 + (bytes.len() - skip) as u8);
        out.extend_from_slice(&bytes[skip..]);
    }
}

/// Appends the prefix of a list whose payload has `length` bytes.
pub fn put_list_prefix(out: &mut Vec<u8>, length: usize) {
    put_prefix(out, 0xc0, length);
}

/// Appends a string.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() != 1 || bytes[0] >= 0x80 {
        put_prefix(out, 0x80, bytes.len());
    }
    out.extend_from_slice(bytes);
}

/// Appends an integer.
pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    put_bytes(out, &value.to_be_bytes()[value.leading_zeros() as usize / 8..]);
}

/// Appends an integer.
pub fn put_u256(out: &mut Vec<u8>, value: &U256) {
    let bytes = value.to_be_bytes::<32>();
    put_bytes(out, &bytes[value.leading_zeros() / 8..]);
}

/// `payload` behind its list prefix.
pub fn list(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 9);
    put_list_prefix(&mut out, payload.len());
    out.extend_from_slice(payload);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_encoding_is_read() {
        for (bytes, error) in [
            (&[0x81, 0x7f][..], RlpError::NotCanonical),
            (&[0xb8, 0x02, 1, 2], RlpError::NotCanonical),
            (&[0xb9, 0x00, 0x38], RlpError::NotCanonical),
            (&[0x82, 1], RlpError::Truncated),
            (&[0xf8], RlpError::Truncated),
            (&[0xff, 1, 1, 1, 1, 1, 1, 1, 1], RlpError::Truncated),
            (&[], RlpError::Truncated),
        ] {
            assert_eq!(Reader::new(bytes).item().unwrap_err(), error, "{bytes:x?}");
        }
        assert_eq!(Reader::new(&[0x00]).u64(), Err(RlpError::NotCanonical));
        assert_eq!(Reader::new(&[0x80]).u64(), Ok(0));
        assert_eq!(Reader::new(&[0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0]).u64(), Err(RlpError::IntegerTooLarge));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut out = Vec::new();
        for value in [0u64, 1, 0x7f, 0x80, 0xff, 0x100, u64::MAX] {
            out.clear();
            put_u64(&mut out, value);
            assert_eq!(Reader::new(&out).u64(), Ok(value));
        }
        for length in [0usize, 1, 55, 56, 255, 256, 70_000] {
            let bytes = alloc::vec![0xaau8; length];
            out.clear();
            put_bytes(&mut out, &bytes);
            assert_eq!(out.len(), string_length(&bytes));
            assert_eq!(Reader::new(&out).bytes(), Ok(&bytes[..]));
        }
    }
}
