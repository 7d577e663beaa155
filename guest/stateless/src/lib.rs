//! Complete stateless validation of an Ethereum block, Frontier to BPO2.
//!
//! `validate` takes the bytes of a StatelessInput (docs/specs/stateless-input.md) and says whether the block is valid
//! on top of its parent's state. It decides from the input alone: nothing is fetched, nothing absent is taken for
//! empty. Bad input is a verdict, not a panic.
//!
//! Cryptography goes through two hooks. keccak256 is `alloy_primitives::keccak256` (feature `native-keccak` of that
//! crate binds it to a symbol of the platform); SHA-256, ecrecover and the precompiles are revm's `Crypto`, installed
//! with `revm::install_crypto` before the first call, else revm's pure Rust.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod dao;
mod error;
mod execute;
mod fork;
mod header;
mod input;
mod journal;
mod rlp;
mod ssz;
mod state;
#[cfg(feature = "trace")]
mod trace;
mod transaction;
mod trie;

pub use error::{Invalid, LookedUp};
pub use fork::{Chain, Fork, Revision, SchemaId};

use crate::error::{ensure, rule};
use crate::execute::{execute, requests_hash, Body};
use crate::header::{validate_ommers, Ancestors, Header, EMPTY_OMMERS_HASH, GAS_PER_BLOB};
use crate::input::{ExecutionPayload, NewPayloadRequest, Request, StatelessInput, Withdrawal};
use crate::rlp::Reader;
use crate::state::State;
use crate::transaction::{RawTransaction, Transaction};
use crate::trie::ordered_root;
use alloc::vec::Vec;
use revm::primitives::{keccak256, Address, B256, U256};

/// EIP-7934: bytes of a block's RLP, from Osaka.
const MAX_RLP_BLOCK_SIZE: usize = (10 << 20) - (2 << 20);
const DAO_EXTRA_DATA: &[u8] = b"dao-hard-fork";
const DAO_EXTRA_DATA_BLOCKS: u64 = 10;

