"""
ELF loading: bytes to a program, or a typed refusal.

Source: docs/specs/machine.md, "Memory map"; the ELF-64 object file format; the RISC-V ELF psABI.
"""

import bisect
import hashlib
import itertools
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zkvm.isa.decoder import decode_words
from zkvm.machine.errors import ElfError
from zkvm.machine.fast import pack_instructions
from zkvm.machine.memory_map import DATA_END, DATA_START, RAM_END, RAM_START, TEXT_END, TEXT_START

ELF_BYTE_LIMIT: Final = 64 << 20
TEXT_BYTE_LIMIT: Final = 32 << 20
DATA_BYTE_LIMIT: Final = 64 << 20
SEGMENT_LIMIT: Final = 64

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_TLS = 1, 2, 3, 7
_FLAG_X, _FLAG_W, _FLAG_R = 1, 2, 4
_SHT_SYMTAB = 2
_STT_FUNC = 2


@dataclass(frozen=True)
class Symbol:
    """A function of the program: its name, as the linker wrote it, and the bytes [address, address + size)."""

    address: int
    size: int
    name: str


@dataclass(frozen=True, eq=False)
class Program:
    """
    A loaded program.

    digest:      SHA-256 of the ELF file.
    entry:       byte address of the first instruction executed.
    text_start:  byte address of words[0], a multiple of 4.
    words:       (n,) uint32, the code from the first to the last executable segment, zeros between segments.
    data_start:  doubleword address (byte address / 8) of data[0].
    data:        (m,) uint64, the file-backed initial content of DATA, zeros between segments; m may be 0.
    symbols:     functions in TEXT, ascending by address; empty for a stripped file.
    """

    digest: bytes
    entry: int
    text_start: int
    words: NDArray[np.uint32]
    data_start: int
    data: NDArray[np.uint64]
    symbols: tuple[Symbol, ...]

    @cached_property
    def decoded(self) -> NDArray[np.void]:
        """(n,) DECODED: the program table's rows in order; unsupported words have operation 0."""
        decoded = decode_words(self.words, self.text_start)
        decoded.flags.writeable = False
        return decoded

    @cached_property
    def packed(self) -> NDArray[np.uint64]:
        """The interpreter's form of the code (zkvm.machine.fast.pack_instructions)."""
        packed = pack_instructions(self.decoded, self.words)
        packed.flags.writeable = False
        return packed

    def pc_of(self, instruction: int) -> int:
        """The byte address of an instruction by its index in `decoded`."""
        return self.text_start + 4 * instruction

    def index_of(self, pc: int) -> int | None:
        """The index in `decoded` of the instruction at a byte address, or None outside the program."""
        offset = pc - self.text_start
        return offset // 4 if 0 <= offset < 4 * len(self.words) and offset % 4 == 0 else None

    def function_at(self, pc: int) -> str | None:
        """The name of the function that contains a byte address, or None if no symbol does."""
        position = bisect.bisect_right(self._symbol_addresses, pc) - 1
        if position < 0:
            return None
        symbol = self.symbols[position]
        # Assembly functions often have size 0: they reach to the next symbol.
        return symbol.name if symbol.size == 0 or pc < symbol.address + symbol.size else None

    @cached_property
    def _symbol_addresses(self) -> list[int]:
        return [symbol.address for symbol in self.symbols]


@dataclass(frozen=True)
class _Segment:
    flags: int
    address: int
    content: bytes
    memory_size: int

    @property
    def end(self) -> int:
        return self.address + self.memory_size

    def lies_in(self, start: int, end: int) -> bool:
        return start <= self.address and self.end <= end


def load_elf(content: bytes) -> Program:
    """
    Loads a static RV64IM executable.

    content: the whole file, at most ELF_BYTE_LIMIT bytes. Raises ElfError where the file, a segment or the entry is
    not as docs/specs/machine.md demands. Unsupported instruction words are not an error until they are reached.
    """
    if len(content) > ELF_BYTE_LIMIT:
        raise ElfError(f"the file has {len(content)} bytes; at most {ELF_BYTE_LIMIT} are accepted")
    header = _read_header(content)
    entry, section_offset, section_size, section_count = header[4], header[6], header[11], header[12]
    segments = _read_segments(content, header[5], header[9], header[10])

    text = [segment for segment in segments if segment.lies_in(TEXT_START, TEXT_END)]
    data = [segment for segment in segments if segment.lies_in(DATA_START, DATA_END) and segment.content]
    if not text:
        raise ElfError("no executable segment in TEXT")
    text_start = min(segment.address for segment in text)
    code = _lay_out(text, text_start, 4, TEXT_BYTE_LIMIT, "TEXT")
    if not text_start <= entry < text_start + len(code) or entry % 4:
        raise ElfError(f"the entry point 0x{entry:x} is not an instruction of TEXT")
    data_start = min((segment.address for segment in data), default=DATA_START) // 8
    initial = _lay_out(data, data_start * 8, 8, DATA_BYTE_LIMIT, "DATA")

    words = np.frombuffer(code, dtype="<u4")
    symbols = _read_symbols(content, section_offset, section_size, section_count)
    return Program(
        digest=hashlib.sha256(content).digest(),
        entry=entry,
        text_start=text_start,
        words=words,
        data_start=data_start,
        data=np.frombuffer(initial, dtype="<u8"),
        symbols=symbols,
    )


