//! The public interface of the crate sha2 0.10, with SHA-224 and SHA-256 on the machine's accelerator.
//!
//! `[patch.crates-io]` puts this crate in sha2's place, so that dependants hash through sha256_compress unchanged. The SHA-512
//! family has no accelerator and is computed here.

#![no_std]
// The interface of digest 0.10 is made of generic-array 0.14, whose later versions call themselves deprecated.
#![allow(deprecated)]

mod constants;
mod sha256;
mod sha512;

use digest::consts::{U28, U32, U48, U64};
use digest::core_api::{CoreWrapper, CtVariableCoreWrapper};
use digest::impl_oid_carrier;
#[cfg(feature = "oid")]
use digest::const_oid::{AssociatedOid, ObjectIdentifier};

pub use digest::{self, Digest};
pub use sha256::Sha256VarCore;
pub use sha512::Sha512VarCore;

#[cfg(feature = "compress")]
pub use sha256::compress256;
#[cfg(feature = "compress")]
pub use sha512::compress512;

// NIST's object identifiers of the hash functions, 2.16.840.1.101.3.4.2.*.
impl_oid_carrier!(OidSha256, "2.16.840.1.101.3.4.2.1");
impl_oid_carrier!(OidSha384, "2.16.840.1.101.3.4.2.2");
impl_oid_carrier!(OidSha512, "2.16.840.1.101.3.4.2.3");
impl_oid_carrier!(OidSha224, "2.16.840.1.101.3.4.2.4");
impl_oid_carrier!(OidSha512_224, "2.16.840.1.101.3.4.2.5");
impl_oid_carrier!(OidSha512_256, "2.16.840.1.101.3.4.2.6");

/// SHA-224.
pub type Sha224 = CoreWrapper<CtVariableCoreWrapper<Sha256VarCore, U28, OidSha224>>;
/// SHA-256.
pub type Sha256 = CoreWrapper<CtVariableCoreWrapper<Sha256VarCore, U32, OidSha256>>;
/// SHA-512/224.
#[allow(non_camel_case_types)]
pub type Sha512_224 = CoreWrapper<CtVariableCoreWrapper<Sha512VarCore, U28, OidSha512_224>>;
/// SHA-512/256.
#[allow(non_camel_case_types)]
pub type Sha512_256 = CoreWrapper<CtVariableCoreWrapper<Sha512VarCore, U32, OidSha512_256>>;
/// SHA-384.
pub type Sha384 = CoreWrapper<CtVariableCoreWrapper<Sha512VarCore, U48, OidSha384>>;
/// SHA-512.
pub type Sha512 = CoreWrapper<CtVariableCoreWrapper<Sha512VarCore, U64, OidSha512>>;
