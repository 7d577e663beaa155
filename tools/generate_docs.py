"""
Writes docs/generated/: what can be read off the code is never typed by hand.

    python tools/generate_docs.py            write
    python tools/generate_docs.py --check    write nothing; exit 1 and name the files that differ

    chips/NAME.md     every chip: statement, columns, constraints, messages
    buses.md          every bus: fields, senders, receivers, counts
    instructions.md   every instruction with its operation id and family; the ecalls
    transcript.md     what is absorbed and drawn, in order
    security.md       the calculator's rows for the largest proof that the machine allows
    cost.md           columns, constraints, degree and cells of every chip
    necessity.md      every constraint, message, range check and verifier check, with the test that needs it

The pages are committed, so that a review sees mathematics change; tests/test_generated_docs.py compares them byte for byte. The necessity list
reads the registries of the tests, so this command needs the checkout, not only the packages.
"""

import ast
import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from zkvm import machine_air
from zkvm.air.backends.markdown import page
from zkvm.air.backends.parameters import parameters
from zkvm.air.bus import Bus
from zkvm.air.chip import Chip
from zkvm.chips import buses as bus_module
from zkvm.field.extension import DEGREE
from zkvm.isa.instructions import ACCESS_BYTES, FAMILY_OF_OPERATION, INSTRUCTIONS, Family, Instruction
from zkvm.machine.events import ECALL_TICKS, STEP_TICKS
from zkvm.machine.syscalls import PRECOMPILE_FAMILY, Syscall
from zkvm.machine_air import CHIPS, FAMILY_CHIPS, GROUPS, KINDS, PROGRAM_CHIPS, TABLE_CHIPS
from zkvm.protocol.errors import CHECKS
from zkvm.protocol.machine import MAXIMUM_SHARD_COUNT, NO_DIGEST, ProgramKey, ShardHeader, Statement
from zkvm.protocol.parameters import MAXIMUM_LOG_HEIGHT, Parameters
from zkvm.protocol.plan import ShardPlan, messages_weight
from zkvm.protocol.security import global_report, shard_report

FOLDER = ROOT / "docs" / "generated"
TESTS = ROOT / "tests"
CHIP_TESTS = TESTS / "zkvm" / "chips"
VERIFIER_TESTS = TESTS / "soundness" / "tampering"
MACHINE_ATTACKS = TESTS / "soundness" / "test_machine_attacks.py"
MACHINE_RULES = TESTS / "zkvm" / "test_machine_rules_needed.py"
INVENTORY = TESTS / "soundness" / "transcript" / "inventory.txt"

NOTICE = "Written by `python tools/generate_docs.py`; do not edit."

SHOWN_ALIKE = 4
"""Rows whose names differ in numbers only are shown so often; a chip of thousands of constraints is a page all the same."""

MISSING = "**MISSING**"


def pages() -> dict[str, str]:
    """Path below docs/generated -> content."""
    result = {f"chips/{chip.name}.md": chip_page(chip) for chip in CHIPS}
    for name, write in {
        "buses": buses_page,
        "instructions": instructions_page,
        "transcript": transcript_page,
        "security": security_page,
        "cost": cost_page,
        "necessity": necessity_page,
    }.items():
        result[f"{name}.md"] = write()
    result["README.md"] = index_page(sorted(result))
    return result


def differences() -> list[str]:
    """Files of docs/generated that are missing, different, or written by nobody; paths below it."""
    wanted = pages()
    present = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    wrong = [name for name, text in wanted.items() if name not in present or (FOLDER / name).read_bytes() != text.encode()]
    return sorted([*wrong, *(present - set(wanted))])


def main(arguments: Sequence[str]) -> int:
    """The command; see the module's docstring."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python tools/generate_docs.py [--check]\n")
        return 2
    wrong = differences()
    if arguments:
        sys.stdout.write("".join(f"out of date: docs/generated/{name}\n" for name in wrong))
        return 1 if wrong else 0
    wanted = pages()
    for name in wrong:
        path = FOLDER / name
        if name not in wanted:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[name], encoding="utf-8")
    sys.stdout.write("".join(f"docs/generated/{name}\n" for name in wrong))
    return 0


def index_page(names: Sequence[str]) -> str:
    """The list of pages."""
    tops = [name for name in names if "/" not in name]
    chips = [name for name in names if "/" in name]
    lines = ["# Generated pages", "", NOTICE, ""]
    lines += [f"- [{name.removesuffix('.md')}]({name})" for name in tops]
    lines += [f"- chip [{name.removeprefix('chips/').removesuffix('.md')}]({name})" for name in chips]
    return "\n".join(lines) + "\n"


# Chips.


def chip_page(chip: Chip) -> str:
    """The AIR language's page, with its many rows of one form cut to a few."""
    lines: list[str] = []
    forms: dict[str, int] = {}
    section = ""

    def close() -> None:
        hidden = {form: count - SHOWN_ALIKE for form, count in forms.items() if count > SHOWN_ALIKE}
        if hidden:
            lines.append("")
            lines.append("Not shown, of the same form as those above and part of the digest:")
            lines.extend(f"- {count} of `{form}`" for form, count in hidden.items())
        forms.clear()

    for line in page(chip).splitlines():
        if section in ("## Constraints", "## Messages") and not line and forms:
            close()
        if line.startswith("## "):
            section = line
        if section in ("## Constraints", "## Messages") and line.startswith("| ") and not line.startswith(("| name |", "| label |")):
            form = form_of(line.split(" | ")[0].removeprefix("| "))
            forms[form] = forms.get(form, 0) + 1
            if forms[form] > SHOWN_ALIKE:
                continue
        lines.append(line)
    close()
    head, *rest = lines
    return "\n".join([head, "", NOTICE, *rest]) + "\n"


