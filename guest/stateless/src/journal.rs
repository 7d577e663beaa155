//! revm's journal, with two rules more.
//!
//! A contract is never created over storage (EIP-7610): revm decides a collision by nonce and code; an account without
//! either can still have storage, and only its storage root says so.
//!
//! A payment that lifts a balance to 2^256 wei or more makes the block invalid, as the specification's unsigned addition
//! does; revm drops such a tip and fails such a call. Everything else is handed on unchanged.

use crate::state::State;
use revm::bytecode::Bytecode;
use revm::context::journaled_state::account::JournaledAccount;
use revm::context::journaled_state::{
    AccountInfoLoad, AccountLoad, JournalCheckpoint, JournalLoadError, TransferError,
};
use revm::context::{Journal, JournalEntry, JournalTr};
use revm::context_interface::context::{SStoreResult, SelfDestructResult, StateLoad};
use revm::primitives::hardfork::SpecId;
use revm::primitives::{Address, AddressMap, AddressSet, HashSet, Log, StorageKey, StorageValue, B256, U256};
use revm::state::{Account, EvmState};
use revm::Database;

type Error<'a> = <State<'a> as Database>::Error;
type Load<'a, T> = Result<StateLoad<T>, JournalLoadError<Error<'a>>>;

/// The journal of a block under validation.
pub struct StatelessJournal<'a> {
    inner: Journal<State<'a>>,
}

impl<'a> StatelessJournal<'a> {
    /// The state, once execution is over.
    pub fn into_state(self) -> State<'a> {
        self.inner.database
    }

    /// Of an account that is loaded.
    fn balance(&self, address: &Address) -> U256 {
        self.inner.state.get(address).map_or(U256::ZERO, |account| account.info.balance)
    }

    fn note_overflow(&mut self, failed: &Option<TransferError>, to: Address) {
        if matches!(failed, Some(TransferError::OverflowPayment)) {
            self.inner.database.note_overflow(to);
        }
    }
}

impl<'a> JournalTr for StatelessJournal<'a> {
    type Database = State<'a>;
    type State = EvmState;
    type JournaledAccount<'b>
        = JournaledAccount<'b, State<'a>, JournalEntry>
    where
        Self: 'b;

    fn new(database: State<'a>) -> Self {
        Self { inner: Journal::new(database) }
    }

    fn create_account_checkpoint(
        &mut self,
        caller: Address,
        address: Address,
        balance: U256,
        spec: SpecId,
    ) -> Result<JournalCheckpoint, TransferError> {
        if self.inner.database.has_storage(&address) {
            return Err(TransferError::CreateCollision);
        }
        let created = self.inner.create_account_checkpoint(caller, address, balance, spec);
        if matches!(created, Err(TransferError::OverflowPayment)) {
            self.inner.database.note_overflow(address);
        }
        created
    }

    fn db_and_state(&self) -> (&State<'a>, &EvmState) {
        self.inner.db_and_state()
    }

    fn db_and_state_mut(&mut self) -> (&mut State<'a>, &mut EvmState) {
        self.inner.db_and_state_mut()
    }

