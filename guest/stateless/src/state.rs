//! The state of the block: what the witness proves of the parent's state, and what the block has changed since.
//!
//! Reads are answered from the tries and cached. A node or code that is not in the witness is an error, never an empty
//! value.

use crate::error::{rule, Invalid, LookedUp};
use crate::header::Ancestors;
use crate::rlp::{self, Reader};
use crate::trie::{Link, Nodes, TrieError};
use crate::StatePart;
use alloc::boxed::Box;
use alloc::vec::Vec;
use revm::bytecode::Bytecode;
use revm::primitives::hardfork::SpecId;
use revm::primitives::map::{AddressMap, B256Map, Entry, HashMap};
use revm::primitives::{keccak256, Address, Bytes, B256, KECCAK_EMPTY, U256};
use revm::state::{AccountInfo, EvmState};
use revm::Database;

/// What an account's leaf holds besides the storage root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Info {
    nonce: u64,
    balance: U256,
    code_hash: B256,
}

impl Info {
    const NEW: Self = Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK_EMPTY };

    /// Empty as EIP-161 has it.
    fn is_empty(&self) -> bool {
        *self == Self::NEW
    }
}

struct Slot {
    /// keccak256 of the slot's number: its key in the storage trie.
    hashed: B256,
    /// Now.
    value: U256,
    /// As the storage trie in memory has it.
    in_trie: U256,
}

struct Account<'a> {
    /// keccak256 of the address: its key in the account trie.
    hashed: B256,
    info: Option<Info>,
    storage: Link<'a>,
    slots: HashMap<U256, Slot>,
    /// Changed since the last root.
    dirty: bool,
}

/// The state of one block under validation.
pub struct State<'a> {
    nodes: Nodes<'a>,
    accounts_root: Link<'a>,
    accounts: AddressMap<Account<'a>>,
    /// Codes of the witness by their hash.
    given_codes: B256Map<&'a [u8]>,
    /// Codes in use: analysed once, on first use, and those the block created.
    codes: B256Map<Bytecode>,
    /// An account whose balance would have passed 2^256 - 1 wei: the block is invalid.
    overflowed: Option<Address>,
    ancestors: &'a Ancestors<'a>,
    spec: SpecId,
}

fn trie_error(error: TrieError, account: Address, slot: Option<U256>) -> Invalid {
    let looked_up = LookedUp { account: Some(account), slot };
    match error {
        TrieError::Missing(hash) => Invalid::MissingNode { hash, looked_up },
        TrieError::Malformed(hash) => Invalid::MalformedNode { hash, looked_up },
        TrieError::Written => rule!("a value of {account} was read back from its trie"),
    }
}

/// A leaf of the account trie: what it holds, and its storage root.
fn decode_account(leaf: &[u8]) -> Result<(Info, &[u8; 32]), Invalid> {
    let mut fields = Reader::list_exact(leaf)?;
    let (nonce, balance) = (fields.u64()?, fields.u256()?);
    let (storage_root, code_hash) = (fields.fixed()?, B256::from(fields.fixed()?));
    fields.finish()?;
    Ok((Info { nonce, balance, code_hash }, storage_root))
}

fn encode_account(info: &Info, storage_root: &B256) -> Box<[u8]> {
    let mut out = Vec::with_capacity(110);
    rlp::put_u64(&mut out, info.nonce);
    rlp::put_u256(&mut out, &info.balance);
    rlp::put_bytes(&mut out, &storage_root[..]);
    rlp::put_bytes(&mut out, &info.code_hash[..]);
    rlp::list(&out).into_boxed_slice()
}

