//! Forks, and the chains' schedules of them, as data.
//!
//! Sources: execution-specs (fork order, difficulty bomb delays, rewards); EIP-7840/7892 (blob schedules); the chains'
//! published configurations (eth-clients/{mainnet,sepolia,holesky,hoodi}).

use revm::primitives::{address, hardfork::SpecId, Address, U256};

/// The execution-layer forks in order; the discriminant is the fork index of the schema id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Fork {
    Frontier = 0x01,
    Homestead = 0x02,
    DaoFork = 0x03,
    TangerineWhistle = 0x04,
    SpuriousDragon = 0x05,
    Byzantium = 0x06,
    /// With Petersburg, which takes EIP-1283 back.
    Constantinople = 0x07,
    Istanbul = 0x08,
    MuirGlacier = 0x09,
    Berlin = 0x0a,
    London = 0x0b,
    ArrowGlacier = 0x0c,
    GrayGlacier = 0x0d,
    Paris = 0x0e,
    Shanghai = 0x0f,
    Cancun = 0x10,
    Prague = 0x11,
    Osaka = 0x12,
    Bpo1 = 0x13,
    Bpo2 = 0x14,
    /// Test networks only: on no chain's schedule.
    Bpo3 = 0x16,
    /// Test networks only: on no chain's schedule.
    Bpo4 = 0x17,
}

const FORKS: [Fork; 22] = [
    Fork::Frontier,
    Fork::Homestead,
    Fork::DaoFork,
    Fork::TangerineWhistle,
    Fork::SpuriousDragon,
    Fork::Byzantium,
    Fork::Constantinople,
    Fork::Istanbul,
    Fork::MuirGlacier,
    Fork::Berlin,
    Fork::London,
    Fork::ArrowGlacier,
    Fork::GrayGlacier,
    Fork::Paris,
    Fork::Shanghai,
    Fork::Cancun,
    Fork::Prague,
    Fork::Osaka,
    Fork::Bpo1,
    Fork::Bpo2,
    Fork::Bpo3,
    Fork::Bpo4,
];

/// Target and maximum of blobs in a block, and how fast the blob base fee moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobSchedule {
    pub target: u64,
    pub max: u64,
    pub base_fee_update_fraction: u64,
}

impl Fork {
    /// revm's rules for the EVM and for transactions.
    pub const fn spec_id(self) -> SpecId {
        match self {
            Self::Frontier => SpecId::FRONTIER,
            Self::Homestead | Self::DaoFork => SpecId::HOMESTEAD,
            Self::TangerineWhistle => SpecId::TANGERINE,
            Self::SpuriousDragon => SpecId::SPURIOUS_DRAGON,
            Self::Byzantium => SpecId::BYZANTIUM,
            Self::Constantinople => SpecId::PETERSBURG,
            Self::Istanbul | Self::MuirGlacier => SpecId::ISTANBUL,
            Self::Berlin => SpecId::BERLIN,
            Self::London | Self::ArrowGlacier | Self::GrayGlacier => SpecId::LONDON,
            Self::Paris => SpecId::MERGE,
            Self::Shanghai => SpecId::SHANGHAI,
            Self::Cancun => SpecId::CANCUN,
            Self::Prague => SpecId::PRAGUE,
            Self::Osaka | Self::Bpo1 | Self::Bpo2 | Self::Bpo3 | Self::Bpo4 => SpecId::OSAKA,
        }
    }

    /// By how many blocks the difficulty bomb is delayed.
    pub const fn bomb_delay(self) -> u64 {
        match self {
            Self::Frontier | Self::Homestead | Self::DaoFork | Self::TangerineWhistle | Self::SpuriousDragon => 0,
            Self::Byzantium => 3_000_000,
            Self::Constantinople | Self::Istanbul => 5_000_000,
            Self::MuirGlacier | Self::Berlin => 9_000_000,
            Self::London => 9_700_000,
            Self::ArrowGlacier => 10_700_000,
            _ => 11_400_000,
        }
    }

    /// The miner's reward in wei; zero from Paris.
    pub fn block_reward(self) -> U256 {
        let ether: u64 = match self {
            fork if fork >= Self::Paris => 0,
            fork if fork >= Self::Constantinople => 2,
            fork if fork >= Self::Byzantium => 3,
            _ => 5,
        };
        U256::from(ether) * U256::from(1_000_000_000_000_000_000u64)
    }

