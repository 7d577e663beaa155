//! Execution of a block on its parent's state, by revm: everything between the pre-state and the post-state root.
//!
//! Source: execution-specs, `apply_body` of each fork; EIP-779, 4788, 4895, 2935, 6110, 7002, 7251, 7685.

use crate::error::{ensure, rule, Invalid};
use crate::fork::Fork;
use crate::header::{blob_base_fee, Header, GAS_PER_BLOB};
use crate::input::Withdrawal;
use crate::journal::StatelessJournal;
use crate::rlp;
use crate::state::State;
use crate::transaction::{RawTransaction, Transaction};
use crate::trie::ordered_root;
use alloc::vec::Vec;
use core::marker::PhantomData;
use revm::context::{result::{EVMError, ExecutionResult, HaltReason}, BlockEnv, CfgEnv, Context, JournalTr, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::context_interface::journaled_state::account::JournaledAccountTr;
use revm::context_interface::Transaction as _;
use revm::handler::{FrameResult, Handler, MainnetHandler, SYSTEM_ADDRESS};
use revm::precompile::crypto;
use revm::primitives::hardfork::SpecId;
use revm::primitives::{address, b256, keccak256, Address, Bytes, Log, TxKind, B256, U256};
use revm::{ExecuteEvm, MainBuilder};

const BEACON_ROOTS: Address = address!("0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02");
const HISTORY_STORAGE: Address = address!("0x0000F90827F1C53a10cb7A02335B175320002935");
const WITHDRAWAL_REQUESTS: Address = address!("0x00000961Ef480Eb55e80D19ad83579A64c007002");
const CONSOLIDATION_REQUESTS: Address = address!("0x0000BBdDc7CE488642fb579F8B00f3a590007251");
const SYSTEM_CALL_GAS: u64 = 30_000_000;
/// keccak256 of `DepositEvent(bytes,bytes,bytes,bytes,bytes)`.
const DEPOSIT_EVENT: B256 = b256!("0x649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");
const GWEI: u64 = 1_000_000_000;
/// EIP-7594: blobs of one transaction, from Osaka.
const MAX_BLOBS_PER_TRANSACTION: u64 = 6;

pub type EvmContext<'a> = Context<BlockEnv, TxEnv, CfgEnv, State<'a>, StatelessJournal<'a>, ()>;

/// What execution says of the block, to be compared with the header.
#[derive(Debug)]
pub struct Outcome {
    pub gas_used: u64,
    pub receipts_root: B256,
    pub logs_bloom: [u8; 256],
    /// From Prague.
    pub requests_hash: Option<B256>,
}

/// What a block needs beyond its header.
#[derive(Debug)]
pub struct Body<'a> {
    pub fork: Fork,
    pub chain_id: u64,
    pub deposit_contract: Address,
    /// Whether this is the block that moves the DAO's ether.
    pub moves_dao: bool,
    pub raw: &'a [RawTransaction<'a>],
    pub withdrawals: &'a [Withdrawal<'a>],
    /// Number and coinbase of each ommer.
    pub ommers: Vec<(u64, Address)>,
    #[cfg(feature = "trace")]
    pub tracing: crate::trace::Tracing<'a>,
}

/// revm's handling of a transaction, but that a refund or a tip that lifts a balance to 2^256 wei or more is an error, as in
/// the specification's unsigned addition; revm drops it.
pub struct TransactionHandler<'a>(PhantomData<&'a ()>);

impl<'a> TransactionHandler<'a> {
    fn pay(evm: &mut Evm<'a>, to: Address, price: u128, gas: u64) -> Result<(), EVMError<Invalid>> {
        let mut account = evm.ctx.journaled_state.load_account_mut(to)?;
        if account.data.incr_balance(U256::from(price) * U256::from(gas)) {
            return Ok(());
        }
        Err(EVMError::Database(rule!("balance of {to} overflows")))
    }
}

impl<'a> Handler for TransactionHandler<'a> {
    type Evm = Evm<'a>;
    type Error = EVMError<Invalid>;
    type HaltReason = HaltReason;

    fn reimburse_caller(&self, evm: &mut Evm<'a>, result: &mut FrameResult) -> Result<(), Self::Error> {
        let price = evm.ctx.tx.effective_gas_price(u128::from(evm.ctx.block.basefee));
        let gas = result.gas();
        Self::pay(evm, evm.ctx.tx.caller, price, gas.remaining() + gas.refunded() as u64)
    }