impl<'a> State<'a> {
    /// The state with root `root`, known as far as `nodes` and `codes` go. Hashes all of them.
    pub fn new(
        nodes: &[&'a [u8]],
        codes: &[&'a [u8]],
        ancestors: &'a Ancestors<'a>,
        root: &'a B256,
        spec: SpecId,
    ) -> Self {
        let mut given_codes = B256Map::with_capacity_and_hasher(codes.len(), Default::default());
        for code in codes {
            given_codes.insert(keccak256(code), *code);
        }
        Self {
            nodes: Nodes::new(nodes),
            accounts_root: Nodes::trie(&root.0),
            accounts: AddressMap::default(),
            given_codes,
            codes: B256Map::default(),
            overflowed: None,
            ancestors,
            spec,
        }
    }

    fn account(&mut self, address: Address) -> Result<&mut Account<'a>, Invalid> {
        match self.accounts.entry(address) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let hashed = keccak256(address);
                let leaf = self
                    .nodes
                    .get(&mut self.accounts_root, &hashed.0)
                    .map_err(|error| trie_error(error, address, None))?;
                let (info, storage) = match leaf {
                    None => (None, Link::Empty),
                    Some(leaf) => {
                        let (info, root) = decode_account(leaf)?;
                        (Some(info), Nodes::trie(root))
                    }
                };
                Ok(entry.insert(Account { hashed, info, storage, slots: HashMap::default(), dirty: false }))
            }
        }
    }

    fn slot(&mut self, address: Address, number: U256) -> Result<&mut Slot, Invalid> {
        self.account(address)?;
        let Some(account) = self.accounts.get_mut(&address) else {
            return Err(rule!("account {address} not loaded"));
        };
        match account.slots.entry(number) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let hashed = keccak256(number.to_be_bytes::<32>());
                let leaf = match account.storage {
                    Link::Empty => None,
                    _ => self
                        .nodes
                        .get(&mut account.storage, &hashed.0)
                        .map_err(|error| trie_error(error, address, Some(number)))?,
                };
                let value = match leaf {
                    None => U256::ZERO,
                    Some(leaf) => {
                        let mut reader = Reader::new(leaf);
                        let value = reader.u256()?;
                        reader.finish()?;
                        value
                    }
                };
                Ok(entry.insert(Slot { hashed, value, in_trie: value }))
            }
        }
    }

    /// Whether an account that could be created has storage already (EIP-7610).
    pub fn has_storage(&self, address: &Address) -> bool {
        self.accounts.get(address).is_some_and(|account| {
            !matches!(account.storage, Link::Empty) || account.slots.values().any(|slot| !slot.value.is_zero())
        })
    }

    /// Whether an account has code.
    pub fn has_code(&mut self, address: Address) -> Result<bool, Invalid> {
        Ok(self.account(address)?.info.is_some_and(|info| info.code_hash != KECCAK_EMPTY))
    }

    /// Adds to a balance and touches the account: from EIP-161 on, one that stays empty is removed.
    pub fn credit(&mut self, address: Address, amount: U256) -> Result<(), Invalid> {
        let clears_empty = self.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON);
        let account = self.account(address)?;
        let mut info = account.info.unwrap_or(Info::NEW);
        let Some(balance) = info.balance.checked_add(amount) else {
            return Err(rule!("balance of {address} overflows"));
        };
        info.balance = balance;
        let info = if info.is_empty() && clears_empty { None } else { Some(info) };
        if account.info != info {
            account.info = info;
            account.dirty = true;
            if info.is_none() {
                account.clear_storage();
            }
        }
        Ok(())
    }

    /// Notes that a payment does not fit the balance of `address`: `commit` then refuses the block, as the specification's
    /// unsigned addition does.
    pub fn note_overflow(&mut self, address: Address) {
        self.overflowed = Some(address);
    }

    /// Takes the whole balance of an account; one that is absent comes into being, empty, as a write of its balance makes it.
    pub fn take_balance(&mut self, address: Address) -> Result<U256, Invalid> {
        let account = self.account(address)?;
        let info = account.info.get_or_insert(Info::NEW);
        account.dirty = true;
        Ok(core::mem::take(&mut info.balance))
    }

    /// Applies what one transaction or system call changed.
    ///
    /// The journal has settled what is fork-specific: which accounts are destroyed (EIP-6780), and that before EIP-161
    /// no touched empty account looks like one to remove.
    pub fn commit(&mut self, changes: EvmState) -> Result<(), Invalid> {
        if let Some(address) = self.overflowed {
            return Err(rule!("balance of {address} overflows"));
        }
        for (address, change) in changes {
            if !change.is_touched() {
                continue;
            }
            let account = self.account(address)?;
            if change.is_selfdestructed() || (change.is_empty() && !change.is_created()) {
                account.dirty |= account.info.is_some();
                account.info = None;
                account.clear_storage();
                continue;
            }
            if change.is_created() {
                account.clear_storage();
                account.dirty = true;
            }
            let info =
                Info { nonce: change.info.nonce, balance: change.info.balance, code_hash: change.info.code_hash };
            let code_changed = account.info.is_none_or(|old| old.code_hash != info.code_hash);
            account.dirty |= account.info != Some(info);
            account.info = Some(info);
            for (number, slot) in &change.storage {
                if slot.is_changed() {
                    self.slot(address, *number)?.value = slot.present_value;
                    if let Some(account) = self.accounts.get_mut(&address) {
                        account.dirty = true;
                    }
                }
            }
            if let Some(code) = change.info.code {
                if code_changed && info.code_hash != KECCAK_EMPTY {
                    self.codes.entry(info.code_hash).or_insert(code);
                }
            }
        }
        Ok(())
    }

    /// The state root now. In each trie all updates come before the removals, so that no node collapses that the final
    /// trie keeps.
    pub fn root(&mut self) -> Result<B256, Invalid> {
        let Self { nodes, accounts, accounts_root, .. } = self;
        let mut removed = Vec::new();
        for (address, account) in accounts.iter_mut().filter(|(_, account)| account.dirty) {
            account.dirty = false;
            let Some(info) = account.info else {
                removed.push((*address, account.hashed));
                continue;
            };
            let storage = &mut account.storage;
            let mut changed: Vec<(&U256, &mut Slot)> =
                account.slots.iter_mut().filter(|(_, slot)| slot.value != slot.in_trie).collect();
            for (number, slot) in changed.iter_mut().filter(|(_, slot)| !slot.value.is_zero()) {
                let mut value = Vec::with_capacity(33);
                rlp::put_u256(&mut value, &slot.value);
                nodes
                    .insert(storage, &slot.hashed.0, value.into_boxed_slice())
                    .map_err(|error| trie_error(error, *address, Some(**number)))?;
            }
            for (number, slot) in changed {
                if slot.value.is_zero() {
                    nodes
                        .remove(storage, &slot.hashed.0)
                        .map_err(|error| trie_error(error, *address, Some(*number)))?;
                }
                slot.in_trie = slot.value;
            }
            let leaf = encode_account(&info, &nodes.root(*storage));
            nodes.insert(accounts_root, &account.hashed.0, leaf).map_err(|error| trie_error(error, *address, None))?;
        }
        for (address, hashed) in removed {
            nodes.remove(accounts_root, &hashed.0).map_err(|error| trie_error(error, address, None))?;
        }
        Ok(nodes.root(*accounts_root))
    }

    /// Visits what `root` has hashed anew and the state still refers to, and the codes that the block made.
    pub fn visit_new(&mut self, visit: &mut dyn FnMut(StatePart<'_>)) {
        let Self { nodes, accounts, accounts_root, codes, given_codes, .. } = self;
        let storages = accounts.values().filter(|account| account.info.is_some()).map(|account| account.storage);
        for root in storages.chain([*accounts_root]) {
            nodes.visit_new(root, &mut |node| visit(StatePart::Node(node)));
        }
        for (_, code) in codes.iter().filter(|(hash, _)| !given_codes.contains_key(*hash)) {
            visit(StatePart::Code(code.original_byte_slice()));
        }
    }
}

