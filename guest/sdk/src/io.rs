//! Private input and public output.

use crate::layout::OUTPUT_LIMIT;

/// The whole private input, where it lies: nothing is copied, every call gives the same bytes.
#[inline]
pub fn read_input() -> &'static [u8] {
    #[cfg(target_os = "none")]
    {
        use crate::layout::{INPUT_END, INPUT_START};
        // SAFETY: the machine laid the input out before the first step; nothing here ever writes to it.
        // The length is the prover's word like the bytes themselves, so it is bounded before it is used.
        let length = unsafe { (INPUT_START as *const u64).read() } as usize;
        assert!(length <= INPUT_END - INPUT_START - 8, "input length runs over the input region");
        unsafe { core::slice::from_raw_parts((INPUT_START + 8) as *const u8, length) }
    }
    #[cfg(not(target_os = "none"))]
    crate::native::read_input()
}

/// Appends to the public output. Several calls concatenate; panics when the whole would pass 256 bytes.
pub fn write_output(bytes: &[u8]) {
    #[cfg(target_os = "none")]
    {
        use crate::layout::OUTPUT_START;
        let length_cell = OUTPUT_START as *mut u64;
        // SAFETY: the output region belongs to this function alone and starts as zeros.
        unsafe {
            let length = length_cell.read() as usize;
            assert!(bytes.len() <= OUTPUT_LIMIT - length, "public output is limited to {OUTPUT_LIMIT} bytes");
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), (OUTPUT_START + 8 + length) as *mut u8, bytes.len());
            length_cell.write((length + bytes.len()) as u64);
        }
    }
    #[cfg(not(target_os = "none"))]
    assert!(crate::native::write_output(bytes, OUTPUT_LIMIT), "public output is limited to {OUTPUT_LIMIT} bytes");
}