    /// `None` before Cancun.
    pub const fn blob_schedule(self) -> Option<BlobSchedule> {
        let (target, max, base_fee_update_fraction) = match self {
            Self::Cancun => (3, 6, 3_338_477),
            Self::Prague | Self::Osaka => (6, 9, 5_007_716),
            Self::Bpo1 => (10, 15, 8_346_193),
            Self::Bpo2 => (14, 21, 11_684_671),
            Self::Bpo3 => (21, 32, 20_609_697),
            Self::Bpo4 => (14, 21, 13_739_630),
            _ => return None,
        };
        Some(BlobSchedule { target, max, base_fee_update_fraction })
    }
}

/// The low byte of the schema id: who chooses the rules, and what the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Revision {
    /// A known chain's schedule must give the schema's fork.
    Bound = 0x01,
    /// The fork is the schema's on every chain id, known or not.
    Unbound = 0x81,
    /// As `Unbound`, and the request is a block's RLP in every fork.
    UnboundRlp = 0x82,
}

/// Fork index and revision: the first two bytes of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaId {
    pub fork: Fork,
    pub revision: Revision,
}

impl SchemaId {
    /// `None` for an id that this guest does not know.
    pub fn new(id: u16) -> Option<Self> {
        let [index, revision] = id.to_be_bytes();
        let fork = *FORKS.iter().find(|fork| **fork as u8 == index)?;
        let revision = *[Revision::Bound, Revision::Unbound, Revision::UnboundRlp]
            .iter()
            .find(|known| **known as u8 == revision)?;
        (revision != Revision::Bound || fork <= Fork::Bpo2).then_some(Self { fork, revision })
    }

    pub const fn id(self) -> u16 {
        u16::from_be_bytes([self.fork as u8, self.revision as u8])
    }

    /// The chain whose schedule binds the fork, if one does.
    pub fn binding_chain(self, chain_id: u64) -> Option<&'static Chain> {
        match self.revision {
            Revision::Bound => [&MAINNET, &SEPOLIA, &HOLESKY, &HOODI].into_iter().find(|chain| chain.id == chain_id),
            Revision::Unbound | Revision::UnboundRlp => None,
        }
    }

    /// Whether the request is a block's RLP.
    pub fn is_block_rlp(self) -> bool {
        self.fork < Fork::Paris || self.revision == Revision::UnboundRlp
    }

    /// The deposit contract of EIP-6110: the binding chain's own, else mainnet's.
    pub fn deposit_contract(self, chain_id: u64) -> Address {
        self.binding_chain(chain_id).unwrap_or(&MAINNET).deposit_contract
    }
}

/// When a fork begins.
#[derive(Clone, Copy, Debug)]
enum Activation {
    Block(u64),
    Time(u64),
}
use Activation::{Block, Time};

/// What this guest knows about a chain.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    pub id: u64,
    pub deposit_contract: Address,
    /// The block of the DAO fork's irregular state change.
    pub dao_fork_block: Option<u64>,
    /// Ascending; every fork from its activation on, until the next.
    forks: &'static [(Activation, Fork)],
    /// The first timestamp of a fork that this guest does not know.
    end: Option<u64>,
}

impl Chain {
    /// The fork of a block. `None`: a fork that this guest does not know.
    pub fn fork(&self, number: u64, timestamp: u64) -> Option<Fork> {
        if self.end.is_some_and(|end| timestamp >= end) {
            return None;
        }
        let active = |activation: &Activation| match *activation {
            Block(first) => number >= first,
            Time(first) => timestamp >= first,
        };
        self.forks.iter().take_while(|(activation, _)| active(activation)).last().map(|(_, fork)| *fork)
    }
}

const MAINNET: Chain = Chain {
    id: 1,
    deposit_contract: address!("0x00000000219ab540356cBB839Cbe05303d7705Fa"),
    dao_fork_block: Some(1_920_000),
    forks: &[
        (Block(0), Fork::Frontier),
        (Block(1_150_000), Fork::Homestead),
        (Block(1_920_000), Fork::DaoFork),
        (Block(2_463_000), Fork::TangerineWhistle),
        (Block(2_675_000), Fork::SpuriousDragon),
        (Block(4_370_000), Fork::Byzantium),
        (Block(7_280_000), Fork::Constantinople),
        (Block(9_069_000), Fork::Istanbul),
        (Block(9_200_000), Fork::MuirGlacier),
        (Block(12_244_000), Fork::Berlin),
        (Block(12_965_000), Fork::London),
        (Block(13_773_000), Fork::ArrowGlacier),
        (Block(15_050_000), Fork::GrayGlacier),
        (Block(15_537_394), Fork::Paris),
        (Time(1_681_338_455), Fork::Shanghai),
        (Time(1_710_338_135), Fork::Cancun),
        (Time(1_746_612_311), Fork::Prague),
        (Time(1_764_798_551), Fork::Osaka),
        (Time(1_765_290_071), Fork::Bpo1),
        (Time(1_767_747_671), Fork::Bpo2),
    ],
    end: None,
};

