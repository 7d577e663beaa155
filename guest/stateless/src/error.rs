//! Why an input did not validate. The text is what the debug channel shows after `invalid: `.

use crate::rlp::RlpError;
use alloc::string::String;
use core::fmt;
use revm::primitives::{Address, B256, U256};

/// What was being looked up when something was found missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LookedUp {
    pub account: Option<Address>,
    pub slot: Option<U256>,
}

impl fmt::Display for LookedUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(account) = self.account {
            write!(f, " (account {account}")?;
            if let Some(slot) = self.slot {
                write!(f, ", slot {slot:#x}")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// The reason for flag 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// A trie node that the block needs is not in the witness.
    MissingNode { hash: B256, looked_up: LookedUp },
    /// A code that the block runs or measures is not in the witness.
    MissingCode { hash: B256, account: Option<Address> },
    /// A header that the block needs (parent, BLOCKHASH, ancestor of an ommer) is not in the witness.
    MissingHeader { number: u64 },
    /// A trie node whose bytes are not a canonical node of a trie with 32-byte keys.
    MalformedNode { hash: B256, looked_up: LookedUp },
    /// A rule of the protocol is broken.
    Rule(String),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingNode { hash, looked_up } => write!(f, "missing node {hash}{looked_up}"),
            Self::MissingCode { hash, account: Some(account) } => write!(f, "missing code {hash} (account {account})"),
            Self::MissingCode { hash, account: None } => write!(f, "missing code {hash}"),
            Self::MissingHeader { number } => write!(f, "missing header of block {number}"),
            Self::MalformedNode { hash, looked_up } => write!(f, "malformed node {hash}{looked_up}"),
            Self::Rule(rule) => f.write_str(rule),
        }
    }
}

impl core::error::Error for Invalid {}
impl revm::database_interface::DBErrorMarker for Invalid {}

impl From<RlpError> for Invalid {
    fn from(error: RlpError) -> Self {
        Self::Rule(alloc::format!("{error}"))
    }
}

/// `Invalid::Rule` from format arguments.
macro_rules! rule {
    ($($argument:tt)*) => { $crate::error::Invalid::Rule(alloc::format!($($argument)*)) };
}

/// Returns `Invalid::Rule` unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($argument:tt)*) => { if !$condition { return Err(rule!($($argument)*)); } };
}

pub(crate) use {ensure, rule};
