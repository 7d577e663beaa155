"""
Chain configurations as data: which fork is active where, blob schedules, the deposit contract.

Sources: fork schedules of mainnet, sepolia, holesky and hoodi from the upgrade tables of execution-specs and from
alloy-rs/hardforks (Sepolia's first proof-of-stake block); blob schedules EIP-7840, EIP-7892; deposit contracts
EIP-6110.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from witness.errors import ChainError, FormatError
from witness.files import parse_json, read_limited
from witness.schema import Fork

MAINNET_DEPOSIT_CONTRACT = bytes.fromhex("00000000219ab540356cbb839cbe05303d7705fa")


@dataclass(frozen=True)
class BlobSchedule:
    """target and max: blobs per block; update_fraction: denominator of the blob base fee's exponent."""

    target: int
    max: int
    update_fraction: int


BLOB_SCHEDULES: dict[Fork, BlobSchedule] = {
    Fork.CANCUN: BlobSchedule(3, 6, 3338477),
    Fork.PRAGUE: BlobSchedule(6, 9, 5007716),
    Fork.OSAKA: BlobSchedule(6, 9, 5007716),
    Fork.BPO1: BlobSchedule(10, 15, 8346193),
    Fork.BPO2: BlobSchedule(14, 21, 11684671),
    # Never scheduled on a live chain; the values of the EEST fixtures.
    Fork.BPO3: BlobSchedule(21, 32, 20609697),
    Fork.BPO4: BlobSchedule(14, 21, 13739630),
}
"""The blob schedule that a schema id implies on every chain."""


@dataclass(frozen=True)
class ChainConfig:
    """
    A chain's fork schedule.

    chain_id: below 2^64; blocks and timestamps: (first block number or timestamp, fork), ascending in fork order;
    deposit_contract: 20 bytes; end: first timestamp of a fork that is not supported. A fork replaced at once by a
    later one may be left out.
    """

    name: str
    chain_id: int
    blocks: tuple[tuple[int, Fork], ...]
    timestamps: tuple[tuple[int, Fork], ...]
    deposit_contract: bytes = MAINNET_DEPOSIT_CONTRACT
    end: int | None = None
    genesis: dict | None = field(default=None, compare=False, repr=False)

    def fork_at(self, number: int, timestamp: int) -> Fork:
        """
        The fork of the block with that number and timestamp.

        A fork is active where it and all before it have begun: time alone never activates one before the blocks of the
        earlier ones. Raises ChainError where none has begun, and from `end` on.
        """
        if self.end is not None and timestamp >= self.end:
            raise ChainError(f"{self.name} is under a fork that is not supported at timestamp {timestamp}")
        active = None
        for start, fork in self.blocks:
            if number < start:
                break
            active = fork
        else:
            for start, fork in self.timestamps:
                if timestamp < start:
                    break
                active = fork
        if active is None:
            raise ChainError(f"{self.name} has no fork at block {number}, timestamp {timestamp}")
        return active


MAINNET = ChainConfig(
    "mainnet",
    1,
    blocks=(
        (0, Fork.FRONTIER),
        (1_150_000, Fork.HOMESTEAD),
        (1_920_000, Fork.DAO_FORK),
        (2_463_000, Fork.TANGERINE_WHISTLE),
        (2_675_000, Fork.SPURIOUS_DRAGON),
        (4_370_000, Fork.BYZANTIUM),
        (7_280_000, Fork.CONSTANTINOPLE),
        (9_069_000, Fork.ISTANBUL),
        (9_200_000, Fork.MUIR_GLACIER),
        (12_244_000, Fork.BERLIN),
        (12_965_000, Fork.LONDON),
        (13_773_000, Fork.ARROW_GLACIER),
        (15_050_000, Fork.GRAY_GLACIER),
        (15_537_394, Fork.PARIS),
    ),
    timestamps=(
        (1_681_338_455, Fork.SHANGHAI),
        (1_710_338_135, Fork.CANCUN),
        (1_746_612_311, Fork.PRAGUE),
        (1_764_798_551, Fork.OSAKA),
        (1_765_290_071, Fork.BPO1),
        (1_767_747_671, Fork.BPO2),
    ),
)

SEPOLIA = ChainConfig(
    "sepolia",
    11_155_111,
    blocks=((0, Fork.LONDON), (1_450_409, Fork.PARIS)),
    timestamps=(
        (1_677_557_088, Fork.SHANGHAI),
        (1_706_655_072, Fork.CANCUN),
        (1_741_159_776, Fork.PRAGUE),
        (1_760_427_360, Fork.OSAKA),
        (1_761_017_184, Fork.BPO1),
        (1_761_607_008, Fork.BPO2),
    ),
    deposit_contract=bytes.fromhex("7f02c3e3c98b133055b8b348b2ac625669ed295d"),
    # Amsterdam.
    end=1_791_294_816,
)