    fn reward_beneficiary(&self, evm: &mut Evm<'a>, result: &mut FrameResult) -> Result<(), Self::Error> {
        let base_fee = u128::from(evm.ctx.block.basefee);
        let burnt = if evm.ctx.cfg.spec.is_enabled_in(SpecId::LONDON) { base_fee } else { 0 };
        let price = evm.ctx.tx.effective_gas_price(base_fee).saturating_sub(burnt);
        Self::pay(evm, evm.ctx.block.beneficiary, price, result.gas().used())
    }
}

fn evm_error(error: EVMError<Invalid>, what: core::fmt::Arguments<'_>) -> Invalid {
    match error {
        EVMError::Database(invalid) => invalid,
        error => rule!("{what}: {error}"),
    }
}

/// Sets the three bits of the bloom filter that `data` stands for (Yellow Paper 4.3.1).
fn add_to_bloom(bloom: &mut [u8; 256], data: &[u8]) {
    let hash = keccak256(data);
    for pair in 0..3 {
        let bit = usize::from(hash[2 * pair] & 7) << 8 | usize::from(hash[2 * pair + 1]);
        bloom[255 - bit / 8] |= 1 << (bit % 8);
    }
}

/// `status_or_root` is one byte string: the status from Byzantium, before it the state root after the transaction.
fn encode_receipt(
    tx_type: Option<u8>,
    status_or_root: &[u8],
    cumulative_gas: u64,
    bloom: &[u8; 256],
    logs: &[Log],
) -> Vec<u8> {
    let mut encoded_logs = Vec::new();
    for log in logs {
        let topics = log.topics();
        let payload =
            21 + rlp::prefix_length(33 * topics.len()) + 33 * topics.len() + rlp::string_length(&log.data.data);
        rlp::put_list_prefix(&mut encoded_logs, payload);
        rlp::put_bytes(&mut encoded_logs, &log.address[..]);
        rlp::put_list_prefix(&mut encoded_logs, 33 * topics.len());
        for topic in topics {
            rlp::put_bytes(&mut encoded_logs, &topic[..]);
        }
        rlp::put_bytes(&mut encoded_logs, &log.data.data);
    }
    let mut fields = Vec::with_capacity(320 + encoded_logs.len());
    rlp::put_bytes(&mut fields, status_or_root);
    rlp::put_u64(&mut fields, cumulative_gas);
    rlp::put_bytes(&mut fields, bloom);
    rlp::put_list_prefix(&mut fields, encoded_logs.len());
    fields.extend_from_slice(&encoded_logs);
    let mut receipt = Vec::with_capacity(fields.len() + 5);
    receipt.extend(tx_type);
    rlp::put_list_prefix(&mut receipt, fields.len());
    receipt.extend_from_slice(&fields);
    receipt
}

/// Calls a system contract that has code. `None` where it has none: then the call does nothing.
fn system_call<'a>(evm: &mut Evm<'a>, contract: Address, data: Bytes) -> Result<Option<ExecutionResult>, Invalid> {
    if !evm.ctx.journaled_state.db_mut().has_code(contract)? {
        return Ok(None);
    }
    let call = TxEnv {
        caller: SYSTEM_ADDRESS,
        kind: TxKind::Call(contract),
        data,
        gas_limit: SYSTEM_CALL_GAS,
        ..TxEnv::default()
    };
    evm.ctx.tx = call;
    let mut handler: MainnetHandler<Evm<'a>, EVMError<Invalid>, _> = MainnetHandler::default();
    let result =
        handler.run_system_call(evm).map_err(|error| evm_error(error, format_args!("system call to {contract}")))?;
    let changes = evm.finalize();
    evm.ctx.journaled_state.db_mut().commit(changes)?;
    Ok(Some(result))
}

/// A system call whose failure makes the block invalid; returns its output.
fn checked_system_call(evm: &mut Evm<'_>, contract: Address) -> Result<Bytes, Invalid> {
    let result = system_call(evm, contract, Bytes::new())?;
    match result {
        Some(ExecutionResult::Success { output, .. }) => Ok(output.into_data()),
        Some(_) => Err(rule!("system call to {contract} failed")),
        None => Err(rule!("system contract {contract} has no code")),
    }
}

