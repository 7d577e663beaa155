//! What execution did, line by line, for a comparison with another implementation.
//!
//! - `receipt INDEX RLP`: a transaction was executed; its receipt in hex, as it goes into the receipts trie.
//! - `op PC OPCODE GAS DEPTH MEMORY STACK TOP...`: an opcode of the chosen transaction is about to run. PC, gas left, depth
//!   of the call (0 the outermost), bytes of memory and words on the stack in decimal; the opcode, and the topmost words of
//!   the stack, topmost first, at most four, in hex. The STOP that stands beyond the end of a code is left out.
//!
//! Written for every opcode before it is charged for, as EIP-3155 has it.

use crate::execute::{Evm, EvmContext, TransactionHandler};
use crate::journal::StatelessJournal;
use crate::{Invalid, Platform};
use core::fmt;
use revm::context::result::{EVMError, ExecutionResult};
use revm::context::{ContextTr, JournalEntry, JournalTr};
use revm::handler::Handler;
use revm::inspector::{InspectorHandler, JournalExt};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_types::{Jumps, LegacyBytecode, MemoryTr, StackTr};
use revm::interpreter::Interpreter;
use revm::primitives::hex;
use revm::Inspector;

const SHOWN_WORDS: usize = 4;

/// Where the lines go.
#[derive(Clone, Copy)]
pub struct Tracing<'a>(pub &'a dyn Platform);

impl fmt::Debug for Tracing<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tracing")
    }
}

impl<'a> Tracing<'a> {
    /// Runs the transaction in `evm`; the chosen one under inspection.
    pub fn run(
        self,
        mut handler: TransactionHandler<'a>,
        evm: &mut Evm<'a>,
        index: usize,
    ) -> Result<ExecutionResult, EVMError<Invalid>> {
        if self.0.traced_transaction() == Some(index) {
            handler.inspect_run(evm)
        } else {
            handler.run(evm)
        }
    }

    pub fn receipt(self, index: usize, receipt: &[u8]) {
        self.0.trace(format_args!("receipt {index} {}", hex::encode(receipt)));
    }
}

impl InspectorHandler for TransactionHandler<'_> {
    type IT = EthInterpreter;
}

impl<'a> Inspector<EvmContext<'a>> for Tracing<'_> {
    fn step(&mut self, interpreter: &mut Interpreter, context: &mut EvmContext<'a>) {
        let (pc, bytecode) = (interpreter.bytecode.pc(), &interpreter.bytecode);
        if pc >= bytecode.bytecode_len() {
            return;
        }
        let stack = interpreter.stack.data();
        self.0.trace(format_args!(
            "op {pc} {:02x} {} {} {} {}{}",
            bytecode.opcode(),
            interpreter.gas.remaining(),
            context.journal().depth().saturating_sub(1),
            interpreter.memory.size(),
            stack.len(),
            Words(stack),
        ));
    }
}

/// The topmost words of a stack, each after a space.
struct Words<'a>(&'a [revm::primitives::U256]);

impl fmt::Display for Words<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().take(SHOWN_WORDS).try_for_each(|word| write!(formatter, " {word:x}"))
    }
}

impl JournalExt for StatelessJournal<'_> {
    /// Only the notice of a self-destruct reads the entries, and no tracer here asks for it.
    fn journal(&self) -> &[JournalEntry] {
        &[]
    }
}