const SEPOLIA: Chain = Chain {
    id: 11_155_111,
    deposit_contract: address!("0x7f02C3E3c98b133055B8B348B2Ac625669Ed295D"),
    dao_fork_block: None,
    forks: &[
        (Block(0), Fork::London),
        (Block(1_450_409), Fork::Paris),
        (Time(1_677_557_088), Fork::Shanghai),
        (Time(1_706_655_072), Fork::Cancun),
        (Time(1_741_159_776), Fork::Prague),
        (Time(1_760_427_360), Fork::Osaka),
        (Time(1_761_017_184), Fork::Bpo1),
        (Time(1_761_607_008), Fork::Bpo2),
    ],
    end: Some(1_791_294_816), // Amsterdam
};

const HOLESKY: Chain = Chain {
    id: 17_000,
    deposit_contract: address!("0x4242424242424242424242424242424242424242"),
    dao_fork_block: None,
    forks: &[
        (Block(0), Fork::Paris),
        (Time(1_696_000_704), Fork::Shanghai),
        (Time(1_707_305_664), Fork::Cancun),
        (Time(1_740_434_112), Fork::Prague),
        (Time(1_759_308_480), Fork::Osaka),
        (Time(1_759_800_000), Fork::Bpo1),
        (Time(1_760_389_824), Fork::Bpo2),
    ],
    end: None,
};

const HOODI: Chain = Chain {
    id: 560_048,
    deposit_contract: address!("0x00000000219ab540356cBB839Cbe05303d7705Fa"),
    dao_fork_block: None,
    forks: &[
        (Block(0), Fork::Cancun),
        (Time(1_742_999_832), Fork::Prague),
        (Time(1_761_677_592), Fork::Osaka),
        (Time(1_762_365_720), Fork::Bpo1),
        (Time(1_762_955_544), Fork::Bpo2),
    ],
    end: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_ascend_and_bind() {
        for chain in [MAINNET, SEPOLIA, HOLESKY, HOODI] {
            assert!(chain.forks.windows(2).all(|pair| pair[0].1 < pair[1].1));
        }
        assert_eq!(MAINNET.fork(1_149_999, 0), Some(Fork::Frontier));
        assert_eq!(MAINNET.fork(1_919_999, 0), Some(Fork::Homestead));
        assert_eq!(MAINNET.fork(17_034_869, 1_681_338_443), Some(Fork::Paris));
        assert_eq!(MAINNET.fork(17_034_870, 1_681_338_455), Some(Fork::Shanghai));
        assert_eq!(MAINNET.fork(24_628_607, 1_773_000_000), Some(Fork::Bpo2));
        assert_eq!(SEPOLIA.fork(10_000_000, 1_791_294_816), None);
        // Time alone never activates a fork before the blocks of the earlier ones.
        assert_eq!(MAINNET.fork(5_000_000, 1_800_000_000), Some(Fork::Byzantium));
    }

    #[test]
    fn schema_ids() {
        assert_eq!(SchemaId::new(0x1401), Some(SchemaId { fork: Fork::Bpo2, revision: Revision::Bound }));
        assert_eq!(SchemaId::new(0x0181), Some(SchemaId { fork: Fork::Frontier, revision: Revision::Unbound }));
        for unknown in [0x0001, 0x1501, 0x1581, 0x1601, 0x1801, 0x1402, 0x0101 << 8] {
            assert_eq!(SchemaId::new(unknown), None, "{unknown:x}");
        }
        for fork in FORKS {
            for revision in [0x81, 0x82] {
                let id = u16::from_be_bytes([fork as u8, revision]);
                assert_eq!(SchemaId::new(id).map(SchemaId::id), Some(id));
            }
        }
    }
}