def _read_header(content: bytes) -> tuple:
    if len(content) < _HEADER.size or content[:4] != b"\x7fELF":
        raise ElfError("not an ELF file")
    header = _HEADER.unpack_from(content)
    identification, kind, machine, _, _, _, _, flags = header[:8]
    if identification[4] != 2 or identification[5] != 1:
        raise ElfError("not a 64-bit little-endian ELF file")
    if kind != 2:
        raise ElfError(f"not a static executable (e_type {kind}, expected ET_EXEC)")
    if machine != 243:
        raise ElfError(f"not a RISC-V program (e_machine {machine})")
    if flags != 0:
        raise ElfError(f"e_flags 0x{flags:x}: only soft-float code without compressed instructions is accepted")
    return header


def _slice(content: bytes, offset: int, size: int, what: str) -> bytes:
    if offset + size > len(content):
        raise ElfError(f"{what} runs past the end of the file")
    return content[offset : offset + size]


def _read_segments(content: bytes, offset: int, entry_size: int, count: int) -> list[_Segment]:
    if count > SEGMENT_LIMIT:
        raise ElfError(f"{count} program headers; at most {SEGMENT_LIMIT} are accepted")
    if count and entry_size != _PROGRAM_HEADER.size:
        raise ElfError(f"program headers of {entry_size} bytes; expected {_PROGRAM_HEADER.size}")
    table = _slice(content, offset, count * _PROGRAM_HEADER.size, "the program header table")
    segments = []
    for kind, flags, file_offset, address, _, file_size, memory_size, _ in _PROGRAM_HEADER.iter_unpack(table):
        if kind in (_PT_DYNAMIC, _PT_INTERP, _PT_TLS):
            raise ElfError("dynamic linking and thread-local storage are not supported")
        if kind != _PT_LOAD or memory_size == 0:
            continue
        if file_size > memory_size:
            raise ElfError(f"the segment at 0x{address:x} has more bytes in the file than in memory")
        segment = _Segment(flags, address, _slice(content, file_offset, file_size, "a segment"), memory_size)
        _check_segment(segment)
        segments.append(segment)
    segments.sort(key=lambda segment: segment.address)
    for lower, upper in itertools.pairwise(segments):
        if lower.end > upper.address:
            raise ElfError(f"the segments at 0x{lower.address:x} and 0x{upper.address:x} overlap")
    return segments


def _check_segment(segment: _Segment) -> None:
    where = f"the segment at 0x{segment.address:x}"
    flags = segment.flags & (_FLAG_R | _FLAG_W | _FLAG_X)
    if segment.lies_in(TEXT_START, TEXT_END):
        if flags != _FLAG_R | _FLAG_X:
            raise ElfError(f"{where} lies in TEXT but its flags are not R|X")
        if segment.address % 4 or len(segment.content) != segment.memory_size:
            raise ElfError(f"{where} lies in TEXT but is not aligned to 4 or not wholly in the file")
    elif segment.lies_in(DATA_START, DATA_END):
        if flags not in (_FLAG_R, _FLAG_R | _FLAG_W):
            raise ElfError(f"{where} lies in DATA but its flags are not R or R|W")
    elif segment.lies_in(RAM_START, RAM_END):
        if segment.content:
            raise ElfError(f"{where} lies in RAM but has initial content")
        if flags != _FLAG_R | _FLAG_W:
            raise ElfError(f"{where} lies in RAM but its flags are not R|W")
    else:
        raise ElfError(f"{where} lies outside TEXT, DATA and RAM")


def _lay_out(segments: list[_Segment], start: int, unit: int, limit: int, region: str) -> bytes:
    """The segments' file-backed bytes from `start` to their end, zeros between, a whole number of units."""
    end = max((segment.address + len(segment.content) for segment in segments), default=start)
    size = (end - start + unit - 1) // unit * unit
    if size > limit:
        raise ElfError(f"the content of {region} spans {size} bytes; at most {limit} are accepted")
    image = bytearray(size)
    for segment in segments:
        position = segment.address - start
        image[position : position + len(segment.content)] = segment.content
    return bytes(image)


def _read_symbols(content: bytes, offset: int, entry_size: int, count: int) -> tuple[Symbol, ...]:
    if offset == 0 or count == 0:
        return ()
    if entry_size != _SECTION_HEADER.size:
        raise ElfError(f"section headers of {entry_size} bytes; expected {_SECTION_HEADER.size}")
    table = _slice(content, offset, count * _SECTION_HEADER.size, "the section header table")
    sections = list(_SECTION_HEADER.iter_unpack(table))
    symbol_table = next((section for section in sections if section[1] == _SHT_SYMTAB), None)
    if symbol_table is None:
        return ()
    _, _, _, _, file_offset, size, link, _, _, _ = symbol_table
    if link >= len(sections):
        raise ElfError("the symbol table names a string table that does not exist")
    names = _slice(content, sections[link][4], sections[link][5], "the string table")
    records = _slice(content, file_offset, size // _SYMBOL.size * _SYMBOL.size, "the symbol table")
    functions: dict[int, Symbol] = {}
    for name_offset, info, _, _, address, byte_count in _SYMBOL.iter_unpack(records):
        if info & 15 == _STT_FUNC and TEXT_START <= address < TEXT_END:
            end = names.find(b"\0", name_offset, name_offset + 4096)
            name = names[name_offset : end if end >= 0 else name_offset].decode("utf-8", "replace")
            functions.setdefault(address, Symbol(address, byte_count, name))
    return tuple(functions[address] for address in sorted(functions))
