//! The StatelessInput (docs/specs/stateless-input.md): decoding, and the root of its request.
//!
//! Everything borrows from the input bytes.

use crate::fork::{Fork, SchemaId};
use crate::rlp::{Reader, RlpError};
use crate::ssz::{self, Chunk, Container, Undecodable};
use alloc::vec::Vec;

const MAX_BYTES_PER_WITNESS_NODE: usize = 1 << 10;
const MAX_BYTES_PER_CODE: usize = 1 << 16;
const MAX_BYTES_PER_HEADER: usize = 1 << 10;
const MAX_WITNESS_HEADERS: usize = 256;
const MAX_EXTRA_DATA_BYTES: usize = 32;
const PUBLIC_KEY_BYTES: usize = 65;
/// Bytes of an SSZ Withdrawal.
pub const WITHDRAWAL_BYTES: usize = 44;

/// One decoded input.
#[derive(Debug)]
pub struct StatelessInput<'a> {
    pub schema: SchemaId,
    pub request: Request<'a>,
    pub witness: ExecutionWitness<'a>,
    pub chain_id: u64,
    pub public_keys: &'a [[u8; PUBLIC_KEY_BYTES]],
}

/// Trie nodes, codes and ancestor headers, as given: nothing here is trusted before it is hashed.
#[derive(Debug)]
pub struct ExecutionWitness<'a> {
    pub state: Vec<&'a [u8]>,
    pub codes: Vec<&'a [u8]>,
    pub headers: Vec<&'a [u8]>,
}

/// What the output's root commits to.
#[derive(Debug)]
pub enum Request<'a> {
    /// Before Paris, and in revision 0x82: the block's canonical RLP.
    LegacyBlock { block_rlp: &'a [u8] },
    /// From Paris: the engine API's request.
    NewPayload(NewPayloadRequest<'a>),
}

#[derive(Debug)]
pub struct NewPayloadRequest<'a> {
    pub payload: ExecutionPayload<'a>,
    /// From Cancun.
    pub versioned_hashes: Option<&'a [[u8; 32]]>,
    /// From Cancun.
    pub parent_beacon_block_root: Option<&'a [u8; 32]>,
    /// From Prague.
    pub execution_requests: Option<ExecutionRequests<'a>>,
}

#[derive(Debug)]
pub struct ExecutionPayload<'a> {
    pub parent_hash: &'a [u8; 32],
    pub fee_recipient: &'a [u8; 20],
    pub state_root: &'a [u8; 32],
    pub receipts_root: &'a [u8; 32],
    pub logs_bloom: &'a [u8; 256],
    pub prev_randao: &'a [u8; 32],
    pub block_number: u64,
    pub gas_limit: u64,
    pub gas_used: u64,
    pub timestamp: u64,
    pub extra_data: &'a [u8],
    /// 256 bits, little-endian.
    pub base_fee_per_gas: &'a [u8; 32],
    pub block_hash: &'a [u8; 32],
    pub transactions: Vec<&'a [u8]>,
    /// From Shanghai.
    pub withdrawals: Option<&'a [[u8; WITHDRAWAL_BYTES]]>,
    /// From Cancun.
    pub blob_gas_used: Option<u64>,
    /// From Cancun.
    pub excess_blob_gas: Option<u64>,
}

/// The three lists of EIP-6110, 7002 and 7251; the SSZ bytes of a list are the `request_data` of EIP-7685.
#[derive(Debug)]
pub struct ExecutionRequests<'a> {
    pub deposits: &'a [[u8; 192]],
    pub withdrawals: &'a [[u8; 76]],
    pub consolidations: &'a [[u8; 116]],
}

/// A withdrawal of EIP-4895; `amount` is in gwei.
#[derive(Clone, Copy, Debug)]
pub struct Withdrawal<'a> {
    pub index: u64,
    pub validator_index: u64,
    pub address: &'a [u8; 20],
    pub amount: u64,
}

impl<'a> Withdrawal<'a> {
    pub fn decode(bytes: &'a [u8; WITHDRAWAL_BYTES]) -> Self {
        let word = |at: usize| u64::from_le_bytes(core::array::from_fn(|index| bytes[at + index]));
        let (_, tail) = bytes.split_first_chunk::<16>().unwrap_or((&[0; 16], bytes));
        Self {
            index: word(0),
            validator_index: word(8),
            address: tail.first_chunk::<20>().unwrap_or(&[0; 20]),
            amount: word(36),
        }
    }