/// A part of the state after a valid block: what the block made and its parent's state does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatePart<'a> {
    /// The RLP of a trie node that is referred to by its hash, or is a root.
    Node(&'a [u8]),
    /// A code, as it is hashed.
    Code(&'a [u8]),
}

/// What runs the guest: hears of the phases, and of the new state of a block under an unbound revision.
pub trait Platform {
    /// The named phase begins. Phases do not nest.
    fn region_begin(&self, _name: &'static str) {}
    /// The named phase ends.
    fn region_end(&self, _name: &'static str) {}
    /// The input is decoded: `refused` is the public output of a run that ends here without a verdict.
    fn decoded(&self, _refused: [u8; Verdict::OUTPUT_BYTES]) {}
    /// A part of the post-state of a valid block, once each; only under the revisions that no chain binds, whose blocks
    /// are those of test suites: there the next block's witness is the parent's with these parts.
    fn post_state(&self, _part: StatePart<'_>) {}
    /// The index of the transaction whose opcodes are traced.
    #[cfg(feature = "trace")]
    fn traced_transaction(&self) -> Option<usize> {
        None
    }
    /// One line of a trace.
    #[cfg(feature = "trace")]
    fn trace(&self, _line: core::fmt::Arguments<'_>) {}
}

/// A platform that does not listen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;
impl Platform for Silent {}

struct Region<'p>(&'p dyn Platform, &'static str);

impl<'p> Region<'p> {
    fn begin(platform: &'p dyn Platform, name: &'static str) -> Self {
        platform.region_begin(name);
        Self(platform, name)
    }
}

impl Drop for Region<'_> {
    fn drop(&mut self) {
        self.0.region_end(self.1);
    }
}

/// The verdict on one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The bytes are not a StatelessInput.
    Undecodable,
    Decoded {
        /// `hash_tree_root` of the request.
        root: B256,
        chain_id: u64,
        schema: SchemaId,
        /// Whether the block is valid, and the reason where it did not validate.
        validity: Result<(), Invalid>,
    },
}

impl Verdict {
    /// Bytes of the public output.
    pub const OUTPUT_BYTES: usize = 43;

    /// The public output: root, flag, chain id and schema id, or zeros where nothing decoded.
    pub fn output(&self) -> [u8; Self::OUTPUT_BYTES] {
        let mut output = [0; Self::OUTPUT_BYTES];
        if let Self::Decoded { root, chain_id, schema, validity } = self {
            output[..32].copy_from_slice(&root[..]);
            output[32] = u8::from(validity.is_ok());
            output[33..41].copy_from_slice(&chain_id.to_le_bytes());
            output[41..].copy_from_slice(&schema.id().to_le_bytes());
        }
        output
    }
}

/// Validates `schema id || SSZ(StatelessInput)`.
pub fn validate(input: &[u8], platform: &dyn Platform) -> Verdict {
    let (decoded, root) = {
        let _region = Region::begin(platform, "decode");
        let Ok(decoded) = StatelessInput::decode(input) else {
            return Verdict::Undecodable;
        };
        let root = B256::from(decoded.request.root());
        (decoded, root)
    };
    let (chain_id, schema) = (decoded.chain_id, decoded.schema);
    let unknown = Err(rule!("no verdict"));
    platform.decoded(Verdict::Decoded { root, chain_id, schema, validity: unknown }.output());
    let validity = validate_input(&decoded, platform);
    Verdict::Decoded { root, chain_id, schema, validity }
}

/// A block, from whichever request.
struct Block<'a> {
    header: Header<'a>,
    transactions: Vec<RawTransaction<'a>>,
    withdrawals: Vec<Withdrawal<'a>>,
    /// RLP and header of each ommer; none from Paris.
    ommers: Vec<(&'a [u8], Header<'a>)>,
    /// Bytes of the block's RLP.
    rlp_size: usize,
}

fn rlp_block(block_rlp: &[u8]) -> Result<Block<'_>, Invalid> {
    let mut fields = Reader::list_exact(block_rlp)?;
    let encoded = fields.item()?.encoded;
    let (mut transactions_list, ommers_item) = (fields.list()?, fields.item()?);
    let mut withdrawals_list = if fields.is_empty() { None } else { Some(fields.list()?) };
    fields.finish()?;
    let header = Header::decode(encoded)?;

    let mut transactions = Vec::new();
    while !transactions_list.is_empty() {
        let item = transactions_list.item()?;
        // A legacy transaction is a list; a typed one is a string of its type byte and RLP.
        let bytes = if item.is_list { item.encoded } else { item.payload };
        ensure!(item.is_list || bytes.first().is_some_and(|first| *first < 0x80), "transaction {}", transactions.len());
        transactions.push(RawTransaction { bytes });
    }
    ensure!(header.transactions_root == ordered_root(&transactions), "transactions root");

    ensure!(keccak256(ommers_item.encoded) == header.ommers_hash, "ommers hash");
    ensure!(ommers_item.is_list, "ommers are not a list");
    let mut ommers_list = Reader::new(ommers_item.payload);
    let mut ommers = Vec::new();
    while !ommers_list.is_empty() {
        let encoded = ommers_list.item()?.encoded;
        ommers.push((encoded, Header::decode(encoded)?));
    }

    let mut withdrawals = Vec::new();
    if let Some(list) = &mut withdrawals_list {
        while !list.is_empty() {
            withdrawals.push(Withdrawal::read(list)?);
        }
    }
    let withdrawals_root = withdrawals_list.map(|_| ordered_root(&encode_withdrawals(&withdrawals)));
    ensure!(header.withdrawals_root == withdrawals_root, "withdrawals root");
    Ok(Block { header, transactions, withdrawals, ommers, rlp_size: block_rlp.len() })
}

/// The RLP of each withdrawal: the values of the withdrawals trie.
fn encode_withdrawals(withdrawals: &[Withdrawal<'_>]) -> Vec<Vec<u8>> {
    let encode = |withdrawal: &Withdrawal<'_>| {
        let mut fields = Vec::with_capacity(48);
        rlp::put_u64(&mut fields, withdrawal.index);
        rlp::put_u64(&mut fields, withdrawal.validator_index);
        rlp::put_bytes(&mut fields, withdrawal.address);
        rlp::put_u64(&mut fields, withdrawal.amount);
        rlp::list(&fields)
    };
    withdrawals.iter().map(encode).collect()
}

fn payload_block<'a>(request: &NewPayloadRequest<'a>) -> Result<Block<'a>, Invalid> {
    let payload: &ExecutionPayload<'a> = &request.payload;
    let base_fee = U256::from_le_bytes(*payload.base_fee_per_gas);
    let transactions: Vec<RawTransaction<'a>> =
        payload.transactions.iter().map(|bytes| RawTransaction { bytes }).collect();
    let withdrawals: Option<Vec<Withdrawal<'a>>> =
        payload.withdrawals.map(|list| list.iter().map(Withdrawal::decode).collect());
    let encoded_withdrawals = withdrawals.as_ref().map(|list| encode_withdrawals(list));
    let requests = request.execution_requests.as_ref().map(|requests| {
        requests_hash([
            requests.deposits.as_flattened(),
            requests.withdrawals.as_flattened(),
            requests.consolidations.as_flattened(),
        ])
    });
    let header = Header {
        parent_hash: B256::from(payload.parent_hash),
        ommers_hash: EMPTY_OMMERS_HASH,
        coinbase: Address::from(payload.fee_recipient),
        state_root: B256::from(payload.state_root),
        transactions_root: ordered_root(&transactions),
        receipts_root: B256::from(payload.receipts_root),
        logs_bloom: payload.logs_bloom,
        difficulty: U256::ZERO,
        number: payload.block_number,
        gas_limit: payload.gas_limit,
        gas_used: payload.gas_used,
        timestamp: payload.timestamp,
        extra_data: payload.extra_data,
        mix_hash: B256::from(payload.prev_randao),
        nonce: [0; 8],
        base_fee_per_gas: Some(base_fee.try_into().map_err(|_| rule!("base fee {base_fee}"))?),
        withdrawals_root: encoded_withdrawals.as_ref().map(|list| ordered_root(list)),
        blob_gas_used: payload.blob_gas_used,
        excess_blob_gas: payload.excess_blob_gas,
        parent_beacon_block_root: request.parent_beacon_block_root.map(B256::from),
        requests_hash: requests,
    };
    let encoded = header.encode();
    let hash = keccak256(&encoded);
    ensure!(hash == *payload.block_hash, "block hash {} is not the computed {hash}", B256::from(payload.block_hash));

    let list_size = |payload: usize| rlp::prefix_length(payload) + payload;
    let transaction_size = |bytes: &[u8]| match bytes.first() {
        Some(0xc0..) => bytes.len(),
        _ => rlp::string_length(bytes),
    };
    let transactions_size = transactions.iter().map(|transaction| transaction_size(transaction.bytes)).sum();
    let withdrawals_size = encoded_withdrawals.map_or(0, |list| list_size(list.iter().map(Vec::len).sum()));
    let rlp_size = list_size(encoded.len() + list_size(transactions_size) + 1 + withdrawals_size);
    Ok(Block { header, transactions, withdrawals: withdrawals.unwrap_or_default(), ommers: Vec::new(), rlp_size })
}

