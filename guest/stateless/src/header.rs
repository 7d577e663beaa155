//! Block headers: RLP, and the rules that need only a header and its parent.
//!
//! Source: Yellow Paper 4.3.4; EIP-2, 100, 1559, 3675, 4844, 4895, 4788, 7685, 7691, 7918; execution-specs,
//! `validate_header` of each fork.

use crate::error::{ensure, rule, Invalid};
use crate::fork::{BlobSchedule, Fork};
use crate::rlp::{self, Reader};
use alloc::vec::Vec;
use revm::primitives::{b256, keccak256, Address, B256, U256};

/// keccak256 of the empty RLP list: the hash of no ommers.
pub const EMPTY_OMMERS_HASH: B256 = b256!("0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347");

const GAS_LIMIT_ADJUSTMENT_FACTOR: u64 = 1024;
const GAS_LIMIT_MINIMUM: u64 = 5000;
const MINIMUM_DIFFICULTY: u64 = 131_072;
const ELASTICITY_MULTIPLIER: u64 = 2;
const BASE_FEE_MAX_CHANGE_DENOMINATOR: u128 = 8;
const INITIAL_BASE_FEE: u64 = 1_000_000_000;
pub const GAS_PER_BLOB: u64 = 1 << 17;
const BLOB_BASE_COST: u64 = 1 << 13;

/// A header of any fork; the optional fields are present from the fork that brought them.
#[derive(Clone, Debug)]
pub struct Header<'a> {
    pub parent_hash: B256,
    pub ommers_hash: B256,
    pub coinbase: Address,
    pub state_root: B256,
    pub transactions_root: B256,
    pub receipts_root: B256,
    pub logs_bloom: &'a [u8; 256],
    pub difficulty: U256,
    pub number: u64,
    pub gas_limit: u64,
    pub gas_used: u64,
    pub timestamp: u64,
    pub extra_data: &'a [u8],
    /// `prev_randao` from Paris.
    pub mix_hash: B256,
    pub nonce: [u8; 8],
    pub base_fee_per_gas: Option<u64>,
    pub withdrawals_root: Option<B256>,
    pub blob_gas_used: Option<u64>,
    pub excess_blob_gas: Option<u64>,
    pub parent_beacon_block_root: Option<B256>,
    pub requests_hash: Option<B256>,
}

/// Fields of a header of this fork.
pub const fn field_count(fork: Fork) -> usize {
    match fork.spec_id() as u8 {
        spec if spec < Fork::London.spec_id() as u8 => 15,
        spec if spec < Fork::Shanghai.spec_id() as u8 => 16,
        spec if spec < Fork::Cancun.spec_id() as u8 => 17,
        spec if spec < Fork::Prague.spec_id() as u8 => 20,
        _ => 21,
    }
}

impl<'a> Header<'a> {
    /// Reads a header of any fork: 15, 16, 17, 20 or 21 fields, nothing after them.
    pub fn decode(encoded: &'a [u8]) -> Result<Self, Invalid> {
        let mut fields = Reader::list_exact(encoded)?;
        let mut header = Self {
            parent_hash: B256::from(fields.fixed()?),
            ommers_hash: B256::from(fields.fixed()?),
            coinbase: Address::from(fields.fixed()?),
            state_root: B256::from(fields.fixed()?),
            transactions_root: B256::from(fields.fixed()?),
            receipts_root: B256::from(fields.fixed()?),
            logs_bloom: fields.fixed()?,
            difficulty: fields.u256()?,
            number: fields.u64()?,
            gas_limit: fields.u64()?,
            gas_used: fields.u64()?,
            timestamp: fields.u64()?,
            extra_data: fields.bytes()?,
            mix_hash: B256::from(fields.fixed()?),
            nonce: *fields.fixed()?,
            base_fee_per_gas: None,
            withdrawals_root: None,
            blob_gas_used: None,
            excess_blob_gas: None,
            parent_beacon_block_root: None,
            requests_hash: None,
        };
        if !fields.is_empty() {
            header.base_fee_per_gas = Some(fields.u64()?);
        }
        if !fields.is_empty() {
            header.withdrawals_root = Some(B256::from(fields.fixed()?));
        }
        if !fields.is_empty() {
            header.blob_gas_used = Some(fields.u64()?);
            header.excess_blob_gas = Some(fields.u64()?);
            header.parent_beacon_block_root = Some(B256::from(fields.fixed()?));
        }
        if !fields.is_empty() {
            header.requests_hash = Some(B256::from(fields.fixed()?));
        }
        fields.finish()?;
        Ok(header)
    }