HOLESKY = ChainConfig(
    "holesky",
    17_000,
    blocks=((0, Fork.PARIS),),
    timestamps=(
        (1_696_000_704, Fork.SHANGHAI),
        (1_707_305_664, Fork.CANCUN),
        (1_740_434_112, Fork.PRAGUE),
        (1_759_308_480, Fork.OSAKA),
        (1_759_800_000, Fork.BPO1),
        (1_760_389_824, Fork.BPO2),
    ),
    deposit_contract=bytes.fromhex("4242424242424242424242424242424242424242"),
)

HOODI = ChainConfig(
    "hoodi",
    560_048,
    blocks=((0, Fork.PARIS),),
    timestamps=(
        (0, Fork.CANCUN),
        (1_742_999_832, Fork.PRAGUE),
        (1_761_677_592, Fork.OSAKA),
        (1_762_365_720, Fork.BPO1),
        (1_762_955_544, Fork.BPO2),
    ),
)

KNOWN = {chain.name: chain for chain in (MAINNET, SEPOLIA, HOLESKY, HOODI)}
KNOWN_BY_ID = {chain.chain_id: chain for chain in KNOWN.values()}


def fork_at(chain: ChainConfig, number: int, timestamp: int) -> Fork:
    """chain.fork_at(number, timestamp)."""
    return chain.fork_at(number, timestamp)


def load_chain(name_or_path: str | Path) -> ChainConfig:
    """
    A known chain by name ("mainnet", "sepolia", "hoodi", "holesky"), or the configuration in a geth-style genesis file.

    Raises ChainError, LimitExceeded for a file that is too large or nested too deeply.
    """
    if str(name_or_path) in KNOWN:
        return KNOWN[str(name_or_path)]
    path = Path(name_or_path)
    try:
        genesis = parse_json(read_limited(path))
    except OSError as error:
        known = ", ".join(sorted(KNOWN))
        raise ChainError(
            f"{name_or_path} is neither a known chain ({known}) nor a readable file: {error.strerror}"
        ) from error
    except FormatError as error:
        raise ChainError(f"{path.name}: {error}") from error
    return chain_from_genesis(genesis, path.stem)


_BLOCK_KEYS = (
    ("homesteadBlock", Fork.HOMESTEAD),
    ("daoForkBlock", Fork.DAO_FORK),
    ("eip150Block", Fork.TANGERINE_WHISTLE),
    ("eip158Block", Fork.SPURIOUS_DRAGON),
    ("byzantiumBlock", Fork.BYZANTIUM),
    ("constantinopleBlock", Fork.CONSTANTINOPLE),
    ("istanbulBlock", Fork.ISTANBUL),
    ("muirGlacierBlock", Fork.MUIR_GLACIER),
    ("berlinBlock", Fork.BERLIN),
    ("londonBlock", Fork.LONDON),
    ("arrowGlacierBlock", Fork.ARROW_GLACIER),
    ("grayGlacierBlock", Fork.GRAY_GLACIER),
    ("mergeNetsplitBlock", Fork.PARIS),
)
_TIME_KEYS = (
    ("shanghaiTime", Fork.SHANGHAI),
    ("cancunTime", Fork.CANCUN),
    ("pragueTime", Fork.PRAGUE),
    ("osakaTime", Fork.OSAKA),
    ("bpo1Time", Fork.BPO1),
    ("bpo2Time", Fork.BPO2),
    ("bpo3Time", Fork.BPO3),
    ("bpo4Time", Fork.BPO4),
)
_UNSUPPORTED_TIME_KEYS = ("amsterdamTime", "bpo5Time", "verkleTime")