    /// Reads a withdrawal of a block's RLP.
    pub fn read(list: &mut Reader<'a>) -> Result<Self, RlpError> {
        let mut fields = list.list()?;
        let withdrawal = Self {
            index: fields.u64()?,
            validator_index: fields.u64()?,
            address: fields.fixed()?,
            amount: fields.u64()?,
        };
        fields.finish()?;
        Ok(withdrawal)
    }
}

impl<'a> StatelessInput<'a> {
    /// Decodes `schema id || SSZ(StatelessInput)`, strictly.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Undecodable> {
        let (schema, body) = bytes.split_first_chunk::<2>().ok_or(Undecodable)?;
        let schema = SchemaId::new(u16::from_be_bytes(*schema)).ok_or(Undecodable)?;
        let mut container = Container::new(body, 4 + 4 + 8 + 4)?;
        container.variable()?;
        container.variable()?;
        let chain_id = container.u64()?;
        container.variable()?;
        let [request, witness, public_keys] = container.finish()?;
        Ok(Self {
            schema,
            request: Request::decode(request, schema)?,
            witness: ExecutionWitness::decode(witness)?,
            chain_id,
            public_keys: ssz::fixed_list(public_keys)?,
        })
    }
}

impl<'a> ExecutionWitness<'a> {
    fn decode(bytes: &'a [u8]) -> Result<Self, Undecodable> {
        let mut container = Container::new(bytes, 12)?;
        for _ in 0..3 {
            container.variable()?;
        }
        let [state, codes, headers] = container.finish()?;
        let headers = ssz::variable_list(headers, MAX_BYTES_PER_HEADER)?;
        if headers.len() > MAX_WITNESS_HEADERS {
            return Err(Undecodable);
        }
        Ok(Self {
            state: ssz::variable_list(state, MAX_BYTES_PER_WITNESS_NODE)?,
            codes: ssz::variable_list(codes, MAX_BYTES_PER_CODE)?,
            headers,
        })
    }
}

impl<'a> Request<'a> {
    fn decode(bytes: &'a [u8], schema: SchemaId) -> Result<Self, Undecodable> {
        let fork = schema.fork;
        if schema.is_block_rlp() {
            let mut container = Container::new(bytes, 4)?;
            container.variable()?;
            let [block_rlp] = container.finish()?;
            return Ok(Self::LegacyBlock { block_rlp });
        }
        let (cancun, prague) = (fork >= Fork::Cancun, fork >= Fork::Prague);
        let mut container = Container::new(
            bytes,
            if prague {
                44
            } else if cancun {
                40
            } else {
                4
            },
        )?;
        container.variable()?;
        let mut parent_beacon_block_root = None;
        if cancun {
            container.variable()?;
            parent_beacon_block_root = Some(container.fixed()?);
        }
        let (payload, versioned_hashes, requests) = if prague {
            container.variable()?;
            let [payload, hashes, requests] = container.finish()?;
            (payload, Some(hashes), Some(requests))
        } else if cancun {
            let [payload, hashes] = container.finish()?;
            (payload, Some(hashes), None)
        } else {
            let [payload] = container.finish()?;
            (payload, None, None)
        };
        Ok(Self::NewPayload(NewPayloadRequest {
            payload: ExecutionPayload::decode(payload, fork)?,
            versioned_hashes: versioned_hashes.map(ssz::fixed_list).transpose()?,
            parent_beacon_block_root,
            execution_requests: requests.map(ExecutionRequests::decode).transpose()?,
        }))
    }

    /// `hash_tree_root`: what the output names.
    pub fn root(&self) -> Chunk {
        match self {
            Self::LegacyBlock { block_rlp } => ssz::container_root(&[ssz::progressive_bytes_root(block_rlp)]),
            Self::NewPayload(request) => {
                let mut fields = alloc::vec![request.payload.root()];
                if let (Some(hashes), Some(root)) = (request.versioned_hashes, request.parent_beacon_block_root) {
                    fields.extend([ssz::progressive_list_root(hashes), *root]);
                }
                fields.extend(request.execution_requests.as_ref().map(ExecutionRequests::root));
                ssz::container_root(&fields)
            }
        }
    }
}