impl Account<'_> {
    fn clear_storage(&mut self) {
        self.storage = Link::Empty;
        self.slots.clear();
    }
}

impl Database for State<'_> {
    type Error = Invalid;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Invalid> {
        Ok(self.account(address)?.info.map(|info| AccountInfo {
            balance: info.balance,
            nonce: info.nonce,
            code_hash: info.code_hash,
            account_id: None,
            code: None,
        }))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, Invalid> {
        if let Some(code) = self.codes.get(&hash) {
            return Ok(code.clone());
        }
        let Some(given) = self.given_codes.get(&hash) else {
            let owner = |(address, account): (&Address, &Account<'_>)| {
                account.info.is_some_and(|info| info.code_hash == hash).then_some(*address)
            };
            return Err(Invalid::MissingCode { hash, account: self.accounts.iter().find_map(owner) });
        };
        let bytes = Bytes::copy_from_slice(given);
        // A delegation designator (EIP-7702) is one from Prague only; before, and where malformed, the bytes are
        // ordinary code.
        let code = if self.spec.is_enabled_in(SpecId::PRAGUE) {
            Bytecode::new_raw_checked(bytes.clone()).unwrap_or_else(|_| Bytecode::new_legacy(bytes))
        } else {
            Bytecode::new_legacy(bytes)
        };
        self.codes.insert(hash, code.clone());
        Ok(code)
    }

    fn storage(&mut self, address: Address, number: U256) -> Result<U256, Invalid> {
        self.slot(address, number).map(|slot| slot.value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Invalid> {
        self.ancestors.get(number).map(|(_, hash)| hash).ok_or(Invalid::MissingHeader { number })
    }
}