/// Refuses a block whose fork is not the one its chain's schedule gives.
fn bind_fork(schema: SchemaId, chain_id: u64, header: &Header<'_>) -> Result<(), Invalid> {
    if let Some(chain) = schema.binding_chain(chain_id) {
        let fork = chain.fork(header.number, header.timestamp);
        ensure!(
            fork == Some(schema.fork),
            "schema of {:?} where chain {chain_id} has {fork:?} at block {}, time {}",
            schema.fork,
            header.number,
            header.timestamp
        );
        validate_dao_extra_data(chain, header)?;
    }
    Ok(())
}

/// EIP-779: the first ten blocks of the DAO fork say so in their extra data.
fn validate_dao_extra_data(chain: &Chain, header: &Header<'_>) -> Result<(), Invalid> {
    if let Some(blocks) = chain.dao_fork_block.and_then(|first| header.number.checked_sub(first)) {
        ensure!(
            blocks >= DAO_EXTRA_DATA_BLOCKS || header.extra_data == DAO_EXTRA_DATA,
            "extra data of DAO fork block {}",
            header.number
        );
    }
    Ok(())
}

fn decode_transactions(block: &Block<'_>, fork: Fork, chain_id: u64) -> Result<Vec<Transaction>, Invalid> {
    let decode = |(index, raw): (usize, &RawTransaction<'_>)| {
        raw.decode(fork, chain_id).map_err(|error| rule!("transaction {index}: {error}"))
    };
    block.transactions.iter().enumerate().map(decode).collect()
}

