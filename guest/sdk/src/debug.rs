//! The debug channel: text for the person who runs a guest, without effect on the run.

use crate::syscall;
use core::fmt;

/// Writes bytes to the debug channel: 1 as `println!`, 2 as `eprintln!`.
pub fn debug_write(channel: u32, bytes: &[u8]) {
    #[cfg(target_os = "none")]
    {
        // Under qemu descriptor 1 is the guest's output: all text goes to descriptor 2.
        let channel = if cfg!(feature = "qemu") { 2 } else { channel };
        unsafe { syscall::ecall(syscall::number::DEBUG_WRITE, channel as usize, bytes.as_ptr() as usize, bytes.len()) }
    }
    #[cfg(not(target_os = "none"))]
    {
        let _ = (channel, syscall::number::DEBUG_WRITE);
        crate::native::debug_write(bytes);
    }
}

/// The debug channel as a [`fmt::Write`]. Gathers a line's pieces, so that one line is one ecall where it fits.
pub struct DebugChannel {
    channel: u32,
    length: usize,
    buffer: [u8; 256],
}

impl DebugChannel {
    pub fn new(channel: u32) -> Self {
        DebugChannel { channel, length: 0, buffer: [0; 256] }
    }

    fn flush(&mut self) {
        if self.length > 0 {
            debug_write(self.channel, &self.buffer[..self.length]);
            self.length = 0;
        }
    }
}

impl fmt::Write for DebugChannel {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let bytes = text.as_bytes();
        if bytes.len() > self.buffer.len() - self.length {
            self.flush();
        }
        if bytes.len() > self.buffer.len() {
            debug_write(self.channel, bytes);
        } else {
            self.buffer[self.length..self.length + bytes.len()].copy_from_slice(bytes);
            self.length += bytes.len();
        }
        Ok(())
    }
}

impl Drop for DebugChannel {
    fn drop(&mut self) {
        self.flush();
    }
}

#[doc(hidden)]
pub fn write_line(channel: u32, arguments: fmt::Arguments) {
    use fmt::Write;
    let mut out = DebugChannel::new(channel);
    // The channel never fails, and a failing Display must not stop a run.
    let _ = out.write_fmt(arguments);
    let _ = out.write_str("\n");
}

/// As std's `println!`, on the debug channel. Costs steps; the output proves nothing.
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => { $crate::__write_line(1, ::core::format_args!($($argument)*)) };
}

/// As std's `eprintln!`, on the debug channel.
#[macro_export]
macro_rules! eprintln {
    ($($argument:tt)*) => { $crate::__write_line(2, ::core::format_args!($($argument)*)) };
}
