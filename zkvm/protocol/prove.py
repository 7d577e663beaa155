"""
The prover: verify.py's steps with the same numbers, each with what the verifier only hears about.

Statement
---------
Given a run whose traces satisfy the machine's constraints, writes a proof file that the verifier accepts; the same run
gives the same bytes. One shard is in memory at a time. The only barrier is the global challenge: first every shard's
boundary columns are made and committed, later every shard is made again, whole.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from zkvm.air.backends import interpret, tape
from zkvm.air.chip import as_matrix
from zkvm.air.expression import Phase
from zkvm.field.extension import DEGREE, ZERO, Extension
from zkvm.field.koala_bear import GENERATOR
from zkvm.kernels.fast import extension, fri, merkle, montgomery, ntt, poseidon2
from zkvm.kernels.reference.poseidon2 import DIGEST_LENGTH, Digest
from zkvm.protocol.batched import Batched
from zkvm.protocol.challenge import Context, begin_global, begin_shard, draw_logup
from zkvm.protocol.checks import Checks
from zkvm.protocol.constraints import folded_constraints_at_point, quotient_at_point
from zkvm.protocol.errors import ProverError, RefusalError
from zkvm.protocol.logup import LogUpChallenge
from zkvm.protocol.machine import MAXIMUM_SHARD_COUNT, NO_DIGEST, Machine, ProgramKey, ShardHeader, Statement
from zkvm.protocol.opening import batching_coefficients, claimed_sums, entry_coefficients, next_point
from zkvm.protocol.parameters import VERSION, Parameters
from zkvm.protocol.plan import FIXED_TREES, ShardPlan, check_counts, check_shape, messages_weight
from zkvm.protocol.proof import Head, ProofWriter, ShardProof, decode_shard, encode_shard
from zkvm.protocol.security import logup_grinding_bits
from zkvm.protocol.setup import FixedTables
from zkvm.protocol.transcript import Transcript
from zkvm.protocol.verify import ShardPlans, check_chaining, first_of_each_shape
from zkvm.protocol.work_folder import WorkFolder

Matrices = Mapping[str, np.ndarray]
"""By phase ("boundary", "main"): records or (rows, width) uint32, canonical. The prover owns them and changes them in
place."""

STAGES = ("boundary", "global challenge", "fill", "main", "auxiliary", "quotient", "openings", "low degree", "queries")
"""The names that progress is reported by, in order; all after the second once per shard, the first once per shard
before."""

Progress = Callable[[str, int, int], None]
"""(stage, shard, shard count), when a stage begins."""


class Run(Protocol):
    """What is to be proven: a finished run, whose shards can be made again at any time, always the same."""

    statement: Statement
    headers: Sequence[ShardHeader]
    """In order, without boundary roots."""
    identity: bytes
    """Names the private input and whatever else the traces depend on; never leaves the machine. At most a digest."""

    def boundary_matrices(self, shard: int) -> Mapping[str, np.ndarray]:
        """By chip, the boundary columns of a shard (numbered from 1), for the chips that have any."""
        ...

    def matrices(self, shard: int) -> Mapping[str, Matrices]:
        """By chip, for every chip of the shard, all its columns but the fixed ones."""
        ...


@dataclass(frozen=True)
class Options:
    """How to prove; nothing here changes a proof."""

    threads: int | None = None
    """As the kernels understand it: None uses every processor."""
    work_folder: Path | None = None
    """Where records are kept for going on after an interruption; None keeps none."""
    self_checks: bool = True
    """Stop with ProverError as soon as sums do not cancel or a word is not of low degree. Off only in tests of the
    verifier."""
    keep_records: bool = False
    """Leave the records in the work folder after the proof is complete."""
    check_rows: bool = False
    """Also evaluate every constraint on every row first, in plain NumPy: slow, and names what is wrong."""
    progress: Progress = field(default=lambda stage, shard, count: None)


def prove(
    machine: Machine,
    key: ProgramKey,
    tables: Mapping[str, FixedTables],
    run: Run,
    parameters: Parameters,
    output: Path,
    options: Options | None = None,
) -> Head:
    """
    Writes the proof of a run to `output`, which appears only when complete.

    tables: the fixed trees of set-up, "machine" and "program".
    Raises ProverError if the run does not satisfy the machine (as far as self-checks see), OSError from files.
    """
    return Prover(machine, key, tables, parameters, options or Options()).prove(run, output)


class Prover:
    """One proof being made: `prove` with its steps within reach of tests."""

    transcript_type: type[Transcript] = Transcript

    def __init__(
        self,
        machine: Machine,
        key: ProgramKey,
        tables: Mapping[str, FixedTables],
        parameters: Parameters,
        options: Options,
    ) -> None:
        if parameters.log_blowup != 1:
            raise ProverError("the quotient is computed on the extension of rate 1/2: log_blowup must be 1")
        self.machine = machine
        self.key = key
        self.tables = tables
        self.parameters = parameters
        self.options = options
        self.threads = options.threads
        self.hash = Batched()

    def prove(self, run: Run, output: Path) -> Head:
        """Steps 1 to 6."""
        count = len(run.headers)
        folder = self._work_folder(run)

        # 2. What the verifier would refuse for its shape or its public values is not worth proving.
        if self.options.self_checks:
            self._check_headers(run)

        # 3. The statement; and of each shard what the global messages are made of.
        context = Context.of(self.parameters, self.machine, self.key, run.statement)
        headers = []
        for header in run.headers:
            self.options.progress("boundary", header.index, count)
            headers.append(replace(header, boundary_root=self._boundary_root(run, header, folder)))

        # 4. The global challenge.
        self.options.progress("global challenge", 0, count)
        head = Head(self.parameters, self.machine.digest, self.key, run.statement, 0, tuple(headers))
        plans = ShardPlans(self.machine, head)
        global_messages = self.machine.global_messages(self.key, run.statement)
        transcript = begin_global(context, headers, self.hash, self.transcript_type)
        weight = plans.global_message_weight(messages_weight(global_messages))
        nonce = self._work(transcript, "global nonce", logup_grinding_bits(weight, self.parameters))
        head = replace(head, global_nonce=nonce)
        global_challenge = draw_logup(transcript, "global")

        # 5. Each shard, to disk as soon as it is done.
        tag = hashlib.sha256(repr(global_challenge).encode()).hexdigest()[:16]
        writer = ProofWriter(output, self.machine, head)
        try:
            global_sum = global_challenge.sum_of(global_messages)
            for header, plan in zip(headers, plans):
                name = f"shard-{header.index:06d}-{tag}"
                body = folder.read(name) if folder else None
                if body is None:
                    body = encode_shard(plan, self.prove_shard(context, plan, header, global_challenge, run))
                    if folder:
                        folder.write(name, body)
                writer.add(body)
                for sums in plan.sums_by_chip(_elements(decode_shard(plan, body)["sums"])).values():
                    global_sum = global_sum + sums.get("global", ZERO)

            # 6. The global balance.
            if self.options.self_checks and global_sum != ZERO:
                raise ProverError("the messages of the global buses do not cancel over all shards")
            writer.close()
            if folder and not self.options.keep_records:
                folder.remove()
        except BaseException:
            writer.discard()
            raise
        return head

    def prove_shard(
        self, context: Context, plan: ShardPlan, header: ShardHeader, global_challenge: LogUpChallenge, run: Run
    ) -> ShardProof:
        """Step 5 for one shard."""
        options, threads = self.options, self.threads
        publics = dict(zip(plan.kind.publics, header.publics))
        proof: dict[str, np.ndarray] = {}
        trees: dict[str, merkle.MerkleTree] = {}
        # [tree name][chip] -> the extension, Montgomery form.
        extended: dict[str, dict[str, np.ndarray]] = {}
        for name in FIXED_TREES:
            if name in plan.tree_index:
                trees[name], extended[name] = self.tables[name].tree, dict(self.tables[name].extensions)

        def stage(name: str) -> None:
            options.progress(name, header.index, len(run.headers))

        def commit(name: str, matrices: Mapping[str, np.ndarray]) -> None:
            extended[name] = {chip: ntt.low_degree_extension(m, threads=threads) for chip, m in matrices.items()}
            trees[name] = merkle.commit(list(extended[name].values()), threads)

        # 5.1 Traces, and the local challenge after everything that local messages are made of.
        stage("fill")
        traces = self._traces(plan, header, publics, run)
        stage("main")
        self._commit_boundary(plan, header, traces, commit, trees)
        transcript = begin_shard(context, global_challenge, header, self.hash, self.transcript_type)
        if "main" in plan.tree_index:
            commit("main", _of_phase(plan, "main", traces))
            proof["main root"] = _array(trees["main"].root)
            transcript.absorb("main root", trees["main"].root)
        nonce = self._work(
            transcript, "local nonce", logup_grinding_bits(plan.facts.local_message_weight, self.parameters)
        )
        proof["local nonce"] = _array([nonce])
        local_challenge = draw_logup(transcript, "local")
        challenges = {"local": local_challenge, "global": global_challenge}
        pairs = {scope: (challenge.alpha, challenge.beta) for scope, challenge in challenges.items()}

        # 5.2 Auxiliary columns and sums.
        stage("auxiliary")
        auxiliary, sums = {}, {}
        for facts, _ in plan.chips:
            chip = self.machine.chips[self.machine.chip_index[facts.name]]
            columns, sums[facts.name] = tape.auxiliary_columns(
                chip, traces[facts.name], publics, pairs, threads, is_montgomery=True
            )
            if facts.auxiliary_width:
                auxiliary[facts.name] = columns
        traces.clear()
        columns = None
        if "auxiliary" in plan.tree_index:
            commit("auxiliary", auxiliary)
            auxiliary.clear()
            proof["auxiliary root"] = _array(trees["auxiliary"].root)
            transcript.absorb("auxiliary root", trees["auxiliary"].root)
        ordered = [
            sums[facts.name][scope]
            for facts, _ in plan.chips
            for scope in ("local", "global")
            if scope in sums[facts.name]
        ]
        proof["sums"] = _coefficients(ordered)
        transcript.absorb_extensions("sums", ordered)
        if options.self_checks:
            own = self.machine.local_messages(plan.kind, publics)
            total = sum((chip_sums.get("local", ZERO) for chip_sums in sums.values()), local_challenge.sum_of(own))
            if total != ZERO:
                raise ProverError(f"shard {header.index}: the messages of its local buses do not cancel")
        folding = transcript.challenge("folding challenge")

        # 5.3 The quotients, and the point.
        stage("quotient")
        quotients = {}
        for facts, log_height in plan.chips:
            columns = {
                Phase.FIXED if name in FIXED_TREES else name: matrices[facts.name]
                for name, matrices in extended.items()
                if facts.name in matrices
            }
            quotients[facts.name] = self._quotient(
                facts.name, log_height, columns, publics, pairs, sums[facts.name], folding
            )
        extended["quotient"] = quotients
        trees["quotient"] = merkle.commit(list(extended["quotient"].values()), threads)
        proof["quotient root"] = _array(trees["quotient"].root)
        transcript.absorb("quotient root", trees["quotient"].root)
        point = transcript.challenge("point")

        # 5.4 Opened values.
        stage("openings")
        matrices = [[extended[tree.name].get(entry.chip) for entry in tree.entries] for tree in plan.trees]
        inverses = self._domain_inverses(plan, point)
        opened = self._open(plan, point, matrices, inverses)
        proof["openings"] = _coefficients(opened)
        transcript.absorb_extensions("openings", opened)
        if options.self_checks:
            for facts, log_height in plan.chips:
                chip = self.machine.chips[self.machine.chip_index[facts.name]]
                at_point, at_next = plan.opened_of(facts.name, opened)
                folded = folded_constraints_at_point(
                    chip, log_height, at_point, at_next, publics, challenges, sums[facts.name], folding, point
                )
                if folded != quotient_at_point(at_point["quotient"], point, log_height):
                    raise ProverError(f"shard {header.index}: the constraints of chip {facts.name} do not hold")
        batching = [transcript.challenge("batching challenge") for _ in range(plan.batching_challenge_count)]
        coefficients = batching_coefficients(batching, plan.opened_count)

        # 5.5 FRI.
        stage("low degree")
        words = self._quotient_words(plan, coefficients, opened, matrices, inverses)
        del inverses
        layers, layer_trees, word = [], [], words.pop(plan.log_query_domain)
        for fold in plan.folds:
            layer = fri.fold_rows(word, fold.log_arity)
            tree = merkle.commit([layer], threads)
            layers.append(layer)
            layer_trees.append(tree)
            transcript.absorb("layer root", tree.root)
            word = fri.fold(word, transcript.challenge("fold challenge"), fold.log_arity, threads=threads)
            if fold.joins:
                joining = words.pop(fold.log_height - fold.log_arity)
                extension.add(
                    word, extension.scale(joining, transcript.challenge("join challenge"), threads=threads), out=word
                )
        proof["layer roots"] = np.array([tree.root for tree in layer_trees], dtype=np.uint32).reshape(-1, DIGEST_LENGTH)
        final_polynomial = self._final_polynomial(word, header)
        proof["final polynomial"] = _coefficients(final_polynomial)
        transcript.absorb_extensions("final polynomial", final_polynomial)

        # 5.6 Queries.
        stage("queries")
        nonce = self._work(transcript, "query nonce", self.parameters.query_grinding_bits)
        proof["query nonce"] = _array([nonce])
        indices = np.array(
            transcript.indices("query indices", self.parameters.query_count, plan.log_query_domain), dtype=np.int64
        )
        proof.update(self._rows_of_trees(plan, matrices, trees, indices))
        for number, (layer, layer_tree) in enumerate(zip(layers, layer_trees)):
            proof[f"layer {number} values"] = _rows(layer, indices).reshape(len(indices), -1, DEGREE)
            proof[f"layer {number} paths"] = _paths(layer_tree, indices)
        return ShardProof(proof)

    # Pieces.

    def _check_headers(self, run: Run) -> None:
        """The verifier's checks of shapes, counts and chaining. Raises ProverError."""
        machine, checks = self.machine, Checks()
        head = Head(self.parameters, machine.digest, self.key, run.statement, 0, tuple(run.headers))
        try:
            checks.holds("shard count", 0 < len(run.headers) <= MAXIMUM_SHARD_COUNT, f"{len(run.headers)} shards")
            for header in first_of_each_shape(run.headers):
                check_shape(checks, machine, self.key, header)
            check_counts(checks, machine, run.headers, machine.global_messages(self.key, run.statement))
            check_chaining(checks, machine, head)
        except RefusalError as refused:
            raise ProverError(f"the verifier would refuse this run: {refused}") from None

    def _boundary_root(self, run: Run, header: ShardHeader, folder: WorkFolder | None) -> Digest:
        """The root of a shard's boundary columns, from disk if it is there."""
        name = f"boundary-{header.index:06d}"
        stored = folder.read(name) if folder else None
        if stored is not None and len(stored) == 4 * DIGEST_LENGTH:
            return tuple(np.frombuffer(stored, dtype="<u4").tolist())
        head = Head(self.parameters, self.machine.digest, self.key, run.statement, 0, (header,))
        plan = ShardPlans(self.machine, head).of(header)
        if "boundary" not in plan.tree_index:
            return NO_DIGEST
        given = run.boundary_matrices(header.index)
        matrices = []
        for entry in plan.trees[plan.tree_index["boundary"]].entries:
            matrix = self._own(as_matrix(given[entry.chip]), entry.chip, entry.log_height, entry.width)
            matrices.append(ntt.low_degree_extension(matrix, threads=self.threads))
        root = merkle.commit(matrices, self.threads).root
        if folder:
            folder.write(name, np.array(root, dtype="<u4").tobytes())
        return root

    def _traces(
        self, plan: ShardPlan, header: ShardHeader, publics: Mapping[str, int], run: Run
    ) -> dict[str, dict[str, np.ndarray]]:
        """[chip][phase] -> the trace, fixed columns included, Montgomery form."""
        given = run.matrices(header.index)
        traces: dict[str, dict[str, np.ndarray]] = {}
        for facts, _ in plan.chips:
            if facts.name not in given:
                raise ProverError(f"shard {header.index}: the rows of chip {facts.name} are missing")
            widths = {"boundary": facts.boundary_width, "main": facts.main_width}
            traces[facts.name] = {
                phase: as_matrix(given[facts.name][phase]) for phase, width in widths.items() if width
            }
        if self.options.check_rows:
            self._check_rows(plan, header, traces, publics)
        for facts, log_height in plan.chips:
            of_chip = traces[facts.name]
            for phase, matrix in of_chip.items():
                width = facts.boundary_width if phase == "boundary" else facts.main_width
                of_chip[phase] = self._own(matrix, facts.name, log_height, width)
            if facts.fixed_width:
                of_chip[Phase.FIXED] = self._fixed_trace(facts.name)
        return traces

    def _own(self, matrix: np.ndarray, chip: str, log_height: int, width: int) -> np.ndarray:
        """A given matrix in Montgomery form, in place."""
        if matrix.dtype != np.uint32 or matrix.shape != (1 << log_height, width):
            raise ProverError(
                f"chip {chip}: a matrix is {matrix.dtype} {matrix.shape}, not uint32 {(1 << log_height, width)}"
            )
        return montgomery.to_montgomery(np.ascontiguousarray(matrix), self.threads)

    def _fixed_trace(self, chip: str) -> np.ndarray:
        for tables in self.tables.values():
            if chip in tables.traces:
                return tables.traces[chip]
        raise ProverError(f"there are no fixed columns for chip {chip}")

    def _check_rows(
        self, plan: ShardPlan, header: ShardHeader, traces: Mapping[str, Matrices], publics: Mapping[str, int]
    ) -> None:
        """Every constraint on every row, and every local tuple; the error lists what fails. traces: canonical."""
        where, chips = f"shard {header.index}", []
        for facts, _ in plan.chips:
            chip = self.machine.chips[self.machine.chip_index[facts.name]]
            matrices = dict(traces[facts.name])
            if facts.fixed_width:
                matrices[Phase.FIXED] = montgomery.from_montgomery(self._fixed_trace(facts.name).copy(), self.threads)
            report = interpret.report(chip, matrices, publics)
            if not report.is_valid:
                raise ProverError(f"{where}: {report}")
            chips.append(interpret.Trace(chip, matrices, publics, header.index))
        own = [
            interpret.ExtraMessage(message.bus, message.values, message.count, shard=header.index)
            for message in self.machine.local_messages(plan.kind, publics)
        ]
        balance = interpret.bus_balance(chips, own)
        local = [imbalance for imbalance in balance.imbalances if imbalance.shard is not None]
        if local:
            raise ProverError(f"{where}: " + "\n".join(str(imbalance) for imbalance in local))

    def _commit_boundary(
        self, plan: ShardPlan, header: ShardHeader, traces: Mapping[str, Matrices], commit: Callable, trees: Mapping
    ) -> None:
        """The boundary columns again; they must be those that the global challenge was drawn after."""
        if "boundary" not in plan.tree_index:
            return
        commit("boundary", _of_phase(plan, "boundary", traces))
        if trees["boundary"].root != header.boundary_root:
            raise ProverError(f"shard {header.index}: its boundary columns came out differently the second time")

    def _work(self, transcript: Transcript, name: str, bits: int) -> int:
        """The nonce of a proof of work over everything so far; absorbed."""
        nonce = poseidon2.grind(transcript.seed(f"{name} seed"), bits, self.threads)
        transcript.absorb(name, [nonce])
        return nonce

    def _quotient(
        self,
        name: str,
        log_height: int,
        extended: Mapping[str, np.ndarray],
        publics: Mapping[str, int],
        challenges: Mapping[str, tuple[Extension, Extension]],
        sums: Mapping[str, Extension],
        folding: Extension,
    ) -> np.ndarray:
        """The extension of a chip's quotient: [2n, 10], low half and high half. extended: by phase and "auxiliary"."""
        chip = self.machine.chips[self.machine.chip_index[name]]
        values = tape.quotient(chip, extended, publics, challenges, sums, folding, self.threads)
        return tape.quotient_chunks(values, self.threads)

    def _domain_inverses(self, plan: ShardPlan, point: Extension) -> dict[tuple[int, bool], np.ndarray]:
        """(log height, is next) -> 1 / (x - z) or 1 / (x - z w) on the extended domain."""
        needed = {
            (plan.trees[opening.tree].entries[opening.entry].log_height, opening.is_next) for opening in plan.openings
        }
        return {
            (height, is_next): extension.domain_inverses(
                next_point(point, height) if is_next else point,
                height + self.parameters.log_blowup,
                threads=self.threads,
            )
            for height, is_next in sorted(needed)
        }

    def _open(
        self,
        plan: ShardPlan,
        point: Extension,
        matrices: Sequence[Sequence[np.ndarray]],
        inverses: Mapping[tuple[int, bool], np.ndarray],
    ) -> list[Extension]:
        """All opened values, in the plan's order."""
        opened = []
        for opening in plan.openings:
            entry = plan.trees[opening.tree].entries[opening.entry]
            matrix, columns = _neighbours(matrices[opening.tree][opening.entry], opening.columns)
            at = next_point(point, entry.log_height) if opening.is_next else point
            opened += extension.evaluate_columns(
                matrix,
                at,
                GENERATOR,
                row_step=1 << self.parameters.log_blowup,
                inverses=inverses[entry.log_height, opening.is_next],
                threads=self.threads,
                columns=columns,
            )
        return opened

    def _quotient_words(
        self,
        plan: ShardPlan,
        coefficients: Sequence[Extension],
        opened: Sequence[Extension],
        matrices: Sequence[Sequence[np.ndarray]],
        inverses: Mapping[tuple[int, bool], np.ndarray],
    ) -> dict[int, np.ndarray]:
        """log2 of an extended height -> the word D of that height."""
        claimed = claimed_sums(plan, coefficients, opened)
        words = {}
        for log_height in plan.log_heights:
            extended = log_height + self.parameters.log_blowup
            word = np.zeros((1 << extended, DEGREE), dtype=np.uint32)
            for is_next in (False, True):
                if (log_height, is_next) not in claimed:
                    continue
                sums = np.zeros_like(word)
                for number, opening in enumerate(plan.openings):
                    entry = plan.trees[opening.tree].entries[opening.entry]
                    if (entry.log_height, opening.is_next) == (log_height, is_next):
                        spread = entry_coefficients(plan, coefficients, number)
                        weights = extension.from_elements([spread[column] for column in opening.columns])
                        matrix, columns = _neighbours(matrices[opening.tree][opening.entry], opening.columns)
                        extension.combine_columns(matrix, weights, sums, self.threads, columns)
                extension.deep_quotient(
                    sums, claimed[log_height, is_next], inverses[log_height, is_next], word, self.threads
                )
            words[extended] = word
        return words

    def _rows_of_trees(
        self,
        plan: ShardPlan,
        matrices: Sequence[Sequence[np.ndarray]],
        trees: Mapping[str, merkle.MerkleTree],
        indices: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """The fields with the opened rows of every tree and their paths."""
        fields = {}
        for tree, tree_matrices in zip(plan.trees, matrices):
            fields[f"{tree.name} rows"] = np.concatenate([_rows(matrix, indices) for matrix in tree_matrices], axis=1)
            fields[f"{tree.name} paths"] = _paths(trees[tree.name], indices)
        return fields

    def _final_polynomial(self, word: np.ndarray, header: ShardHeader) -> list[Extension]:
        """The coefficients of the last word; those beyond its degree are zero if every word was of low degree."""
        coefficients = extension.to_elements(ntt.inverse_ntt(word.copy(), self.threads))
        bits = len(coefficients).bit_length() - 1
        natural = [coefficients[int(f"{i:0{bits}b}"[::-1], 2)] for i in range(len(coefficients))]
        count = self.parameters.final_coefficient_count
        if self.options.self_checks and any(natural[count:]):
            raise ProverError(f"shard {header.index}: the last word of FRI is not of low degree")
        return natural[:count]

    def _work_folder(self, run: Run) -> WorkFolder | None:
        """The folder of this very run: keyed by all that its proof depends on."""
        if self.options.work_folder is None:
            return None
        hashed = hashlib.sha256()
        public = [
            VERSION,
            *self.parameters.elements(),
            *self.machine.digest,
            *self.key.elements(),
            *run.statement.elements(),
            *(element for header in run.headers for element in header.elements()),
        ]
        hashed.update(np.array([len(public), *public], dtype="<u8").tobytes())
        hashed.update(run.identity)
        return WorkFolder(self.options.work_folder, hashed.digest())


def _of_phase(plan: ShardPlan, phase: str, traces: Mapping[str, Matrices]) -> dict[str, np.ndarray]:
    """The traces of a phase by chip, in the order of its tree."""
    return {entry.chip: traces[entry.chip][phase] for entry in plan.trees[plan.tree_index[phase]].entries}


def _neighbours(matrix: np.ndarray, columns: Sequence[int]) -> tuple[np.ndarray, range]:
    """Ascending columns as a matrix and a range of its columns: of the matrix itself where they are neighbours."""
    wanted = range(columns[0], columns[-1] + 1)
    if tuple(wanted) == tuple(columns):
        return matrix, wanted
    return np.ascontiguousarray(matrix[:, list(columns)]), range(len(columns))


def _rows(matrix: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """The opened rows, canonical."""
    return montgomery.from_montgomery(np.ascontiguousarray(matrix[indices % matrix.shape[0]]), 1)


def _paths(tree: merkle.MerkleTree, indices: np.ndarray) -> np.ndarray:
    return merkle.open_many(tree, indices % tree.layers[0].shape[1])


def _array(elements: Sequence[int]) -> np.ndarray:
    return np.array(elements, dtype=np.uint32)


def _coefficients(elements: Sequence[Extension]) -> np.ndarray:
    return np.array([element.coefficients for element in elements], dtype=np.uint32).reshape(-1, DEGREE)


def _elements(coefficients: np.ndarray) -> list[Extension]:
    return [Extension(value) for value in coefficients.tolist()]
