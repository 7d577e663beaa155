//! Transactions: decoding of every type, signing hashes without re-encoding, and sender recovery.
//!
//! Source: EIP-155, 2718, 2930, 1559, 4844, 7702; EIP-2 (low s); execution-specs, transactions.py.

use crate::error::{ensure, rule, Invalid};
use crate::fork::Fork;
use crate::header::GAS_PER_BLOB;
use crate::rlp::{self, Reader, RlpError};
use alloc::vec::Vec;
use revm::context::either::Either;
use revm::context::transaction::{
    AccessList, AccessListItem, Authorization, RecoveredAuthority, RecoveredAuthorization, SignedAuthorization,
};
use revm::context::TxEnv;
use revm::precompile::crypto;
use revm::primitives::{keccak256, Address, Bytes, TxKind, B256, U256};

/// The order of secp256k1.
const SECP256K1_N: U256 =
    U256::from_limbs([0xbfd2_5e8c_d036_4141, 0xbaae_dce6_af48_a03b, 0xffff_ffff_ffff_fffe, u64::MAX]);
/// The byte before the RLP of an authorization's signing payload (EIP-7702).
const AUTHORIZATION_MAGIC: u8 = 0x05;

/// A transaction as the block holds it.
#[derive(Clone, Copy, Debug)]
pub struct RawTransaction<'a> {
    /// What the transaction trie holds: a legacy transaction's RLP, or type byte and RLP.
    pub bytes: &'a [u8],
}

impl AsRef<[u8]> for RawTransaction<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes
    }
}

/// A decoded transaction with its recovered sender.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub env: TxEnv,
    pub blob_gas: u64,
}

fn list_of_hashes(reader: &mut Reader<'_>) -> Result<Vec<B256>, RlpError> {
    let mut list = reader.list()?;
    let mut hashes = Vec::with_capacity(list.rest().len() / 33);
    while !list.is_empty() {
        hashes.push(B256::from(list.fixed()?));
    }
    Ok(hashes)
}

fn access_list(reader: &mut Reader<'_>) -> Result<AccessList, RlpError> {
    let mut list = reader.list()?;
    let mut items = Vec::new();
    while !list.is_empty() {
        let mut entry = list.list()?;
        let address = Address::from(entry.fixed()?);
        let storage_keys = list_of_hashes(&mut entry)?;
        entry.finish()?;
        items.push(AccessListItem { address, storage_keys });
    }
    Ok(AccessList(items))
}

fn kind(reader: &mut Reader<'_>) -> Result<TxKind, RlpError> {
    let to = reader.bytes()?;
    if to.is_empty() {
        return Ok(TxKind::Create);
    }
    to.try_into().map(|to: &[u8; 20]| TxKind::Call(Address::from(to))).map_err(|_| RlpError::WrongLength)
}

/// The recovery of a signature: the address whose key made it, or `None` where r, s or the point are out of range.
fn recover(hash: &B256, r: U256, s: U256, parity: bool, low_s: bool) -> Option<Address> {
    let largest_s = if low_s { SECP256K1_N >> 1 } else { SECP256K1_N - U256::ONE };
    if r.is_zero() || r >= SECP256K1_N || s.is_zero() || s > largest_s {
        return None;
    }
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r.to_be_bytes::<32>());
    signature[32..].copy_from_slice(&s.to_be_bytes::<32>());
    let word = crypto().secp256k1_ecrecover(&signature, u8::from(parity), hash).ok()?;
    Some(Address::from_slice(&word[12..]))
}

/// The authorization list of EIP-7702. An authorization whose signature is not one is kept: it has no effect and costs
/// gas.
fn authorizations(
    reader: &mut Reader<'_>,
) -> Result<Vec<Either<SignedAuthorization, RecoveredAuthorization>>, RlpError> {
    let mut list = reader.list()?;
    let mut authorizations = Vec::new();
    while !list.is_empty() {
        let mut entry = list.list()?;
        let signed = entry;
        let chain_id = entry.u256()?;
        let address = Address::from(entry.fixed()?);
        let nonce = entry.u64()?;
        let signed = &signed.rest()[..signed.rest().len() - entry.rest().len()];
        let parity = entry.u64()?;
        let (r, s) = (entry.u256()?, entry.u256()?);
        entry.finish()?;
        if parity > 0xff {
            return Err(RlpError::IntegerTooLarge);
        }
        let mut message = Vec::with_capacity(signed.len() + 4);
        message.push(AUTHORIZATION_MAGIC);
        rlp::put_list_prefix(&mut message, signed.len());
        message.extend_from_slice(signed);
        let authority = (parity <= 1).then(|| recover(&keccak256(&message), r, s, parity == 1, true)).flatten();
        let authority = authority.map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
        authorizations.push(Either::Right(RecoveredAuthorization::new_unchecked(
            Authorization { chain_id, address, nonce },
            authority,
        )));
    }
    Ok(authorizations)
}