def form_of(name: str) -> str:
    """A name with each of its numbers replaced by #, as the tests' registries write what holds for all of a form."""
    return re.sub(r"\d+", "#", name)


# Buses.


def machine_buses() -> list[tuple[str, Bus, str]]:
    """(name in zkvm/chips/buses.py, bus, its docstring), by identifier."""
    module = ast.parse(inspect.getsource(bus_module))
    documents: dict[str, str] = {}
    for statement, following in zip(module.body, module.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and isinstance(following, ast.Expr):
            value = following.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                documents[statement.target.id] = " ".join(value.value.split())
    found = [(name, value, documents.get(name, "")) for name, value in vars(bus_module).items() if isinstance(value, Bus)]
    return sorted(found, key=lambda item: item[1].identifier)


def buses_page() -> str:
    """Every bus, with everybody who speaks on it."""
    lines = [
        "# Buses", "", NOTICE, "",
        "What is sent on a bus is received on it: within a shard on a local bus, over the whole proof on a global one. A count is what one row says at most;",
        "*multiplicity* is a table's column, bounded by what the other side sends. Largest counts times heights, summed, stay below p: the verifier's check",
        "`count cannot wrap`.",
    ]  # fmt: skip
    for name, bus, document in machine_buses():
        fields = ", ".join(collapsed_fields(bus.fields))
        lines += ["", f"## {bus.name}", "", document, "", f"Identifier {bus.identifier}, {bus.scope}, {bus.width} fields: {fields}."]
        lines += ["", "| who | direction | messages of a row | labels |", "|---|---|---|---|"]
        said = False
        for chip in CHIPS:
            for direction in ("receive", "send"):
                labels = [m.label for m in chip.messages if m.bus == bus and m.direction == direction]
                bounds = [m.maximum_count for m in chip.messages if m.bus == bus and m.direction == direction]
                if labels:
                    said = True
                    count = "multiplicity" if None in bounds else f"{len(labels)}, count at most {max(bounds)}"
                    lines.append(f"| [{chip.name}](chips/{chip.name}.md) | {direction} | {count} | {'; '.join(collapsed_labels(labels))} |")
        for line in verifier_lines(name):
            said = True
            lines.append(line)
        if not said:
            lines.append("| nobody | | | |")
    return "\n".join(lines) + "\n"


def verifier_lines(name: str) -> Iterator[str]:
    """The verifier's own messages on a bus, as rows of its table."""
    if name == "STATE":
        yield "| the verifier | send | 1 for each execution shard | (start pc, 0) |"
        yield "| the verifier | receive | 1 for each execution shard | (end pc, end clk) |"
    if name == "TOKEN":
        count = machine_air.OUTPUT_DOUBLEWORDS
        yield f"| the verifier | send | {count} in all | the doublewords of OUTPUT, 0 at first |"
        yield f"| the verifier | receive | {count} in all | the doublewords of OUTPUT as claimed |"


def collapsed_fields(names: Sequence[str]) -> list[str]:
    """Fields; long runs of numbered ones by their first and last."""
    if len(names) <= 12:
        return list(names)
    head = [name for name in names if not re.search(r"\d", name)]
    numbered = [name for name in names if re.search(r"\d", name)]
    return [*head, f"{numbered[0]} .. {numbered[-1]} ({len(numbered)})"]


def collapsed_labels(labels: Sequence[str]) -> list[str]:
    """Labels; those that differ in numbers only as one."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(form_of(label), []).append(label)
    return [group[0] if len(group) == 1 else f"{group[0]} .. {group[-1]} ({len(group)})" for group in groups.values()]


# Instructions.


def instructions_page() -> str:
    """The instruction table and the ecalls."""
    lines = [
        "# Instructions", "", NOTICE, "",
        f"A word w with w & mask = match is the instruction. The operation id stands in the program table; a step of it takes {STEP_TICKS} ticks of clk, an ecall",
        f"{ECALL_TICKS}. Every other word is refused when reached, and no program table lists it.", "",
        "| instruction | format | mask | match | operation | id | family |", "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for instruction in INSTRUCTIONS:
        lines.append(
            f"| {instruction.mnemonic} | {instruction.format.name} | `{instruction.mask:#010x}` | `{instruction.match:#010x}` | "
            f"{instruction.operation.name}{' with immediate' if instruction.is_immediate else ''} | {instruction.operation_id} | {family_of(instruction)} |"
        )
    lines += ["", "Loads and stores choose their family when they run, by the address (zkvm/isa/instructions.py: memory_family).", ""]
    lines += ["## ecalls", "", "| a7 | name | chips |", "|---|---|---|"]
    for call in Syscall:
        if call not in PRECOMPILE_FAMILY:
            chips = f"[{FAMILY_CHIPS[Family.ECALL].name}](chips/{FAMILY_CHIPS[Family.ECALL].name}.md) alone"
        else:
            family = PRECOMPILE_FAMILY[call]
            names = [FAMILY_CHIPS[family].name] if family in FAMILY_CHIPS else []
            names += [GROUPS[family].chip.name] if family in GROUPS else []
            chips = ", ".join(f"[{name}](chips/{name}.md)" for name in names) or f"{MISSING}: no chip in the machine; a run that calls it has no proof"
        lines.append(f"| {int(call):#x} | {call.label} | {chips} |")
    return "\n".join(lines) + "\n"


def family_of(instruction: Instruction) -> str:
    """The chip that proves an instruction; of loads and stores all that may."""
    operation = instruction.operation
    if operation in FAMILY_OF_OPERATION:
        families = [FAMILY_OF_OPERATION[operation]]
    else:
        is_load = instruction.mnemonic.startswith("l")
        width = ACCESS_BYTES[operation]
        whole = (Family.LOAD_DOUBLE if is_load else Family.STORE_DOUBLE) if width == 8 else (Family.LOAD_NARROW if is_load else Family.STORE_NARROW)
        families = [whole] + ([Family.MEMORY_CROSSING] if width > 1 else [])
    return ", ".join(f"[{FAMILY_CHIPS[family].name}](chips/{FAMILY_CHIPS[family].name}.md)" for family in families)


# Transcript.


@dataclass(frozen=True)
class Entry:
    """One line of the inventory. count: of elements absorbed, or of what is drawn, in the inventory's toy run."""

    is_absorbed: bool
    count: int
    what: str
    label: str


def inventory() -> list[tuple[str, list[Entry]]]:
    """(title, entries) of each transcript in the tests' inventory."""
    transcripts: list[tuple[str, list[Entry]]] = []
    for line in INVENTORY.read_text().splitlines():
        if line and not line.startswith(" "):
            transcripts.append((line, []))
        elif line:
            kind, count, what, label = line.split(None, 3)
            transcripts[-1][1].append(Entry(kind == "absorb", int(count), what, label))
    return transcripts


def transcript_page() -> str:
    """The schedule of absorptions and challenges, with this machine's lengths."""
    by_title: dict[str, list[list[Entry]]] = {}
    for title, entries in inventory():
        by_title.setdefault(title, []).append(entries)
    lines = [
        "# Transcript", "", NOTICE, "",
        "The order of everything absorbed and drawn, from tests/soundness/transcript/inventory.txt, which a test compares with what prover and verifier do.",
        "Elements are of KoalaBear; an extension element is five. Where the length follows from the shape of the shard, the page says so.",
        "All challenges of a label are drawn after every line above it.",
    ]  # fmt: skip
    for title, versions in by_title.items():
        lines += ["", f"## {title}", "", "| | label | length |", "|---|---|---|"]
        # The first shard of the inventory has every step; the others, of fewer heights, are subsequences of it.
        entries = versions[0]
        for other in versions[1:]:
            if not is_subsequence([e.label for e in other], [e.label for e in entries]):
                raise ValueError(f"inventory: a {title} has steps that the first one lacks")
        for label, run in runs_of(entries):
            lines.append(f"| {'absorb' if run.is_absorbed else 'draw'} | {label} | {length_of(label, run)} |")
    return "\n".join(lines) + "\n"


def is_subsequence(part: Sequence[str], whole: Sequence[str]) -> bool:
    """Whether part comes out of whole by leaving things out, counts of repetitions aside."""
    rest = iter(re.sub(r" \(x \d+\)", "", label) for label in whole)
    return all(any(label == other for other in rest) for label in (re.sub(r" \(x \d+\)", "", label) for label in part))


def runs_of(entries: Sequence[Entry]) -> list[tuple[str, Entry]]:
    """(label, entry), the layers of FRI once, repetitions without their number."""
    result: list[tuple[str, Entry]] = []
    for entry in entries:
        label = re.sub(r" \(x \d+\)", "", entry.label)
        if label in ("layer root", "fold challenge", "join challenge") and any(label == seen for seen, _ in result):
            continue
        result.append((label, entry))
    return result


def length_of(label: str, entry: Entry) -> str:
    """What is absorbed or drawn in a proof of this machine."""
    if label == "shape":
        return f"{len(CHIPS)}: log2 height of each chip, 0 if absent"
    if label == "publics":
        return "; ".join(f"{len(kind.publics)} in {kind.name} shards ({', '.join(kind.publics)})" for kind in KINDS)
    by_shape = {
        "sums": "an extension element for each scope of each chip present",
        "openings": "an extension element for each (column, point) pair; order: zkvm/protocol/plan.py",
        "batching challenge": "an extension element, ceil(log2 openings) times",
        "layer root": "9, for each layer",
        "fold challenge": "an extension element, for each layer, after its root",
        "join challenge": "an extension element, where matrices of that height join, after the fold challenge",
        "query indices": f"{Parameters().query_count} indices of log2(tallest extension) bits, at the default parameters",
    }
    if label in by_shape:
        return by_shape[label]
    if entry.what == "elements":
        return f"{entry.count}" + (f": {entry.count // DEGREE} extension elements" if label == "final polynomial" else "")
    return {"digest": "9 elements: the seed of a proof of work", "extension": "an extension element"}[entry.what]


# Security.


def largest_plans() -> list[ShardPlan]:
    """The plans of the tallest shards of each kind that the machine's rules allow, all chips present."""
    machine = machine_air.riscv_machine(machine_air.TABLES_ROOT)
    key = ProgramKey(NO_DIGEST, (MAXIMUM_LOG_HEIGHT, MAXIMUM_LOG_HEIGHT), 0)
    plans = []
    for number, kind in enumerate(KINDS):
        highest = {slot.chip: slot.highest for slot in kind.slots}
        heights = tuple(highest.get(chip.name, 0) for chip in CHIPS)
        plans.append(ShardPlan.of(machine, key, ShardHeader(number + 1, number, heights, (0,) * len(kind.publics)), Parameters()))
    return plans


def security_page() -> str:
    """The calculator's rows for the largest proof."""
    machine = machine_air.riscv_machine(machine_air.TABLES_ROOT)
    plans = largest_plans()
    statement = Statement(b"", (0,) * machine.output_words, (1, 1))
    own = messages_weight(machine.global_messages(ProgramKey(NO_DIGEST, (MAXIMUM_LOG_HEIGHT, MAXIMUM_LOG_HEIGHT), 0), statement))
    weight = MAXIMUM_SHARD_COUNT * max(plan.facts.global_message_weight for plan in plans) + own
    reports = [global_report(weight, Parameters())]
    reports += [shard_report(f"{plan.kind.name} shard", plan.facts, Parameters()) for plan in plans]
    lines = [
        "# Security at the limits", "", NOTICE, "",
        "The calculator's rows (zkvm/protocol/security.py) at the default parameters for shards in which every chip is as tall as any chip may be, and for the",
        f"{MAXIMUM_SHARD_COUNT} shards that a proof may have at most: the worst case of every term but LogUp's, which are 128 to 129 bits in every proof, since their work is as",
        "many whole bits as are missing. `blockproof security PROOF` prints the rows of a proof at hand. The terms: docs/soundness.md.",
    ]  # fmt: skip
    for report in reports:
        lines += ["", f"## {report.layer}: {report.bits:.1f} bits, by {report.limiting.name}", "", "| term | bits | with |", "|---|---|---|"]
        lines += [f"| {row.name} | {row.bits:.1f} | {escaped(row.formula)} |" for row in report.rows]
    return "\n".join(lines) + "\n"


# Cost.


def cost_page() -> str:
    """Columns, constraints, degree and cells."""
    lines = [
        "# Cost", "", NOTICE, "",
        "Base columns by phase. A row's cells are boundary + main + auxiliary + quotient columns, 4 bytes each; fixed columns are committed once for each machine or",
        "program. Operations are the nodes of the constraint graph that compute. Padding is not counted here; bench/prove.py counts it.", "",
        "| chip | fixed | boundary | main | auxiliary | quotient | cells a row | constraints | degree | messages | operations | smallest height | clk a row |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for chip in CHIPS:
        p = parameters(chip)
        lines.append(
            f"| [{chip.name}](chips/{chip.name}.md) | {p.fixed_columns} | {p.boundary_columns} | {p.main_columns} | {p.auxiliary_columns} | {p.quotient_columns} | "
            f"{p.cells_per_row} | {p.constraint_count} | {p.degree} | {len(chip.messages)} | {p.operations} | {p.minimum_height} | {p.clk_increment} |"
        )
    lines += ["", "## An instruction, and a call", "", "Cells of one event, the ecall row of a call included.", "", "| family | rows | cells |", "|---|---|---|"]
    ecall = parameters(FAMILY_CHIPS[Family.ECALL]).cells_per_row
    for family in Family:
        if family not in FAMILY_CHIPS:
            lines.append(f"| {family.label} | {MISSING}: no chip in the machine | |")
            continue
        is_call = family > Family.ECALL
        rows, cells = 1, parameters(FAMILY_CHIPS[family]).cells_per_row + (ecall if is_call else 0)
        text = "1" if not is_call else "1 ecall, 1"
        if family in GROUPS:
            rows = GROUPS[family].rows_per_call
            cells += rows * parameters(GROUPS[family].chip).cells_per_row
            text += f", {rows} of {GROUPS[family].chip.name}"
        lines.append(f"| {family.label} | {text} | {cells:,} |")
    return "\n".join(lines) + "\n"


# Necessity.


@dataclass
class Evidence:
    """
    What shows that a thing is needed, the first that there is: test, file::function that removes it; proof, that the others imply it; like, a test that removes another thing of
    the same form. gap: why the tests say that they have none.
    """

    test: str = ""
    proof: str = ""
    like: str = ""
    gap: str = ""

    @property
    def state(self) -> str:
        """tested, implied, by form or missing."""
        return "tested" if self.test else "implied" if self.proof else "by form" if self.like and not self.gap else "missing"

    def __str__(self) -> str:
        return {
            "tested": f"`{self.test}`",
            "implied": f"implied: {self.proof}",
            "by form": f"another of its form: `{self.like}`",
            "missing": f"{MISSING}{': ' if self.gap else ''}{self.gap}",
        }[self.state]


STATES = ("tested", "by form", "implied", "missing")


@dataclass
class Necessity:
    """Everything known about one chip. unused: claims of the tests that do not hold up."""

    items: dict[str, Evidence] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)


STORED_TEST = "test_each_constraint_and_look_up_is_needed"
"""In any test module of chips: parametrized by chip, it reads forgeries/NAME.json and removes each of its items alone. In a module of one chip, CHIP: parametrized by item."""

TOKEN_TEST = "test_each_token_is_needed"
"""Likewise: it removes the pairs of messages that move a token, one pair at a time."""

CONSTRAINT_TEST = "test_each_constraint_is_needed"
"""In a module of one chip, CHIP: parametrized by constraint."""

SINGLE_TESTS: tuple[tuple[str, str, str, str | tuple[str, ...] | None], ...] = (
    ("memory_image", "test_image_chips", "test_each_constraint_and_look_up_of_the_image_is_needed", "IMAGE_FORGERIES"),
    ("memory_image", "test_image_chips", "test_each_token_of_the_image_is_needed", None),
    ("boundary", "test_image_chips", "test_the_boundary_s_bit_is_needed", None),
    ("boundary", "test_image_chips", "test_a_previous_shard_that_is_not_earlier", None),
    ("boundary", "test_image_chips", "test_each_token_of_the_boundary_is_needed", None),
    ("program_image", "test_image_chips", "test_each_token_of_the_program_image_is_needed", None),
    ("ecall", "test_ecall_chip", "test_the_call_s_message_is_needed", None),
    ("ecall", "test_ecall_chip", "test_each_token_is_needed", None),
    ("keccak_f", "test_keccak_chip", "test_each_message_is_needed", None),
    ("keccak_memory", "test_keccak_chip", "test_the_call_s_bit_is_needed", None),
    ("keccak_memory", "test_keccak_chip", "test_each_message_of_a_call_is_needed", None),
    (
        "keccak_memory", "test_keccak_chip", "test_each_range_check_of_a_call_is_needed",
        tuple(f"lane {lane}: {check} in range" for lane in (0, 13, 24) for check in ("gap_low", "gap_high")),
    ),
    ("sha256_rounds", "test_sha256_chip", "test_each_message_is_needed", None),
    ("sha256_memory", "test_sha256_chip", "test_the_call_s_bit_is_needed", None),
    ("sha256_memory", "test_sha256_chip", "test_each_carry_out_of_a_high_limb_is_needed", tuple(f"word {i}: carry out of limb 1" for i in range(8))),
    ("sha256_memory", "test_sha256_chip", "test_each_carry_out_of_a_low_limb_is_needed", tuple(f"word {i}: carry out of limb 0" for i in (0, 7))),
    ("sha256_memory", "test_sha256_chip", "test_each_gap_of_a_call_is_needed", "CALL_RANGES"),
    (
        "sha256_memory", "test_sha256_chip", "test_each_byte_check_of_a_block_is_needed",
        tuple(f"block {limb // 4}: byte {2 * (limb % 4) + byte} in range" for limb in (0, 1, 31) for byte in (0, 1)),
    ),
    (
        "sha256_memory", "test_sha256_chip", "test_each_limb_check_of_the_result_is_needed",
        tuple(f"{which} limb {2 * word + limb} in range" for which in ("new", "worked") for word in (0, 5) for limb in (0, 1)),
    ),
    ("sha256_memory", "test_sha256_chip", "test_each_message_of_a_call_is_needed", None),
)  # fmt: skip
"""(chip, module, function, items) of other tests that remove things. items: the name of a registry whose keys they are, themselves, or None: those that the function names."""


@cache
def module_of_tests(folder: Path, name: str) -> ModuleType | None:
    """A module of the tests, imported as they import it; None where there is none."""
    if not (folder / f"{name}.py").exists():
        return None
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module(name)


@cache
def functions_of_tests(path: Path) -> dict[str, ast.FunctionDef]:
    """The test functions of a file, by name; none where it does not exist."""
    body = ast.parse(path.read_text()).body if path.exists() else []
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def parameters_of(module: ModuleType, function: str) -> list[str]:
    """What a test is parametrized with, chips' names here."""
    marks = getattr(getattr(module, function), "pytestmark", [])
    return [str(value) for mark in marks if mark.name == "parametrize" for value in mark.args[1]]


def claims() -> Iterator[tuple[str, str, str]]:
    """(chip, item, test) of everything that a test of chips removes, as the tests' own registries say."""
    for path in sorted(CHIP_TESTS.glob("test_*.py")):
        where, functions = path.relative_to(ROOT), functions_of_tests(path)
        present = [function for function in (STORED_TEST, TOKEN_TEST, CONSTRAINT_TEST) if function in functions]
        for function in present:
            module = module_of_tests(CHIP_TESTS, path.stem)
            assert module is not None
            if hasattr(module, "CHIP"):
                yield from ((module.CHIP.name, item, f"{where}::{function}") for item in parameters_of(module, function))
                continue
            for name in parameters_of(module, function):
                stored = CHIP_TESTS / "forgeries" / f"{name}.json"
                chip = next((chip for chip in CHIPS if chip.name == name), None)
                if hasattr(module, "without_forgery"):
                    # This module makes its forgeries when it runs, and says for which items it makes none; all other messages are its token test's.
                    own = module.items_of(name)
                    excluded = set(module.without_forgery(name)) if function == STORED_TEST else set(own)
                    items = [item for item in (own if function == STORED_TEST else items_of(chip) if chip else []) if item not in excluded]
                elif function == TOKEN_TEST:
                    items = token_pairs(chip) if chip else []
                else:
                    items = list(json.loads(stored.read_text())) if stored.exists() else []
                yield from ((name, item, f"{where}::{function}[{name}]") for item in items)
    for name, stem, function, registry in SINGLE_TESTS:
        path = CHIP_TESTS / f"{stem}.py"
        node = functions_of_tests(path).get(function)
        chip = next(chip for chip in CHIPS if chip.name == name)
        if node is None:
            continue
        if isinstance(registry, tuple):
            items = list(registry)
        elif registry:
            items = list(getattr(module_of_tests(CHIP_TESTS, stem), registry))
        else:
            named = {constant.value for constant in ast.walk(node) if isinstance(constant, ast.Constant) and isinstance(constant.value, str)}
            items = [item for item in items_of(chip) if item in named]
            # A token named by its "in" goes with its "out".
            items += [item for item in token_pairs(chip) if re.sub("out$", "in", item) in named and item not in items]
        yield from ((name, item, f"{path.relative_to(ROOT)}::{function}") for item in items)


@cache
def necessity() -> dict[str, Necessity]:
    """The evidence for each constraint and message of every chip, from the registries of the tests."""
    known = {chip.name: Necessity({name: Evidence() for name in items_of(chip)}) for chip in CHIPS}

    def matching(name: str, item: str) -> list[Evidence]:
        items = known[name].items
        return [items[item]] if item in items else [evidence for own, evidence in items.items() if form_of(own) == item]

    for name, item, test in claims():
        if name in known:
            for evidence in matching(name, item):
                evidence.test = test
            if not matching(name, item):
                known[name].unused.append(f"{item} ({test})")
    for where, name, item, proof in proofs():
        if name in known:
            for evidence in matching(name, item):
                evidence.proof = " ".join(proof.split())
            if not matching(name, item):
                known[name].unused.append(f"{item} (a proof in {where})")
    for name, item, reason in gaps():
        if name in known:
            for evidence in matching(name, item):
                evidence.gap = reason
    for chip in known.values():
        tested = {form_of(item): evidence.test for item, evidence in chip.items.items() if evidence.test}
        for item, evidence in chip.items.items():
            evidence.like = tested.get(form_of(item), "")
    return known


def proofs() -> Iterator[tuple[str, str, str, str]]:
    """(file, chip, item or form, proof) of everything that the tests say is implied."""
    for path in sorted(CHIP_TESTS.glob("*exemptions.py")):
        for name, of_chip in module_of_tests(CHIP_TESTS, path.stem).EXEMPT.items():  # type: ignore[union-attr]
            yield from ((str(path.relative_to(ROOT)), name, item, proof) for item, proof in of_chip.items())
    for where, name, registry in declared("REDUNDANT"):
        yield from ((where, name, item, proof) for item, proof in registry)


def gaps() -> Iterator[tuple[str, str, str]]:
    """(chip, item, reason) of everything that the tests say is not shown."""
    for _, name, registry in declared("NOT_SHOWN"):
        yield from ((name, item, reason) for item, reason in registry)


def declared(attribute: str) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """(file, chip, [(item, text)]) of a registry of test modules that gives patterns for each chip."""
    for path in sorted(CHIP_TESTS.glob("test_*.py")):
        if f"\n{attribute}: " not in path.read_text():
            continue
        module = module_of_tests(CHIP_TESTS, path.stem)
        for name, patterns in getattr(module, attribute).items():
            chip = next((chip for chip in CHIPS if chip.name == name), None)
            items = items_of(chip) if chip else []
            found = [(item, text) for pattern, text in patterns.items() for item in items if re.fullmatch(pattern, item)]
            yield str(path.relative_to(ROOT)), name, found


def items_of(chip: Chip) -> list[str]:
    """Names of constraints, then labels of messages, in order of declaration."""
    return [*(c.name for c in chip.constraints), *(m.label for m in chip.messages)]


def token_pairs(chip: Chip) -> list[str]:
    """The labels of state and memory messages that come in pairs, "x in" and "x out"."""
    labels = [m.label for m in chip.messages if m.bus in (bus_module.STATE, bus_module.MEMORY)]
    return [label for label in labels if re.sub(r"(in|out)$", "", label) + {True: "out", False: "in"}[label.endswith(" in")] in labels]


def kind_of(chip: Chip, item: str) -> str:
    """What an item is."""
    for message in chip.messages:
        if message.label == item:
            return "range check" if message.bus == bus_module.RANGE else f"{message.direction} {message.bus.name}"
    return "constraint"


def verifier_evidence() -> dict[str, Evidence]:
    """The evidence for each check of the verifier."""
    found: Mapping[str, str] = {}
    exempt: Mapping[str, str] = {}
    path = VERIFIER_TESTS / "test_verifier_checks.py"
    if path.exists():
        # It imports the toy machine of the protocol's own tests.
        module_of_tests(TESTS / "zkvm" / "protocol", "toy_machine")
        module = module_of_tests(VERIFIER_TESTS, "test_verifier_checks")
        assert module is not None
        found, exempt = module.needed_by(), module.EXEMPT
    return {
        name: Evidence(f"{path.relative_to(ROOT)}::{found[name]}" if name in found else "", exempt.get(name, "")) for name in CHECKS
    }


@dataclass(frozen=True)
class Rule:
    """One condition of the machine's own rules. says: what it refuses with, numbers as #."""

    function: str
    condition: str
    says: str


def rules_of_the_machine() -> list[Rule]:
    """Each condition in the rules of zkvm/machine_air.py, in order."""
    rules = []
    for function in ast.parse(inspect.getsource(machine_air)).body:
        if not isinstance(function, ast.FunctionDef) or not function.name.endswith("_rule"):
            continue
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if (name, len(node.args)) in (("rule", 2), ("holds", 3)) and not isinstance(node.args[-2], ast.Name):
                rules.append(Rule(function.name, ast.unparse(node.args[-2]), template(node.args[-1])))
    return rules


def template(message: ast.expr) -> str:
    """A message's text, with # for what is put in."""
    if isinstance(message, ast.JoinedStr):
        return form_of("".join(part.value if isinstance(part, ast.Constant) else "#" for part in message.values))
    return form_of(str(message.value)) if isinstance(message, ast.Constant) else ""


def refusals() -> dict[Rule, list[str]]:
    """The attacks on whole runs that are refused with each rule's words, Reason.CHAINING or Reason.SHAPE given."""
    rules = rules_of_the_machine()
    found: dict[Rule, list[str]] = {rule: [] for rule in rules}
    for name, node in functions_of_tests(MACHINE_ATTACKS).items():
        for call in ast.walk(node):
            if not isinstance(call, ast.Call) or getattr(call.func, "id", "") != "refused" or len(call.args) < 3:
                continue
            words = template(call.args[2])
            if not words or ast.unparse(call.args[1]) not in ("Reason.CHAINING", "Reason.SHAPE"):
                continue
            containing = [rule for rule in rules if words in rule.says]
            for rule in [rule for rule in containing if rule.says.startswith(words)] or containing:
                found[rule].append(f"`{MACHINE_ATTACKS.relative_to(ROOT)}::{name}`")
    return found


def rule_evidence() -> dict[Rule, Evidence]:
    """The evidence for each condition of the machine's own rules: the tests' registries name it by the words of its refusal, each entry exactly one condition."""
    found = {rule: Evidence() for rule in rules_of_the_machine()}
    module = module_of_tests(MACHINE_RULES.parent, MACHINE_RULES.stem)
    if module is None:
        return found
    where = MACHINE_RULES.relative_to(ROOT)
    for words in (*module.RULES_NEEDED, *module.RULES_IMPLIED):
        [evidence] = [evidence for rule, evidence in found.items() if words in rule.says]
        if words in module.RULES_IMPLIED:
            evidence.proof = module.RULES_IMPLIED[words]
        else:
            evidence.test = f"{where}::test_each_condition_of_the_machine_s_rules_is_needed[{words}]"
    return found


def necessity_page() -> str:
    """The list of everything that refuses, each with what shows that it must."""
    known = necessity()
    checks = verifier_evidence()
    rules = rule_evidence()
    rows: list[tuple[str, list[str]]] = []
    for chip in CHIPS:
        rows.append((f"[{chip.name}](#{chip.name})", [evidence.state for evidence in known[chip.name].items.values()]))
    rows.append(("[verifier](#the-verifier)", [evidence.state for evidence in checks.values()]))
    rows.append(("[rules of the machine](#rules-of-the-machine)", [evidence.state for evidence in rules.values()]))
    rows.append(("all", [state for _, states in rows for state in states]))
    total = rows[-1][1]

    lines = [
        "# What needs what", "", NOTICE, "",
        "Every constraint, message and range check of every chip, and every check of the verifier, with the test that accepts something false as soon as that one thing is",
        "removed, judged by row checker and bus balance, or by the verifier. *implied*: removing it alone makes nothing false acceptable, for the reason given. *by form*: a test removes another one whose",
        "name differs in numbers only, not this one. LogUp constraints are the sums of the messages: each falls with its messages.", "",
        f"**{total.count('missing')} of {len(total)} have no test, no proof, and no test of their form.** They are marked {MISSING}; where the tests say why, so does this page.", "",
        f"| | items | {' | '.join(STATES)} |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, states in rows:
        counts = [states.count(state) for state in STATES]
        lines.append(f"| {name} | {len(states)} | {' | '.join(map(str, counts[:-1]))} | {f'**{counts[-1]}**' if counts[-1] else 0} |")
    lines += ["", "## the verifier", "", "| check | reason of the refusal | needed by |", "|---|---|---|"]
    lines += [f"| {name} | {CHECKS[name].value} | {escaped(str(evidence))} |" for name, evidence in checks.items()]
    lines += ["", "## rules of the machine", "", "Conditions of the checks `machine's own shape rule` and `machine's own chaining rule`, from zkvm/machine_air.py. Last, the"]
    lines += ["attacks on whole runs that are refused with a condition's words.", ""]
    lines += ["| function | condition | needed by | refuses |", "|---|---|---|---|"]
    lines += [f"| {rule.function} | `{escaped(rule.condition)}` | {escaped(str(rules[rule]))} | {', '.join(tests)} |" for rule, tests in refusals().items()]
    for chip in CHIPS:
        lines += ["", f"## {chip.name}", "", *item_lines(chip, known[chip.name])]
    return "\n".join(lines) + "\n"


def item_lines(chip: Chip, known: Necessity) -> list[str]:
    """The table of a chip; items that differ in numbers only and have the same evidence are one row."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for item, evidence in known.items.items():
        groups.setdefault((form_of(item), kind_of(chip, item), str(evidence)), []).append(item)
    lines = ["| item | kind | needed by |", "|---|---|---|"]
    for (form, kind, evidence), items in groups.items():
        name = items[0] if len(items) == 1 else f"{items[0]} .. {items[-1]} ({len(items)} of the form {form})"
        lines.append(f"| {escaped(name)} | {kind} | {escaped(evidence)} |")
    if known.unused:
        lines += ["", f"{MISSING}: claimed by the tests, but not of this chip: {'; '.join(known.unused)}."]
    return lines


def escaped(text: str) -> str:
    """For a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


__all__ = ["FOLDER", "PROGRAM_CHIPS", "TABLE_CHIPS", "differences", "main", "pages"]

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