    fn sload_skip_cold_load(&mut self, address: Address, key: StorageKey, skip: bool) -> Load<'a, StorageValue> {
        self.inner.sload_skip_cold_load(address, key, skip)
    }

    fn sstore_skip_cold_load(
        &mut self,
        address: Address,
        key: StorageKey,
        value: StorageValue,
        skip: bool,
    ) -> Load<'a, SStoreResult> {
        self.inner.sstore_skip_cold_load(address, key, value, skip)
    }

    fn tload(&mut self, address: Address, key: StorageKey) -> StorageValue {
        self.inner.tload(address, key)
    }

    fn tstore(&mut self, address: Address, key: StorageKey, value: StorageValue) {
        self.inner.tstore(address, key, value);
    }

    fn log(&mut self, log: Log) {
        self.inner.log(log);
    }

    fn take_logs(&mut self) -> alloc::vec::Vec<Log> {
        self.inner.take_logs()
    }

    fn logs(&self) -> &[Log] {
        self.inner.logs()
    }

    fn selfdestruct(&mut self, address: Address, target: Address, skip: bool) -> Load<'a, SelfDestructResult> {
        let left = self.balance(&address);
        let destroyed = self.inner.selfdestruct(address, target, skip)?;
        // The target's balance has wrapped where it is less than what came.
        if address != target && self.balance(&target) < left {
            self.inner.database.note_overflow(target);
        }
        Ok(destroyed)
    }

    fn warm_access_list(&mut self, access_list: AddressMap<HashSet<StorageKey>>) {
        self.inner.warm_access_list(access_list);
    }

    fn warm_coinbase_account(&mut self, address: Address) {
        self.inner.warm_coinbase_account(address);
    }

    fn warm_precompiles(&mut self, addresses: &AddressSet) {
        self.inner.warm_precompiles(addresses);
    }

    fn precompile_addresses(&self) -> &AddressSet {
        self.inner.precompile_addresses()
    }

    fn set_spec_id(&mut self, spec: SpecId) {
        self.inner.set_spec_id(spec);
    }

    fn set_eip7708_config(&mut self, disabled: bool, delayed_clear_disabled: bool) {
        self.inner.set_eip7708_config(disabled, delayed_clear_disabled);
    }

    fn touch_account(&mut self, address: Address) {
        self.inner.touch_account(address);
    }

    fn transfer(&mut self, from: Address, to: Address, value: U256) -> Result<Option<TransferError>, Error<'a>> {
        let failed = self.inner.transfer(from, to, value)?;
        self.note_overflow(&failed, to);
        Ok(failed)
    }

    fn transfer_loaded(&mut self, from: Address, to: Address, value: U256) -> Option<TransferError> {
        let failed = self.inner.transfer_loaded(from, to, value);
        self.note_overflow(&failed, to);
        failed
    }

    #[allow(deprecated)]
    fn caller_accounting_journal_entry(&mut self, address: Address, old_balance: U256, bump_nonce: bool) {
        self.inner.caller_accounting_journal_entry(address, old_balance, bump_nonce);
    }

    fn balance_incr(&mut self, address: Address, value: U256) -> Result<(), Error<'a>> {
        self.inner.balance_incr(address, value)
    }

    #[allow(deprecated)]
    fn nonce_bump_journal_entry(&mut self, address: Address) {
        self.inner.nonce_bump_journal_entry(address);
    }

    fn load_account(&mut self, address: Address) -> Result<StateLoad<&Account>, Error<'a>> {
        self.inner.load_account(address)
    }

    fn load_account_with_code(&mut self, address: Address) -> Result<StateLoad<&Account>, Error<'a>> {
        self.inner.load_account_with_code(address)
    }

    fn load_account_delegated(&mut self, address: Address) -> Result<StateLoad<AccountLoad>, Error<'a>> {
        self.inner.load_account_delegated(address)
    }

    fn load_account_mut_skip_cold_load(
        &mut self,
        address: Address,
        skip: bool,
    ) -> Load<'a, Self::JournaledAccount<'_>> {
        self.inner.load_account_mut_skip_cold_load(address, skip)
    }

    fn load_account_mut_optional_code(
        &mut self,
        address: Address,
        load_code: bool,
    ) -> Result<StateLoad<Self::JournaledAccount<'_>>, Error<'a>> {
        self.inner.load_account_mut_optional_code(address, load_code)
    }

    fn set_code_with_hash(&mut self, address: Address, code: Bytecode, hash: B256) {
        self.inner.set_code_with_hash(address, code, hash);
    }

    fn checkpoint(&mut self) -> JournalCheckpoint {
        self.inner.checkpoint()
    }

    fn checkpoint_commit(&mut self) {
        self.inner.checkpoint_commit();
    }

    fn checkpoint_revert(&mut self, checkpoint: JournalCheckpoint) {
        self.inner.checkpoint_revert(checkpoint);
    }

    fn depth(&self) -> usize {
        self.inner.depth()
    }

    fn commit_tx(&mut self) {
        self.inner.commit_tx();
    }

    fn discard_tx(&mut self) {
        self.inner.discard_tx();
    }

    fn finalize(&mut self) -> EvmState {
        self.inner.finalize()
    }

    fn load_account_info_skip_cold_load(
        &mut self,
        address: Address,
        load_code: bool,
        skip: bool,
    ) -> Result<AccountInfoLoad<'_>, JournalLoadError<Error<'a>>> {
        self.inner.load_account_info_skip_cold_load(address, load_code, skip)
    }
}