    /// Fields this header has.
    pub fn field_count(&self) -> usize {
        15 + usize::from(self.base_fee_per_gas.is_some())
            + usize::from(self.withdrawals_root.is_some())
            + 3 * usize::from(self.blob_gas_used.is_some())
            + usize::from(self.requests_hash.is_some())
    }

    /// The canonical RLP.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(640);
        for hash in [&self.parent_hash, &self.ommers_hash] {
            rlp::put_bytes(&mut out, &hash[..]);
        }
        rlp::put_bytes(&mut out, &self.coinbase[..]);
        for hash in [&self.state_root, &self.transactions_root, &self.receipts_root] {
            rlp::put_bytes(&mut out, &hash[..]);
        }
        rlp::put_bytes(&mut out, self.logs_bloom);
        rlp::put_u256(&mut out, &self.difficulty);
        for value in [self.number, self.gas_limit, self.gas_used, self.timestamp] {
            rlp::put_u64(&mut out, value);
        }
        rlp::put_bytes(&mut out, self.extra_data);
        rlp::put_bytes(&mut out, &self.mix_hash[..]);
        rlp::put_bytes(&mut out, &self.nonce);
        if let Some(fee) = self.base_fee_per_gas {
            rlp::put_u64(&mut out, fee);
        }
        if let Some(root) = self.withdrawals_root {
            rlp::put_bytes(&mut out, &root[..]);
        }
        for gas in [self.blob_gas_used, self.excess_blob_gas].into_iter().flatten() {
            rlp::put_u64(&mut out, gas);
        }
        for hash in [self.parent_beacon_block_root, self.requests_hash].into_iter().flatten() {
            rlp::put_bytes(&mut out, &hash[..]);
        }
        rlp::list(&out)
    }

    /// Every rule between a header and its parent, and the header's own. The proof-of-work seal is not checked.
    pub fn validate(&self, parent: &Header<'_>, fork: Fork) -> Result<(), Invalid> {
        ensure!(self.field_count() == field_count(fork), "header has {} fields", self.field_count());
        ensure!(
            Some(self.number) == parent.number.checked_add(1),
            "number {} after parent number {}",
            self.number,
            parent.number
        );
        ensure!(
            self.timestamp > parent.timestamp,
            "timestamp {} not after the parent's {}",
            self.timestamp,
            parent.timestamp
        );
        ensure!(self.gas_used <= self.gas_limit, "gas used {} above the gas limit {}", self.gas_used, self.gas_limit);
        ensure!(self.extra_data.len() <= 32, "extra data of {} bytes", self.extra_data.len());
        self.validate_gas_limit(parent)?;
        if self.base_fee_per_gas.is_some() {
            let expected = expected_base_fee(parent)?;
            ensure!(
                self.base_fee_per_gas.map(u128::from) == Some(expected),
                "base fee {:?} where {expected} is due",
                self.base_fee_per_gas
            );
        }
        if fork >= Fork::Paris {
            ensure!(self.difficulty.is_zero(), "difficulty {} after the Merge", self.difficulty);
            ensure!(self.nonce == [0; 8], "nonce not zero after the Merge");
            ensure!(self.ommers_hash == EMPTY_OMMERS_HASH, "ommers after the Merge");
        } else {
            let expected = expected_difficulty(self, parent, fork)?;
            ensure!(self.difficulty == expected, "difficulty {} where {expected} is due", self.difficulty);
        }
        if let Some(schedule) = fork.blob_schedule() {
            let expected = expected_excess_blob_gas(parent, schedule, fork)?;
            ensure!(
                self.excess_blob_gas == Some(expected),
                "excess blob gas {:?} where {expected} is due",
                self.excess_blob_gas
            );
        }
        Ok(())
    }

    fn validate_gas_limit(&self, parent: &Header<'_>) -> Result<(), Invalid> {
        // EIP-1559: at the fork block the limit is doubled, so that the target stays where the limit was.
        let london = self.base_fee_per_gas.is_some() && parent.base_fee_per_gas.is_none();
        let factor = if london { ELASTICITY_MULTIPLIER } else { 1 };
        let base = parent.gas_limit.checked_mul(factor).ok_or_else(|| rule!("the parent's gas limit doubled overflows"))?;
        let step = base / GAS_LIMIT_ADJUSTMENT_FACTOR;
        ensure!(
            self.gas_limit < base.saturating_add(step)
                && self.gas_limit > base - step
                && self.gas_limit >= GAS_LIMIT_MINIMUM,
            "gas limit {} after the parent's {}",
            self.gas_limit,
            parent.gas_limit
        );
        Ok(())
    }
}

