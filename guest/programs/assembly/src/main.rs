//! A program in RISC-V assembly: program.s, entered by start.s. Nothing of it in the machine is Rust.
//!
//! Input: any bytes. Output: six doublewords, see program.s. A native run computes the same in Rust, below; under qemu the SDK
//! brings the input and takes the output.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
core::arch::global_asm!(include_str!("program.s"));

#[cfg(all(target_os = "none", not(feature = "qemu")))]
mod machine {
    core::arch::global_asm!(include_str!("start.s"));

    /// Required by the language, reached by nothing.
    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        loop {}
    }
}

#[cfg(all(target_os = "none", feature = "qemu"))]
mod qemu {
    extern "C" {
        fn program();
    }
    blockproof_sdk::entry!(run);
    fn run() {
        unsafe { program() }
    }
}

#[cfg(not(target_os = "none"))]
blockproof_sdk::entry!(twin);

/// What program.s computes.
#[cfg(not(target_os = "none"))]
fn twin() {
    let input = blockproof_sdk::read_input();
    let sum: u64 = input.iter().map(|byte| *byte as u64).sum();
    let mut crc = u32::MAX;
    for byte in input {
        crc ^= *byte as u32;
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    let crc = !crc as u64;
    let (mut larger, mut smaller) = (sum + 1, crc + 1);
    while smaller != 0 {
        (larger, smaller) = (smaller, larger % smaller);
    }
    let mut checksum = 0x9e37_8000_u32 as i32 as u64;
    let mut padded = input.to_vec();
    padded.resize((input.len() / 8 + 1) * 8, 0);
    for word in padded.chunks_exact(8) {
        checksum = mix(checksum, u64::from_le_bytes(word.try_into().unwrap()));
    }
    let mut sorted = input.to_vec();
    sorted.sort_unstable();
    let median = if sorted.is_empty() { 0 } else { sorted[(sorted.len() + 1) / 2 - 1] } as u64;
    for word in [input.len() as u64, sum, crc, larger, checksum, median] {
        blockproof_sdk::write_output(&word.to_le_bytes());
    }
}

#[cfg(not(target_os = "none"))]
fn mix(mut x: u64, y: u64) -> u64 {
    let word = |value: i32| value as i64 as u64;
    let operations: [&dyn Fn(u64) -> u64; 42] = [
        &|x| x.wrapping_add(y),
        &|x| x.wrapping_sub(y),
        &|x| x ^ y,
        &|x| x | y,
        &|x| x & y,
        &|x| x << (y & 63),
        &|x| x >> (y & 63),
        &|x| (x as i64 >> (y & 63)) as u64,
        &|x| ((x as i64) < y as i64) as u64,
        &|x| (x < y) as u64,
        &|x| word((x as i32).wrapping_add(y as i32)),
        &|x| word((x as i32).wrapping_sub(y as i32)),
        &|x| word((x as i32) << (y & 31)),
        &|x| word((x as u32 >> (y & 31)) as i32),
        &|x| word(x as i32 >> (y & 31)),
        &|x| x.wrapping_mul(y),
        &|x| ((x as i64 as i128 * y as i64 as i128) >> 64) as u64,
        &|x| ((x as i64 as i128 * y as i128) >> 64) as u64,
        &|x| ((x as u128 * y as u128) >> 64) as u64,
        &|x| if y == 0 { u64::MAX } else { (x as i64).wrapping_div(y as i64) as u64 },
        &|x| if y == 0 { u64::MAX } else { x / y },
        &|x| if y == 0 { x } else { (x as i64).wrapping_rem(y as i64) as u64 },
        &|x| if y == 0 { x } else { x % y },
        &|x| word((x as i32).wrapping_mul(y as i32)),
        &|x| word(if y as i32 == 0 { -1 } else { (x as i32).wrapping_div(y as i32) }),
        &|x| word(if y as u32 == 0 { -1 } else { (x as u32 / y as u32) as i32 }),
        &|x| word(if y as i32 == 0 { x as i32 } else { (x as i32).wrapping_rem(y as i32) }),
        &|x| word(if y as u32 == 0 { x as i32 } else { (x as u32 % y as u32) as i32 }),
        &|x| x.wrapping_sub(1234),
        &|x| !x,
        &|x| x | 0x555,
        &|x| x & 256u64.wrapping_neg(),
        &|x| x << 41,
        &|x| x >> 7,
        &|x| (x as i64 >> 9) as u64,
        &|x| ((x as i64) < 77) as u64,
        &|x| (x < 5u64.wrapping_neg()) as u64,
        &|x| word((x as i32).wrapping_add(2047)),
        &|x| word((x as i32) << 13),
        &|x| word((x as u32 >> 3) as i32),
        &|x| word(x as i32 >> 6),
        &|_| word(i32::MIN),
    ];
    for operation in operations {
        x = fold(x, operation(x));
    }
    let mut scratch = [0u8; 16];
    scratch[1..9].copy_from_slice(&y.to_le_bytes());
    scratch[9..13].copy_from_slice(&(x as u32).to_le_bytes());
    scratch[13..15].copy_from_slice(&(x as u16).to_le_bytes());
    scratch[15] = x as u8;
    let at = |start: usize, count: usize| {
        let mut bytes = [0u8; 8];
        bytes[..count].copy_from_slice(&scratch[start..start + count]);
        u64::from_le_bytes(bytes)
    };
    x = fold(x, at(4, 1) as i8 as u64);
    x = fold(x, at(15, 1));
    x = fold(x, at(5, 2) as i16 as u64);
    x = fold(x, at(7, 2));
    x = fold(x, at(9, 4) as i32 as u64);
    x = fold(x, at(6, 4));
    x = fold(x, at(5, 8));
    let (signed_x, signed_y) = (x as i64, y as i64);
    let not_taken = [x != y, x == y, signed_x >= signed_y, signed_x < signed_y, x >= y, x < y];
    let bits: u64 = not_taken.iter().enumerate().map(|(i, bit)| (*bit as u64) << i).sum();
    x.wrapping_add(bits)
}

#[cfg(not(target_os = "none"))]
fn fold(x: u64, result: u64) -> u64 {
    x.wrapping_add(x << 5).wrapping_add(result)
}
