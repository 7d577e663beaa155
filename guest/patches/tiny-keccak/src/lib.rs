//! The public interface of the crate tiny-keccak 2.0 (features keccak, sha3, shake, cshake), on the SDK's sponge.
//!
//! `[patch.crates-io]` puts this crate in tiny-keccak's place, so that dependants hash through the machine's keccak_f unchanged.
//! Features of the original that are not here (kmac, tuple_hash, parallel_hash, k12) fail when cargo resolves them.

#![no_std]

use blockproof_sdk::keccak::Keccak as Sponge;

/// Absorbs bytes and ends in a digest.
pub trait Hasher {
    /// Absorbs.
    fn update(&mut self, input: &[u8]);
    /// Pads and fills `output` with the digest.
    fn finalize(self, output: &mut [u8]);
}

/// Can be turned into an output stream.
pub trait IntoXof {
    type Xof: Xof;
    fn into_xof(self) -> Self::Xof;
}

/// An output stream.
pub trait Xof {
    /// The next `output.len()` bytes.
    fn squeeze(&mut self, output: &mut [u8]);
}

/// The permutation, 24 rounds.
pub fn keccakf(state: &mut [u64; 25]) {
    blockproof_sdk::syscall::keccak_f(state);
}

/// Bytes per block for a security level of `bits`: 200 - bits / 4.
#[allow(dead_code)]
const fn rate(bits: usize) -> usize {
    200 - bits / 4
}

macro_rules! fixed_output {
    ($(#[$documentation:meta])* $name:ident, $domain:literal, $feature:literal) => {
        $(#[$documentation])*
        #[cfg(feature = $feature)]
        #[derive(Clone)]
        pub struct $name(Sponge);

        #[cfg(feature = $feature)]
        impl $name {
            pub fn v224() -> Self {
                $name(Sponge::new(rate(224)))
            }
            pub fn v256() -> Self {
                $name(Sponge::new(rate(256)))
            }
            pub fn v384() -> Self {
                $name(Sponge::new(rate(384)))
            }
            pub fn v512() -> Self {
                $name(Sponge::new(rate(512)))
            }
        }

        #[cfg(feature = $feature)]
        impl Hasher for $name {
            #[inline]
            fn update(&mut self, input: &[u8]) {
                self.0.update(input);
            }
            #[inline]
            fn finalize(self, output: &mut [u8]) {
                self.0.finalize($domain, output);
            }
        }
    };
}

fixed_output!(
    /// Keccak with its first padding, as Ethereum uses it.
    Keccak, 0x01, "keccak"
);
fixed_output!(
    /// SHA-3 (FIPS 202, 6.1).
    Sha3, 0x06, "sha3"
);

/// An extendable output: absorbs until it is squeezed.
#[cfg(any(feature = "shake", feature = "cshake"))]
#[derive(Clone)]
struct Stream {
    sponge: Sponge,
    domain: u8,
    squeezing: bool,
}

#[cfg(any(feature = "shake", feature = "cshake"))]
impl Stream {
    fn new(bits: usize, domain: u8) -> Self {
        Stream { sponge: Sponge::new(rate(bits)), domain, squeezing: false }
    }

    fn update(&mut self, input: &[u8]) {
        // Absorbing after squeezing has no meaning in FIPS 202; a fresh permutation separates the phases.
        if self.squeezing {
            self.sponge.start_block();
            self.squeezing = false;
        }
        self.sponge.update(input);
    }

    fn squeeze(&mut self, output: &mut [u8]) {
        if !self.squeezing {
            self.sponge.pad(self.domain);
            self.squeezing = true;
        }
        self.sponge.squeeze(output);
    }
}

/// SHAKE (FIPS 202, 6.2).
#[cfg(feature = "shake")]
#[derive(Clone)]
pub struct Shake(Stream);

#[cfg(feature = "shake")]
impl Shake {
    pub fn v128() -> Self {
        Shake(Stream::new(128, 0x1f))
    }
    pub fn v256() -> Self {
        Shake(Stream::new(256, 0x1f))
    }
}

#[cfg(feature = "shake")]
impl Hasher for Shake {
    fn update(&mut self, input: &[u8]) {
        self.0.update(input);
    }
    fn finalize(mut self, output: &mut [u8]) {
        self.0.squeeze(output);
    }
}

#[cfg(feature = "shake")]
impl Xof for Shake {
    fn squeeze(&mut self, output: &mut [u8]) {
        self.0.squeeze(output);
    }
}

/// cSHAKE (NIST SP 800-185, 3): SHAKE with a function name and a customization string.
#[cfg(feature = "cshake")]
#[derive(Clone)]
pub struct CShake(Stream);

#[cfg(feature = "cshake")]
impl CShake {
    pub fn v128(name: &[u8], customization: &[u8]) -> Self {
        Self::new(name, customization, 128)
    }
    pub fn v256(name: &[u8], customization: &[u8]) -> Self {
        Self::new(name, customization, 256)
    }

    fn new(name: &[u8], customization: &[u8], bits: usize) -> Self {
        // Both empty is plain SHAKE by definition.
        if name.is_empty() && customization.is_empty() {
            return CShake(Stream::new(bits, 0x1f));
        }
        let mut stream = Stream::new(bits, 0x04);
        // bytepad(encode_string(name) || encode_string(customization), rate)
        let mut length = 0;
        let mut put = |bytes: &[u8]| {
            stream.update(bytes);
            length += bytes.len();
        };
        let (encoded, count) = left_encode(rate(bits) as u64);
        put(&encoded[..count]);
        for text in [name, customization] {
            let (encoded, count) = left_encode(8 * text.len() as u64);
            put(&encoded[..count]);
            put(text);
        }
        let padding = (rate(bits) - length % rate(bits)) % rate(bits);
        stream.update(&[0; 200][..padding]);
        CShake(stream)
    }
}

#[cfg(feature = "cshake")]
impl Hasher for CShake {
    fn update(&mut self, input: &[u8]) {
        self.0.update(input);
    }
    fn finalize(mut self, output: &mut [u8]) {
        self.0.squeeze(output);
    }
}

#[cfg(feature = "cshake")]
impl Xof for CShake {
    fn squeeze(&mut self, output: &mut [u8]) {
        self.0.squeeze(output);
    }
}

/// left_encode of SP 800-185, 2.3.1: the number of bytes, then the bytes, most significant first.
#[cfg(feature = "cshake")]
fn left_encode(value: u64) -> ([u8; 9], usize) {
    let mut encoded = [0u8; 9];
    let count = (8 - value.leading_zeros() as usize / 8).max(1);
    encoded[0] = count as u8;
    encoded[1..=count].copy_from_slice(&value.to_be_bytes()[8 - count..]);
    (encoded, count + 1)
}