impl<'a> RawTransaction<'a> {
    /// Decodes the transaction under the rules of `fork` and recovers its sender.
    pub fn decode(&self, fork: Fork, chain_id: u64) -> Result<Transaction, Invalid> {
        let first = *self.bytes.first().ok_or_else(|| rule!("empty transaction"))?;
        if first >= 0xc0 {
            return self.decode_legacy(fork, chain_id);
        }
        let since = match first {
            1 => Fork::Berlin,
            2 => Fork::London,
            3 => Fork::Cancun,
            4 => Fork::Prague,
            _ => return Err(rule!("transaction type {first}")),
        };
        ensure!(fork >= since, "transaction type {first} before {since:?}");
        self.decode_typed(first, chain_id)
    }

    fn decode_legacy(&self, fork: Fork, chain_id: u64) -> Result<Transaction, Invalid> {
        let mut fields = Reader::list_exact(self.bytes)?;
        let unsigned = fields;
        let nonce = fields.u64()?;
        let gas_price = fields.u128()?;
        let gas_limit = fields.u64()?;
        let kind = kind(&mut fields)?;
        let value = fields.u256()?;
        let data = fields.bytes()?;
        let unsigned = &unsigned.rest()[..unsigned.rest().len() - fields.rest().len()];
        let v = fields.u256()?;
        let (r, s) = (fields.u256()?, fields.u256()?);
        fields.finish()?;

        // EIP-155: v = 35 + 2 * chain id + parity signs the chain id too; 27 + parity does not.
        let protected = U256::from(35u8) + (U256::from(chain_id) << 1);
        let (parity, suffix) = if v == U256::from(27u8) || v == U256::from(28u8) {
            (v == U256::from(28u8), None)
        } else if fork >= Fork::SpuriousDragon && (v == protected || v == protected + U256::ONE) {
            (v != protected, Some(chain_id))
        } else {
            return Err(rule!("transaction signature has v = {v}"));
        };
        let mut tail = Vec::new();
        if let Some(chain_id) = suffix {
            rlp::put_u64(&mut tail, chain_id);
            tail.extend_from_slice(&[0x80, 0x80]);
        }
        let mut message = Vec::with_capacity(unsigned.len() + tail.len() + 4);
        rlp::put_list_prefix(&mut message, unsigned.len() + tail.len());
        message.extend_from_slice(unsigned);
        message.extend_from_slice(&tail);
        let caller = recover(&keccak256(&message), r, s, parity, fork >= Fork::Homestead)
            .ok_or_else(|| rule!("transaction signature is not valid"))?;
        let env = TxEnv {
            tx_type: 0,
            caller,
            gas_limit,
            gas_price,
            kind,
            value,
            data: Bytes::copy_from_slice(data),
            nonce,
            chain_id: suffix,
            ..TxEnv::default()
        };
        Ok(Transaction { env, blob_gas: 0 })
    }

    fn decode_typed(&self, tx_type: u8, expected_chain_id: u64) -> Result<Transaction, Invalid> {
        let mut fields = Reader::list_exact(&self.bytes[1..])?;
        let unsigned = fields;
        let chain_id = fields.u64()?;
        ensure!(chain_id == expected_chain_id, "transaction of chain {chain_id}");
        let nonce = fields.u64()?;
        let gas_priority_fee = if tx_type >= 2 { Some(fields.u128()?) } else { None };
        let gas_price = fields.u128()?;
        let gas_limit = fields.u64()?;
        let kind = kind(&mut fields)?;
        ensure!(tx_type < 3 || kind.is_call(), "transaction type {tx_type} creates a contract");
        let value = fields.u256()?;
        let data = fields.bytes()?;
        let access_list = access_list(&mut fields)?;
        let (mut max_fee_per_blob_gas, mut blob_hashes) = (0, Vec::new());
        if tx_type == 3 {
            max_fee_per_blob_gas = fields.u128()?;
            blob_hashes = list_of_hashes(&mut fields)?;
        }
        let authorization_list = if tx_type == 4 { authorizations(&mut fields)? } else { Vec::new() };
        let unsigned = &unsigned.rest()[..unsigned.rest().len() - fields.rest().len()];
        let parity = fields.u64()?;
        let (r, s) = (fields.u256()?, fields.u256()?);
        fields.finish()?;
        ensure!(parity <= 1, "transaction signature has y parity {parity}");

        let mut message = Vec::with_capacity(unsigned.len() + 8);
        message.push(tx_type);
        rlp::put_list_prefix(&mut message, unsigned.len());
        message.extend_from_slice(unsigned);
        let caller = recover(&keccak256(&message), r, s, parity == 1, true)
            .ok_or_else(|| rule!("transaction signature is not valid"))?;
        let blob_gas = blob_hashes.len() as u64 * GAS_PER_BLOB;
        let env = TxEnv {
            tx_type,
            caller,
            gas_limit,
            gas_price,
            kind,
            value,
            data: Bytes::copy_from_slice(data),
            nonce,
            chain_id: Some(chain_id),
            access_list,
            gas_priority_fee,
            blob_hashes,
            max_fee_per_blob_gas,
            authorization_list,
        };
        Ok(Transaction { env, blob_gas })
    }

    /// The type byte that leads the receipt, or `None` for a legacy transaction.
    pub fn receipt_type(&self) -> Option<u8> {
        self.bytes.first().copied().filter(|first| *first < 0xc0)
    }
}