def chain_from_genesis(genesis: object, name: str = "genesis") -> ChainConfig:
    """
    The configuration in a geth-style genesis object ({"config": {...}, ...}).

    Paris: terminalTotalDifficulty 0 means from genesis; else mergeNetsplitBlock, which must then be the first
    proof-of-stake block. A chain whose known id contradicts the known schedule, a schedule out of order, a fork without
    support, Constantinople without Petersburg and a blob schedule other than the one its fork implies are refused: the
    guest takes the rules from the schema id alone.
    Raises ChainError.
    """
    if not isinstance(genesis, dict) or not isinstance(genesis.get("config"), dict):
        raise ChainError(f"{name}: a genesis is an object with an object `config`")
    config = genesis["config"]
    chain_id = _optional_number(config, "chainId", name)
    if chain_id is None:
        raise ChainError(f"{name}: config.chainId is absent")
    for key in _UNSUPPORTED_TIME_KEYS:
        if config.get(key) is not None:
            raise ChainError(f"{name}: {key} names a fork that is not supported")
    blocks: list[tuple[int, Fork]] = [(0, Fork.FRONTIER)]
    for key, fork in _BLOCK_KEYS:
        start = _optional_number(config, key, name)
        if fork is Fork.PARIS and _optional_number(config, "terminalTotalDifficulty", name, most=1 << 256) == 0:
            start = 0
        if fork is Fork.DAO_FORK and config.get("daoForkSupport") is False:
            start = None
        if start is not None:
            blocks.append((start, fork))
    _check_constantinople(config, name)
    timestamps = [
        (start, fork) for key, fork in _TIME_KEYS if (start := _optional_number(config, key, name)) is not None
    ]
    for schedule in (blocks, timestamps):
        starts = [start for start, _ in schedule]
        if starts != sorted(starts):
            raise ChainError(f"{name}: forks are not in order: {[(s, f.label) for s, f in schedule]}")
    if timestamps and blocks[-1][1] < Fork.LONDON:
        raise ChainError(f"{name}: {timestamps[0][1].label} is scheduled without London")
    if timestamps and blocks[-1][1] is not Fork.PARIS:
        raise ChainError(f"{name}: {timestamps[0][1].label} is scheduled without the Merge")
    _check_blob_schedule(config, [fork for _, fork in timestamps], name)
    deposit_contract = config.get("depositContractAddress")
    if deposit_contract is None:
        deposit_contract_bytes = MAINNET_DEPOSIT_CONTRACT
    else:
        deposit_contract_bytes = _address(deposit_contract, name)
    chain = ChainConfig(name, chain_id, tuple(blocks), tuple(timestamps), deposit_contract_bytes, genesis=genesis)
    known = KNOWN_BY_ID.get(chain_id)
    if known is not None:
        _check_agrees(chain, known)
    elif deposit_contract_bytes != MAINNET_DEPOSIT_CONTRACT and any(f >= Fork.PRAGUE for _, f in timestamps):
        raise ChainError(f"{name}: on a chain that is not known only mainnet's deposit contract address is supported")
    return chain


def _optional_number(config: dict, key: str, name: str, most: int = 1 << 64) -> int | None:
    value = config.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = int(value, 16 if value[:2].lower() == "0x" else 10)
        except ValueError as error:
            raise ChainError(f"{name}: config.{key} is not a number") from error
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < most:
        raise ChainError(f"{name}: config.{key} is not a number in range")
    return value


def _address(value: object, name: str) -> bytes:
    try:
        address = bytes.fromhex(value.removeprefix("0x"))
    except (AttributeError, ValueError) as error:
        raise ChainError(f"{name}: config.depositContractAddress is not hex") from error
    if len(address) != 20:
        raise ChainError(f"{name}: config.depositContractAddress is not of 20 bytes")
    return address


def _check_constantinople(config: dict, name: str) -> None:
    constantinople = _optional_number(config, "constantinopleBlock", name)
    petersburg = _optional_number(config, "petersburgBlock", name)
    istanbul = _optional_number(config, "istanbulBlock", name)
    if constantinople is None:
        return
    # geth: petersburgBlock absent means that Petersburg came with Constantinople.
    if petersburg is not None and petersburg != constantinople and (istanbul is None or istanbul > constantinople):
        raise ChainError(f"{name}: Constantinople without Petersburg (EIP-1283) is not supported")


def _check_blob_schedule(config: dict, forks: list[Fork], name: str) -> None:
    schedule = config.get("blobSchedule")
    if schedule is None:
        return
    if not isinstance(schedule, dict):
        raise ChainError(f"{name}: config.blobSchedule is not an object")
    for fork in forks:
        entry = schedule.get(fork.label)
        if fork < Fork.CANCUN or entry is None:
            continue
        if not isinstance(entry, dict):
            raise ChainError(f"{name}: config.blobSchedule.{fork.label} is not an object")
        stated = tuple(_optional_number(entry, key, name) for key in ("target", "max", "baseFeeUpdateFraction"))
        implied = BLOB_SCHEDULES[fork]
        if stated != (implied.target, implied.max, implied.update_fraction):
            raise ChainError(f"{name}: blob schedule of {fork.label} is {stated}, the schema implies {implied}")


def _check_agrees(chain: ChainConfig, known: ChainConfig) -> None:
    numbers = {start for start, _ in (*chain.blocks, *known.blocks)}
    times = {start for start, _ in (*chain.timestamps, *known.timestamps)} | {0}
    last_number, last_block_time = max(numbers), min(start for start, _ in known.timestamps) - 1
    points = [(number, max(last_block_time, 0)) for number in numbers] + [(last_number, time) for time in times]
    for number, timestamp in points:
        if known.end is not None and timestamp >= known.end:
            continue
        stated, scheduled = chain.fork_at(number, timestamp), known.fork_at(number, timestamp)
        if stated != scheduled:
            raise ChainError(
                f"{chain.name}: chain id {chain.chain_id} is {known.name}, whose fork at block {number}, timestamp "
                f"{timestamp} is {scheduled.label}, not {stated.label}"
            )
