//! The machine's surroundings for a native run: stdin is the input, stdout the output, stderr the debug channel.

use std::io::{IsTerminal, Read, Write};
use std::sync::{Mutex, OnceLock};

static INPUT: OnceLock<Vec<u8>> = OnceLock::new();
static OUTPUT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Runs a guest as the machine would: `exit(0)` when it returns, exit code 101 with the message when it panics.
pub fn run(guest: fn()) {
    std::panic::set_hook(Box::new(|information| {
        debug_write(format!("{information}\n").as_bytes());
        exit(crate::PANIC_EXIT_CODE);
    }));
    guest();
    exit(0);
}

pub(crate) fn read_input() -> &'static [u8] {
    INPUT.get_or_init(|| {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).expect("stdin cannot be read");
        bytes
    })
}

/// Makes these bytes the input instead of stdin; false when the input was read already. For tests.
pub fn set_input(bytes: Vec<u8>) -> bool {
    INPUT.set(bytes).is_ok()
}

/// What was written so far. For tests.
pub fn output() -> Vec<u8> {
    OUTPUT.lock().unwrap().clone()
}

/// Appends, if the whole stays within the limit; whether it did.
pub(crate) fn write_output(bytes: &[u8], limit: usize) -> bool {
    let mut output = OUTPUT.lock().unwrap();
    let fits = bytes.len() <= limit - output.len();
    if fits {
        output.extend_from_slice(bytes);
    }
    fits
}

pub(crate) fn debug_write(bytes: &[u8]) {
    // Text for a person: a closed stderr is no reason to stop.
    let _ = std::io::stderr().write_all(bytes);
}

pub(crate) fn exit(code: u64) -> ! {
    if code == 0 {
        let output = OUTPUT.lock().unwrap();
        let mut stdout = std::io::stdout().lock();
        // Raw bytes into a pipe or file, hexadecimal for a person.
        let written = if stdout.is_terminal() {
            let hexadecimal: String = output.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(stdout, "0x{hexadecimal}")
        } else {
            stdout.write_all(&output)
        };
        written.and_then(|()| stdout.flush()).expect("stdout cannot be written");
    }
    std::process::exit(code as i32)
}