/// The 192 bytes of a deposit request from the data of its event (EIP-6110): five byte strings at fixed places.
fn deposit_request(data: &[u8], requests: &mut Vec<u8>) -> Result<(), Invalid> {
    const FIELDS: [(usize, usize); 5] = [(160, 48), (256, 32), (320, 8), (384, 96), (512, 8)];
    let word = |at: usize, value: usize| {
        data[at..at + 24] == [0; 24] && data[at + 24..at + 32] == (value as u64).to_be_bytes()
    };
    ensure!(data.len() == 576, "deposit event of {} bytes", data.len());
    for (index, (offset, length)) in FIELDS.into_iter().enumerate() {
        ensure!(word(32 * index, offset) && word(offset, length), "deposit event with a wrong layout");
        requests.extend_from_slice(&data[offset + 32..offset + 32 + length]);
    }
    Ok(())
}

/// The hash of EIP-7685 over the lists of requests by type; empty lists do not count.
pub fn requests_hash(lists: [&[u8]; 3]) -> B256 {
    let mut hashes = Vec::with_capacity(96);
    for (kind, data) in lists.into_iter().enumerate() {
        if !data.is_empty() {
            let mut request = Vec::with_capacity(1 + data.len());
            request.push(kind as u8);
            request.extend_from_slice(data);
            hashes.extend_from_slice(&crypto().sha256(&request));
        }
    }
    B256::from(crypto().sha256(&hashes))
}

fn pay_rewards(state: &mut State<'_>, header: &Header<'_>, body: &Body<'_>) -> Result<(), Invalid> {
    let reward = body.fork.block_reward();
    if reward.is_zero() {
        return Ok(());
    }
    let with_ommers = reward + (reward >> 5) * U256::from(body.ommers.len());
    state.credit(header.coinbase, with_ommers)?;
    for &(number, coinbase) in &body.ommers {
        // The age is 1 to 6: `validate_ommers`.
        let eighths = (8 + number).saturating_sub(header.number);
        state.credit(coinbase, (reward * U256::from(eighths)) >> 3)?;
    }
    Ok(())
}