impl<'a> ExecutionPayload<'a> {
    fn decode(bytes: &'a [u8], fork: Fork) -> Result<Self, Undecodable> {
        let (shanghai, cancun) = (fork >= Fork::Shanghai, fork >= Fork::Cancun);
        let fixed_size = 508 + if shanghai { 4 } else { 0 } + if cancun { 16 } else { 0 };
        let mut container = Container::new(bytes, fixed_size)?;
        let (parent_hash, fee_recipient) = (container.fixed()?, container.fixed()?);
        let (state_root, receipts_root) = (container.fixed()?, container.fixed()?);
        let (logs_bloom, prev_randao) = (container.fixed()?, container.fixed()?);
        let (block_number, gas_limit) = (container.u64()?, container.u64()?);
        let (gas_used, timestamp) = (container.u64()?, container.u64()?);
        container.variable()?;
        let (base_fee_per_gas, block_hash) = (container.fixed()?, container.fixed()?);
        container.variable()?;
        let (mut blob_gas_used, mut excess_blob_gas) = (None, None);
        if shanghai {
            container.variable()?;
        }
        if cancun {
            blob_gas_used = Some(container.u64()?);
            excess_blob_gas = Some(container.u64()?);
        }
        let (extra_data, transactions, withdrawals) = if shanghai {
            let [extra_data, transactions, withdrawals] = container.finish()?;
            (extra_data, transactions, Some(ssz::fixed_list(withdrawals)?))
        } else {
            let [extra_data, transactions] = container.finish()?;
            (extra_data, transactions, None)
        };
        if extra_data.len() > MAX_EXTRA_DATA_BYTES {
            return Err(Undecodable);
        }
        Ok(Self {
            parent_hash,
            fee_recipient,
            state_root,
            receipts_root,
            logs_bloom,
            prev_randao,
            block_number,
            gas_limit,
            gas_used,
            timestamp,
            extra_data,
            base_fee_per_gas,
            block_hash,
            transactions: ssz::variable_list(transactions, usize::MAX)?,
            withdrawals,
            blob_gas_used,
            excess_blob_gas,
        })
    }

    fn root(&self) -> Chunk {
        let transactions: Vec<Chunk> =
            self.transactions.iter().map(|bytes| ssz::progressive_bytes_root(bytes)).collect();
        let mut fields = alloc::vec![
            *self.parent_hash,
            ssz::vector_root(self.fee_recipient),
            *self.state_root,
            *self.receipts_root,
            ssz::vector_root(self.logs_bloom),
            *self.prev_randao,
            ssz::u64_chunk(self.block_number),
            ssz::u64_chunk(self.gas_limit),
            ssz::u64_chunk(self.gas_used),
            ssz::u64_chunk(self.timestamp),
            ssz::byte_list_root(self.extra_data, 1),
            *self.base_fee_per_gas,
            *self.block_hash,
            ssz::progressive_list_root(&transactions),
        ];
        if let Some(withdrawals) = self.withdrawals {
            let roots: Vec<Chunk> = withdrawals
                .iter()
                .map(|bytes| {
                    let withdrawal = Withdrawal::decode(bytes);
                    ssz::container_root(&[
                        ssz::u64_chunk(withdrawal.index),
                        ssz::u64_chunk(withdrawal.validator_index),
                        ssz::vector_root(withdrawal.address),
                        ssz::u64_chunk(withdrawal.amount),
                    ])
                })
                .collect();
            fields.push(ssz::progressive_list_root(&roots));
        }
        fields.extend(self.blob_gas_used.map(ssz::u64_chunk));
        fields.extend(self.excess_blob_gas.map(ssz::u64_chunk));
        ssz::progressive_container_root(&fields)
    }
}

impl<'a> ExecutionRequests<'a> {
    fn decode(bytes: &'a [u8]) -> Result<Self, Undecodable> {
        let mut container = Container::new(bytes, 12)?;
        for _ in 0..3 {
            container.variable()?;
        }
        let [deposits, withdrawals, consolidations] = container.finish()?;
        Ok(Self {
            deposits: ssz::fixed_list(deposits)?,
            withdrawals: ssz::fixed_list(withdrawals)?,
            consolidations: ssz::fixed_list(consolidations)?,
        })
    }

    fn root(&self) -> Chunk {
        fn element<const N: usize>(bytes: &[u8; N], widths: &[usize]) -> Chunk {
            let mut rest = &bytes[..];
            let fields: Vec<Chunk> = widths
                .iter()
                .map(|&width| {
                    let (field, after) = rest.split_at(width);
                    rest = after;
                    ssz::vector_root(field)
                })
                .collect();
            ssz::container_root(&fields)
        }
        fn list<const N: usize>(elements: &[[u8; N]], widths: &[usize]) -> Chunk {
            let roots: Vec<Chunk> = elements.iter().map(|bytes| element(bytes, widths)).collect();
            ssz::progressive_list_root(&roots)
        }
        ssz::progressive_container_root(&[
            list(self.deposits, &[48, 32, 8, 96, 8]),
            list(self.withdrawals, &[20, 48, 8]),
            list(self.consolidations, &[20, 48, 48]),
        ])
    }
}
