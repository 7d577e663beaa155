//! The machine's ecalls, one function each; numbers and meaning are docs/specs/machine.md's.
//!
//! Operands lie in memory, in 64-bit limbs, least significant first. Outside the machine (natively, under qemu) the same
//! functions compute the same values in software. What traps in the machine panics there.

#[cfg(any(not(target_os = "none"), feature = "qemu"))]
use crate::software;

/// An affine point `[x, y]`: two 256-bit integers of four limbs, least significant first.
pub type Point = [u64; 8];

/// ecall numbers.
pub mod number {
    pub const EXIT: u64 = 93;
    pub const DEBUG_WRITE: u64 = 64;
    pub const REGION_BEGIN: u64 = 0x1001;
    pub const REGION_END: u64 = 0x1002;
    pub const KECCAK_F: u64 = 0x2001;
    pub const SHA256_COMPRESS: u64 = 0x2002;
    pub const SECP256K1_ADD: u64 = 0x2003;
    pub const SECP256K1_DOUBLE: u64 = 0x2004;
    pub const ARITH256: u64 = 0x2005;
    pub const ARITH256_MOD: u64 = 0x2006;
}

/// One ecall with up to three arguments. It changes no register; memory as the called number says.
#[cfg(target_os = "none")]
#[inline(always)]
pub(crate) unsafe fn ecall(number: u64, a0: usize, a1: usize, a2: usize) {
    core::arch::asm!("ecall", in("a7") number, in("a0") a0, in("a1") a1, in("a2") a2, options(nostack));
}

#[cfg(all(target_os = "none", not(feature = "qemu")))]
#[inline(always)]
unsafe fn ecall1(number: u64, a0: usize) {
    core::arch::asm!("ecall", in("a7") number, in("a0") a0, options(nostack));
}

#[cfg(all(target_os = "none", not(feature = "qemu")))]
#[inline(always)]
unsafe fn ecall2(number: u64, a0: usize, a1: usize) {
    core::arch::asm!("ecall", in("a7") number, in("a0") a0, in("a1") a1, options(nostack));
}

/// Ends the run. Only code 0 can be proven.
pub fn exit(code: u64) -> ! {
    #[cfg(target_os = "none")]
    {
        #[cfg(feature = "qemu")]
        crate::qemu::flush_output(code);
        unsafe { ecall(number::EXIT, code as usize, 0, 0) };
        // Not reached: the machine has halted. A loop, because nothing may follow in memory.
        loop {}
    }
    #[cfg(not(target_os = "none"))]
    crate::native::exit(code)
}

/// The Keccak-f\[1600\] permutation in place; lane (x, y) is `state[x + 5 * y]` (FIPS 202).
#[inline(always)]
pub fn keccak_f(state: &mut [u64; 25]) {
    #[cfg(all(target_os = "none", not(feature = "qemu")))]
    unsafe {
        ecall1(number::KECCAK_F, state.as_mut_ptr() as usize)
    }
    #[cfg(any(not(target_os = "none"), feature = "qemu"))]
    software::keccak_f(state)
}

/// A SHA-256 state: eight words, aligned as the ecall wants its pointers.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sha256State(pub [u32; 8]);

/// A SHA-256 block of raw message bytes, aligned as the ecall wants its pointers.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct Sha256Block(pub [u8; 64]);

/// The SHA-256 compression function: `state := compress(state, block)` (FIPS 180-4, 6.2.2).
#[inline(always)]
pub fn sha256_compress(state: &mut Sha256State, block: &Sha256Block) {
    // SAFETY: a reference to a block is a readable pointer to 64 bytes, aligned to 8.
    unsafe { sha256_compress_at(state, block.0.as_ptr()) }
}

/// As [`sha256_compress`], on a block anywhere in memory.
///
/// # Safety
/// `block` points to 64 readable bytes and is a multiple of 8.
#[inline(always)]
pub unsafe fn sha256_compress_at(state: &mut Sha256State, block: *const u8) {
    #[cfg(all(target_os = "none", not(feature = "qemu")))]
    ecall2(number::SHA256_COMPRESS, state.0.as_mut_ptr() as usize, block as usize);
    #[cfg(any(not(target_os = "none"), feature = "qemu"))]
    software::sha256_compress(&mut state.0, &*block.cast::<[u8; 64]>())
}

/// `p := p + q` on y^2 = x^3 + 7 over the secp256k1 prime, by the chord formula.
///
/// Traps unless all coordinates are below the prime and the two x differ. Neither point is checked to be on the curve.
#[inline(always)]
pub fn secp256k1_add(p: &mut Point, q: &Point) {
    #[cfg(all(target_os = "none", not(feature = "qemu")))]
    unsafe {
        ecall2(number::SECP256K1_ADD, p.as_mut_ptr() as usize, q.as_ptr() as usize)
    }
    #[cfg(any(not(target_os = "none"), feature = "qemu"))]
    software::secp256k1_add(p, q)
}

/// `p := 2p` by the tangent formula. Traps unless the coordinates are below the prime and y is not 0.
#[inline(always)]
pub fn secp256k1_double(p: &mut Point) {
    #[cfg(all(target_os = "none", not(feature = "qemu")))]
    unsafe {
        ecall1(number::SECP256K1_DOUBLE, p.as_mut_ptr() as usize)
    }
    #[cfg(any(not(target_os = "none"), feature = "qemu"))]
    software::secp256k1_double(p)
}

/// `a * b + c` as 512 bits, low limb first; `operands` is a, b, c.
#[inline(always)]
pub fn arith256(operands: &[u64; 12], result: &mut [u64; 8]) {
    #[cfg(all(target_os = "none", not(feature = "qemu")))]
    unsafe {
        ecall2(number::ARITH256, operands.as_ptr() as usize, result.as_mut_ptr() as usize)
    }
    #[cfg(any(not(target_os = "none"), feature = "qemu"))]
    software::arith256(operands, result)
}

/// `(a * b + c) mod m`, in [0, m); `operands` is a, b, c, m, any 256-bit values. Traps when m is 0.
#[inline(always)]
pub fn arith256_mod(operands: &[u64; 16], result: &mut [u64; 4]) {
    // SAFETY: both pointers come from references of the right size.
    unsafe { arith256_mod_at(operands.as_ptr(), result.as_mut_ptr()) }
}

/// As [`arith256_mod`], where the result may lie among the operands (all are read before it is written).
///
/// # Safety
/// `operands` points to 16 readable words, `result` to 4 writable ones.
#[inline(always)]
pub unsafe fn arith256_mod_at(operands: *const u64, result: *mut u64) {
    #[cfg(all(target_os = "none", not(feature = "qemu")))]
    ecall2(number::ARITH256_MOD, operands as usize, result as usize);
    #[cfg(any(not(target_os = "none"), feature = "qemu"))]
    {
        let value = software::arith256_mod(&*operands.cast::<[u64; 16]>());
        result.cast::<[u64; 4]>().write(value);
    }
}