/// Runs the block. `state` is the parent's; the state returned is the block's own.
pub fn execute<'a>(
    mut state: State<'a>,
    header: &Header<'_>,
    body: &Body<'a>,
    transactions: Vec<Transaction>,
) -> Result<(Outcome, State<'a>), Invalid> {
    let fork = body.fork;
    if body.moves_dao {
        let mut total = U256::ZERO;
        for account in crate::dao::DAO_ACCOUNTS {
            total += state.take_balance(account)?;
        }
        state.credit(crate::dao::DAO_RECOVERY, total)?;
    }

    let schedule = fork.blob_schedule();
    let mut cfg = CfgEnv::new_with_spec(fork.spec_id()).with_chain_id(body.chain_id);
    if fork >= Fork::Osaka {
        cfg.max_blobs_per_tx = Some(MAX_BLOBS_PER_TRANSACTION);
    }
    let blob_price = schedule
        .zip(header.excess_blob_gas)
        .map(|(schedule, excess_blob_gas)| (excess_blob_gas, blob_base_fee(excess_blob_gas, schedule)));
    // Saturated: what BLOBBASEFEE would say is not known.
    ensure!(blob_price.is_none_or(|(_, price)| price < u128::MAX), "a blob base fee of 2^128 wei or more");
    let block = BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.coinbase,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or(0),
        difficulty: header.difficulty,
        prevrandao: (fork >= Fork::Paris).then_some(header.mix_hash),
        blob_excess_gas_and_price: blob_price
            .map(|(excess_blob_gas, blob_gasprice)| BlobExcessGasAndPrice { excess_blob_gas, blob_gasprice }),
        ..BlockEnv::default()
    };
    let context = EvmContext::new(state, fork.spec_id()).with_cfg(cfg).with_block(block);
    #[cfg(not(feature = "trace"))]
    let mut evm = context.build_mainnet();
    #[cfg(feature = "trace")]
    let mut evm = context.build_mainnet_with_inspector(body.tracing);

    // A failing call to these two does not make the block invalid.
    if let Some(root) = header.parent_beacon_block_root {
        system_call(&mut evm, BEACON_ROOTS, Bytes::copy_from_slice(&root[..]))?;
    }
    if fork >= Fork::Prague {
        system_call(&mut evm, HISTORY_STORAGE, Bytes::copy_from_slice(&header.parent_hash[..]))?;
    }

    let mut gas_used = 0u64;
    let mut blob_gas_used = 0u64;
    let max_blob_gas = schedule.map_or(0, |schedule| schedule.max * GAS_PER_BLOB);
    let mut receipts = Vec::with_capacity(body.raw.len());
    let mut logs_bloom = [0u8; 256];
    let mut deposits = Vec::new();
    for (index, (transaction, raw)) in transactions.into_iter().zip(body.raw).enumerate() {
        let env = transaction.env;
        ensure!(
            env.gas_limit <= header.gas_limit - gas_used,
            "transaction {index}: gas limit {} above the {} left",
            env.gas_limit,
            header.gas_limit - gas_used
        );
        blob_gas_used += transaction.blob_gas;
        ensure!(blob_gas_used <= max_blob_gas, "transaction {index}: blob gas {blob_gas_used} above {max_blob_gas}");
        // revm multiplies gas and price in 128 bits; no balance of a chain with less than 2^128 wei could pay more.
        ensure!(
            env.gas_price.checked_mul(u128::from(env.gas_limit)).is_some(),
            "transaction {index}: a fee of 2^128 wei or more"
        );
        ensure!(
            env.max_fee_per_blob_gas.checked_mul(u128::from(transaction.blob_gas)).is_some(),
            "transaction {index}: a blob fee of 2^128 wei or more"
        );
        evm.ctx.tx = env;
        #[cfg(not(feature = "trace"))]
        let result = TransactionHandler(PhantomData)
            .run(&mut evm)
            .map_err(|error| evm_error(error, format_args!("transaction {index}")))?;
        #[cfg(feature = "trace")]
        let result = (body.tracing.run(TransactionHandler(PhantomData), &mut evm, index))
            .map_err(|error| evm_error(error, format_args!("transaction {index}")))?;
        let changes = evm.finalize();
        let state = evm.ctx.journaled_state.db_mut();
        state.commit(changes)?;
        gas_used += result.tx_gas_used();
        ensure!(gas_used <= header.gas_limit, "transaction {index}: block gas above its limit");

        let mut bloom = [0u8; 256];
        let success = result.is_success();
        // A reverted or halted transaction has no logs.
        let logs = if success { result.into_logs() } else { Vec::new() };
        for log in &logs {
            add_to_bloom(&mut bloom, &log.address[..]);
            for topic in log.topics() {
                add_to_bloom(&mut bloom, &topic[..]);
            }
            if fork >= Fork::Prague
                && log.address == body.deposit_contract
                && log.topics().first() == Some(&DEPOSIT_EVENT)
            {
                deposit_request(&log.data.data, &mut deposits)?;
            }
        }
        for (all, one) in logs_bloom.iter_mut().zip(&bloom) {
            *all |= one;
        }
        let tx_type = raw.receipt_type();
        receipts.push(if fork >= Fork::Byzantium {
            encode_receipt(tx_type, if success { &[1] } else { &[] }, gas_used, &bloom, &logs)
        } else {
            encode_receipt(tx_type, &state.root()?[..], gas_used, &bloom, &logs)
        });
        #[cfg(feature = "trace")]
        body.tracing.receipt(index, &receipts[index]);
    }

    let state = evm.ctx.journaled_state.db_mut();
    pay_rewards(state, header, body)?;
    for withdrawal in body.withdrawals {
        state.credit(Address::from(withdrawal.address), U256::from(withdrawal.amount) * U256::from(GWEI))?;
    }
    let requests_hash = if fork >= Fork::Prague {
        let withdrawals = checked_system_call(&mut evm, WITHDRAWAL_REQUESTS)?;
        let consolidations = checked_system_call(&mut evm, CONSOLIDATION_REQUESTS)?;
        Some(requests_hash([&deposits, &withdrawals, &consolidations]))
    } else {
        None
    };

    let outcome = Outcome { gas_used, receipts_root: ordered_root(&receipts), logs_bloom, requests_hash };
    Ok((outcome, evm.ctx.journaled_state.into_state()))
}

#[cfg(not(feature = "trace"))]
pub type Evm<'a> = revm::MainnetEvm<EvmContext<'a>>;
#[cfg(feature = "trace")]
pub type Evm<'a> = revm::MainnetEvm<EvmContext<'a>, crate::trace::Tracing<'a>>;