/// The base fee of EIP-1559 in wei. The first block with one has the initial base fee.
fn expected_base_fee(parent: &Header<'_>) -> Result<u128, Invalid> {
    let Some(base_fee) = parent.base_fee_per_gas else {
        return Ok(u128::from(INITIAL_BASE_FEE));
    };
    let base_fee = u128::from(base_fee);
    let target = u128::from(parent.gas_limit / ELASTICITY_MULTIPLIER);
    let used = u128::from(parent.gas_used);
    if used == target {
        return Ok(base_fee);
    }
    ensure!(target > 0, "parent gas limit {} has no target", parent.gas_limit);
    Ok(if used > target {
        base_fee + (base_fee * (used - target) / target / BASE_FEE_MAX_CHANGE_DENOMINATOR).max(1)
    } else {
        base_fee - base_fee * (target - used) / target / BASE_FEE_MAX_CHANGE_DENOMINATOR
    })
}

/// The difficulty by Frontier's formula, EIP-2's (Homestead) or EIP-100's (Byzantium), with the bomb.
fn expected_difficulty(header: &Header<'_>, parent: &Header<'_>, fork: Fork) -> Result<U256, Invalid> {
    let unit = parent.difficulty / U256::from(2048);
    let seconds = header.timestamp - parent.timestamp; // positive: checked before
    let factor: i64 = if fork < Fork::Homestead {
        if seconds < 13 {
            1
        } else {
            -1
        }
    } else {
        let (start, divisor) = if fork < Fork::Byzantium {
            (1, 10)
        } else {
            (if parent.ommers_hash == EMPTY_OMMERS_HASH { 1 } else { 2 }, 9)
        };
        (start - (seconds / divisor).min(1000) as i64).max(-99)
    };
    let step = unit.saturating_mul(U256::from(factor.unsigned_abs()));
    let overflows = || rule!("difficulty of 2^256 or more");
    let mut difficulty = if factor >= 0 {
        parent.difficulty.checked_add(step).ok_or_else(overflows)?
    } else {
        parent.difficulty.saturating_sub(step)
    };
    let periods = header.number.saturating_sub(fork.bomb_delay()) / 100_000;
    if periods >= 2 {
        ensure!(periods - 2 < 256, "difficulty bomb of 2^{}", periods - 2);
        difficulty = difficulty.checked_add(U256::ONE << (periods - 2) as usize).ok_or_else(overflows)?;
    }
    Ok(difficulty.max(U256::from(MINIMUM_DIFFICULTY)))
}

/// The excess blob gas of EIP-4844, from Osaka with the reserve price of EIP-7918.
fn expected_excess_blob_gas(parent: &Header<'_>, schedule: BlobSchedule, fork: Fork) -> Result<u64, Invalid> {
    let (excess, used) = (parent.excess_blob_gas.unwrap_or(0), parent.blob_gas_used.unwrap_or(0));
    let total = excess.checked_add(used).ok_or_else(|| rule!("parent blob gas overflows"))?;
    let target = schedule.target * GAS_PER_BLOB;
    if total < target {
        return Ok(0);
    }
    if fork >= Fork::Osaka && parent.excess_blob_gas.is_some() {
        let base_fee = U256::from(parent.base_fee_per_gas.unwrap_or(0));
        let blob_price = U256::from(GAS_PER_BLOB) * U256::from(blob_base_fee(excess, schedule));
        if U256::from(BLOB_BASE_COST) * base_fee > blob_price {
            let rise = u128::from(used) * u128::from(schedule.max - schedule.target) / u128::from(schedule.max);
            return Ok(excess.saturating_add(rise as u64));
        }
    }
    Ok(total - target)
}

