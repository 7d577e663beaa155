"""
How transcripts begin, and the global challenge.

Statement
---------
The global challenge is drawn after everything that global messages are made of: version, parameters, machine, program,
statement, and by the shard tree each shard's index, kind, shape, publics and boundary root. A shard's transcript
begins with all of that again, the shard tree replaced by the pair drawn from it, and its own header: whoever changes
another shard's boundary changes every challenge of this one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from zkvm.kernels.reference.poseidon2 import Digest, compress, hash_elements
from zkvm.protocol.logup import LogUpChallenge
from zkvm.protocol.machine import SHARD_LEAF_DOMAIN, Machine, ProgramKey, ShardHeader, Statement
from zkvm.protocol.parameters import VERSION, Parameters
from zkvm.protocol.transcript import GLOBAL_TRANSCRIPT, SHARD_TRANSCRIPT, Permutation, Transcript


@dataclass(frozen=True)
class Context:
    """What every transcript of a proof begins with."""

    parameters: Parameters
    machine_digest: Digest
    program_id: Digest
    statement_digest: Digest

    @classmethod
    def of(cls, parameters: Parameters, machine: Machine, key: ProgramKey, statement: Statement) -> "Context":
        return cls(parameters, machine.digest, machine.program_id(key), statement.digest())

    def begin(self, hash: Permutation, domain: int, make: type[Transcript] = Transcript) -> Transcript:
        """A transcript that has absorbed all of this."""
        transcript = make(hash, domain)
        transcript.absorb("version", [VERSION])
        transcript.absorb("parameters", self.parameters.elements())
        transcript.absorb("machine digest", self.machine_digest)
        transcript.absorb("program id", self.program_id)
        transcript.absorb("statement digest", self.statement_digest)
        return transcript


def shard_tree_root(headers: Sequence[ShardHeader]) -> Digest:
    """
    The root over all headers, boundary roots included.

    Neighbours are compressed; the last node of a layer of odd length moves up as it is. The number of leaves is bound
    by the statement's shard counts, and every leaf holds its index, so two lists of headers never share a tree.
    """
    layer = [hash_elements(header.elements(), SHARD_LEAF_DOMAIN) for header in headers]
    while len(layer) > 1:
        paired = [compress(left, right) for left, right in zip(layer[::2], layer[1::2])]
        layer = paired + layer[2 * len(paired) :]
    return layer[0]


def begin_global(
    context: Context, headers: Sequence[ShardHeader], hash: Permutation, make: type[Transcript] = Transcript
) -> Transcript:
    """The global transcript, up to its proof of work."""
    transcript = context.begin(hash, GLOBAL_TRANSCRIPT, make)
    transcript.absorb("shard tree root", shard_tree_root(headers))
    return transcript


def draw_logup(transcript: Transcript, scope: str) -> LogUpChallenge:
    """The pair of a scope."""
    return LogUpChallenge(transcript.challenge(f"{scope} alpha"), transcript.challenge(f"{scope} beta"))


def begin_shard(
    context: Context,
    global_challenge: LogUpChallenge,
    header: ShardHeader,
    hash: Permutation,
    make: type[Transcript] = Transcript,
) -> Transcript:
    """A shard's transcript, up to and with its boundary root."""
    transcript = context.begin(hash, SHARD_TRANSCRIPT, make)
    transcript.absorb_extensions("global challenge", [global_challenge.alpha, global_challenge.beta])
    transcript.absorb("index", [header.index])
    transcript.absorb("kind", [header.kind])
    transcript.absorb("shape", header.log_heights)
    transcript.absorb("publics", header.publics)
    transcript.absorb("boundary root", header.boundary_root)
    return transcript