fn validate_input(input: &StatelessInput<'_>, platform: &dyn Platform) -> Result<(), Invalid> {
    let StatelessInput { schema, chain_id, .. } = *input;
    let fork = schema.fork;

    let region = Region::begin(platform, "header and body");
    let block = match &input.request {
        Request::LegacyBlock { block_rlp } => rlp_block(block_rlp)?,
        Request::NewPayload(request) => payload_block(request)?,
    };
    ensure!(
        input.public_keys.len() == block.transactions.len(),
        "{} public keys for {} transactions",
        input.public_keys.len(),
        block.transactions.len()
    );
    bind_fork(schema, chain_id, &block.header)?;
    let header = &block.header;
    let ancestors = Ancestors::link(&input.witness.headers, header.number, header.parent_hash)?;
    let parent = ancestors.parent();
    header.validate(parent, fork)?;
    if fork < Fork::Paris {
        // An ommer follows the rules of its own number: it can be older than the block's fork.
        let chain = schema.binding_chain(chain_id);
        let fork_of = |ommer: &Header<'_>| chain.map_or(Some(fork), |chain| chain.fork(ommer.number, ommer.timestamp));
        validate_ommers(header, &block.ommers, &ancestors, fork_of)?;
        if let Some(chain) = chain {
            block.ommers.iter().try_for_each(|(_, ommer)| validate_dao_extra_data(chain, ommer))?;
        }
    }
    ensure!(fork < Fork::Osaka || block.rlp_size <= MAX_RLP_BLOCK_SIZE, "block of {} bytes", block.rlp_size);
    drop(region);

    let region = Region::begin(platform, "senders");
    let transactions = decode_transactions(&block, fork, chain_id)?;
    drop(region);
    let blob_hashes = || transactions.iter().flat_map(|transaction| &transaction.env.blob_hashes);
    if let Request::NewPayload(NewPayloadRequest { versioned_hashes: Some(expected), .. }) = &input.request {
        ensure!(blob_hashes().eq(expected.iter()), "versioned hashes are not those of the transactions");
    }
    if let Some(blob_gas_used) = header.blob_gas_used {
        let due = blob_hashes().count() as u64 * GAS_PER_BLOB;
        ensure!(blob_gas_used == due, "blob gas used {blob_gas_used} where the transactions have {due}");
    }

    let region = Region::begin(platform, "hash witness");
    let state = State::new(&input.witness.state, &input.witness.codes, &ancestors, &parent.state_root, fork.spec_id());
    drop(region);

    let region = Region::begin(platform, "execute");
    let moves_dao = schema.binding_chain(chain_id).is_some_and(|chain| chain.dao_fork_block == Some(header.number));
    let body = Body {
        fork,
        chain_id,
        deposit_contract: schema.deposit_contract(chain_id),
        moves_dao,
        raw: &block.transactions,
        withdrawals: &block.withdrawals,
        ommers: block.ommers.iter().map(|(_, ommer)| (ommer.number, ommer.coinbase)).collect(),
        #[cfg(feature = "trace")]
        tracing: trace::Tracing(platform),
    };
    let (outcome, mut state) = execute(state, header, &body, transactions)?;
    ensure!(
        outcome.gas_used == header.gas_used,
        "gas used {} where execution used {}",
        header.gas_used,
        outcome.gas_used
    );
    ensure!(
        outcome.receipts_root == header.receipts_root,
        "receipts root {} where execution gives {}",
        header.receipts_root,
        outcome.receipts_root
    );
    ensure!(outcome.logs_bloom == *header.logs_bloom, "logs bloom");
    ensure!(
        outcome.requests_hash == header.requests_hash,
        "requests hash {:?} where execution gives {:?}",
        header.requests_hash,
        outcome.requests_hash
    );
    drop(region);

    let _region = Region::begin(platform, "post-state root");
    let root = state.root()?;
    ensure!(root == header.state_root, "state root {} where execution gives {root}", header.state_root);
    if schema.revision != Revision::Bound {
        state.visit_new(&mut |part| platform.post_state(part));
    }
    Ok(())
}