/// The price of one blob gas in wei: `fake_exponential` of EIP-4844, at most 2^128 - 1 (a price no account could ever
/// pay).
pub fn blob_base_fee(excess_blob_gas: u64, schedule: BlobSchedule) -> u128 {
    let (numerator, denominator) = (U256::from(excess_blob_gas), U256::from(schedule.base_fee_update_fraction));
    let limit = U256::ONE << 192;
    let (mut output, mut term, mut index) = (U256::ZERO, denominator, 1u64);
    while !term.is_zero() {
        output += term;
        if output >= limit {
            return u128::MAX;
        }
        term = term * numerator / (denominator * U256::from(index));
        index += 1;
    }
    (output / denominator).saturating_to()
}

/// The ancestors in the witness: decoded, hashed as given, and linked up to the block.
#[derive(Debug)]
pub struct Ancestors<'a> {
    /// Ascending by number; the last is the parent.
    pub headers: Vec<Header<'a>>,
    pub hashes: Vec<B256>,
}

impl<'a> Ancestors<'a> {
    /// Checks that the headers form a chain whose last is the parent of block `number`.
    pub fn link(encoded: &[&'a [u8]], number: u64, parent_hash: B256) -> Result<Self, Invalid> {
        let missing_parent = Invalid::MissingHeader { number: number.saturating_sub(1) };
        let mut headers = Vec::with_capacity(encoded.len());
        let mut hashes: Vec<B256> = Vec::with_capacity(encoded.len());
        for bytes in encoded {
            let header = Header::decode(bytes)?;
            if let (Some(hash), Some(previous)) = (hashes.last(), headers.last()) {
                let previous: &Header<'_> = previous;
                ensure!(
                    header.parent_hash == *hash && Some(header.number) == previous.number.checked_add(1),
                    "witness header {} does not follow the one before it",
                    header.number
                );
            }
            hashes.push(keccak256(bytes));
            headers.push(header);
        }
        match (headers.last(), hashes.last()) {
            (Some(parent), Some(hash)) if *hash == parent_hash => {
                ensure!(
                    parent.number.checked_add(1) == Some(number),
                    "number {number} after parent number {}",
                    parent.number
                );
            }
            _ => return Err(missing_parent),
        }
        Ok(Self { headers, hashes })
    }

    /// The parent header.
    pub fn parent(&self) -> &Header<'a> {
        // `link` refuses an empty chain.
        &self.headers[self.headers.len() - 1]
    }

    /// The header and hash of an ancestor by number.
    pub fn get(&self, number: u64) -> Option<(&Header<'a>, B256)> {
        let index = usize::try_from(number.checked_sub(self.headers[0].number)?).ok()?;
        Some((self.headers.get(index)?, self.hashes[index]))
    }
}

/// Checks the ommers of a block, as far as headers can tell (docs/specs/stateless-input.md, non-goals).
///
/// `ommers` holds each ommer's RLP and header. An ommer is a sibling of one of the last six ancestors: its parent is an
/// ancestor of depth 2 to 7, which must be among the witness headers.
pub fn validate_ommers(
    block: &Header<'_>,
    ommers: &[(&[u8], Header<'_>)],
    ancestors: &Ancestors<'_>,
    fork_of: impl Fn(&Header<'_>) -> Option<Fork>,
) -> Result<(), Invalid> {
    ensure!(ommers.len() <= 2, "{} ommers", ommers.len());
    let hashes: Vec<B256> = ommers.iter().map(|(bytes, _)| keccak256(bytes)).collect();
    ensure!(hashes.len() < 2 || hashes[0] != hashes[1], "the same ommer twice");
    for ((_, ommer), hash) in ommers.iter().zip(&hashes) {
        ensure!(
            ommer.number >= 1 && ommer.number < block.number && block.number - ommer.number <= 6,
            "ommer {} of block {}",
            ommer.number,
            block.number
        );
        let missing = || Invalid::MissingHeader { number: ommer.number - 1 };
        let (parent, parent_hash) = ancestors.get(ommer.number - 1).ok_or_else(missing)?;
        ensure!(parent_hash == ommer.parent_hash, "parent of ommer {} is not an ancestor", ommer.number);
        let (_, sibling) = ancestors.get(ommer.number).ok_or_else(missing)?;
        ensure!(sibling != *hash, "ommer {} is an ancestor", ommer.number);
        let fork = fork_of(ommer).ok_or_else(|| rule!("ommer {} has no known fork", ommer.number))?;
        ommer.validate(parent, fork)?;
    }
    Ok(())
}
