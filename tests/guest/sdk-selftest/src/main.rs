//! One guest for all SDK tests: the first input byte names the task, the rest is its argument. See tests/guest/test_sdk.py.
#![cfg_attr(target_os = "none", no_std, no_main)]

use blockproof_sdk::alloc::{boxed::Box, string::String, vec, vec::Vec};
use blockproof_sdk::uint256::{self, U256};
use blockproof_sdk::{eprintln, keccak256, println, read_input, region, secp256k1, sha256, write_output, Region};

blockproof_sdk::entry!(run);

fn run() {
    let (task, argument) = read_input().split_first().expect("a task");
    match task {
        0 => recover(argument),
        1 => verify(argument),
        2 => integers(argument),
        3 => hashes(argument),
        4 => allocator(),
        5 => memory_functions(),
        6 => output_in_pieces(argument),
        7 => panic!("panicked as asked: {}", argument.len()),
        8 => blockproof_sdk::syscall::exit(argument[0] as u64),
        9 => debug_text(),
        10 => raw_hashes(argument),
        11 => {
            let _ = deep(argument[0] as u64 * 1000);
        }
        other => panic!("no task {other}"),
    }
}

/// digest, signature, recovery id -> 1 and the key, or 0.
fn recover(argument: &[u8]) {
    let digest: &[u8; 32] = argument[..32].try_into().unwrap();
    let signature: &[u8; 64] = argument[32..96].try_into().unwrap();
    match region!("recover", secp256k1::recover(digest, signature, argument[96])) {
        Some(key) => {
            assert!(secp256k1::is_recovered_key(digest, signature, argument[96], &key));
            assert!(!secp256k1::is_recovered_key(digest, signature, argument[96] ^ 1, &key));
            assert!(secp256k1::verify(digest, signature, &key));
            let address = secp256k1::recover_address(digest, signature, argument[96]).unwrap();
            assert_eq!(address, keccak256(&key)[12..]);
            write_output(&[1]);
            write_output(&key);
        }
        None => write_output(&[0]),
    }
}

/// digest, signature, key -> 0 or 1.
fn verify(argument: &[u8]) {
    let digest = argument[..32].try_into().unwrap();
    let signature = argument[32..96].try_into().unwrap();
    let verified = secp256k1::verify(digest, signature, argument[96..160].try_into().unwrap());
    write_output(&[verified as u8]);
}

/// a, b, c, m -> a b + c (64 bytes, low limb first), (a b + c) mod m, a^b mod m, inverse of a mod m (0 where none).
fn integers(argument: &[u8]) {
    let number = |i: usize| -> U256 { uint256::from_be_bytes(argument[32 * i..32 * i + 32].try_into().unwrap()) };
    let (a, b, c, m) = (number(0), number(1), number(2), number(3));
    for limb in uint256::multiply_add(&a, &b, &c) {
        write_output(&limb.to_le_bytes());
    }
    write_output(&uint256::to_be_bytes(&uint256::multiply_add_mod(&a, &b, &c, &m)));
    write_output(&uint256::to_be_bytes(&uint256::power_mod(&a, &b, &m)));
    write_output(&uint256::to_be_bytes(&uint256::inverse_mod(&a, &m).unwrap_or(uint256::ZERO)));
    assert_eq!(uint256::square_times_mod(&a, 3, &m), uint256::power_mod(&a, &[8, 0, 0, 0], &m));
}

/// offset (1 byte), cut (1 byte), data -> digest of digests of data[offset..], in one piece and cut in two.
fn hashes(argument: &[u8]) {
    use sha2::Digest;
    use tiny_keccak::{Hasher, Xof};
    let data = &argument[2 + argument[0] as usize..];
    let (first, second) = data.split_at((argument[1] as usize).min(data.len()));
    let mut all = Vec::new();
    macro_rules! tiny {
        ($hasher:expr, $length:literal) => {{
            let mut hasher = $hasher;
            hasher.update(first);
            hasher.update(second);
            let mut digest = [0u8; $length];
            hasher.finalize(&mut digest);
            all.extend_from_slice(&digest);
        }};
    }
    tiny!(tiny_keccak::Keccak::v256(), 32);
    tiny!(tiny_keccak::Keccak::v512(), 64);
    tiny!(tiny_keccak::Sha3::v224(), 28);
    tiny!(tiny_keccak::Sha3::v256(), 32);
    tiny!(tiny_keccak::Sha3::v384(), 48);
    tiny!(tiny_keccak::Sha3::v512(), 64);
    tiny!(tiny_keccak::Shake::v128(), 300);
    tiny!(tiny_keccak::CShake::v256(b"", b"custom"), 200);
    let mut shake = tiny_keccak::Shake::v256();
    shake.update(data);
    let mut pieces = [0u8; 205];
    let (head, tail) = pieces.split_at_mut(131);
    shake.squeeze(head);
    shake.squeeze(tail);
    all.extend_from_slice(&pieces);
    macro_rules! sha2 {
        ($($name:ident)*) => {$(
            all.extend_from_slice(&sha2::$name::digest(data));
            let mut hasher = sha2::$name::new();
            hasher.update(first);
            hasher.update(second);
            all.extend_from_slice(&hasher.finalize());
        )*};
    }
    sha2!(Sha224 Sha256 Sha384 Sha512 Sha512_224 Sha512_256);
    all.extend_from_slice(&keccak256(data));
    all.extend_from_slice(&sha256(data));
    let mut split = blockproof_sdk::sha256::Sha256::new();
    split.update(first);
    split.update(second);
    all.extend_from_slice(&split.finalize());
    {
        use hmac::Mac;
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(first).unwrap();
        mac.update(second);
        all.extend_from_slice(&mac.finalize().into_bytes());
    }
    all.extend_from_slice(bs58::encode(first).with_check().into_string().as_bytes());
    write_output(&sha256(&all));
    write_output(&(all.len() as u64).to_le_bytes());
}

/// data -> keccak256 and sha256 of it by the SDK alone; for counting steps.
fn raw_hashes(argument: &[u8]) {
    write_output(&region!("keccak", keccak256(argument)));
    write_output(&region!("sha256", sha256(argument)));
}

fn allocator() {
    // The last block grows where it lies, and is given back.
    let mut grown: Vec<u64> = Vec::new();
    for i in 0..10_000 {
        grown.push(i);
    }
    assert_eq!(grown.iter().sum::<u64>(), 49_995_000);
    drop(grown);
    // Zeroed memory is zero, also where memory was used and given back.
    for round in 0..50usize {
        let zeroed = vec![0u8; 1000 + 37 * round];
        assert!(zeroed.iter().all(|byte| *byte == 0));
        drop(zeroed);
        let dirty = vec![0xa5u8; 2000 + 11 * round];
        assert_eq!(dirty[dirty.len() - 1], 0xa5);
        drop(dirty);
    }
    // A block that is not the last moves when it grows and keeps its content.
    let mut first: Vec<u8> = (0..100).collect();
    let second = Box::new([7u64; 16]);
    first.extend(100..200);
    first.shrink_to_fit();
    assert!(first.iter().enumerate().all(|(i, byte)| i == *byte as usize));
    assert!(second.iter().all(|word| *word == 7));
    // Alignment beyond the least.
    #[repr(align(256))]
    struct Aligned(u8);
    let aligned = Box::new(Aligned(3));
    assert_eq!(&*aligned as *const Aligned as usize % 256, 0);
    assert_eq!(aligned.0, 3);
    let shared = blockproof_sdk::alloc::sync::Arc::new(String::from("Arc"));
    assert_eq!(*shared.clone(), "Arc");
    write_output(b"ok");
}

/// memcpy, memmove, memset, memcmp against loops over bytes that the compiler cannot recognise.
fn memory_functions() {
    use core::hint::black_box;
    let mut state = 12345u64;
    let mut random = move |bound: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % bound
    };
    for _ in 0..3000 {
        let original: Vec<u8> = (0..160).map(|_| random(256) as u8).collect();
        let (length, from, to) = (random(81), random(80), random(80));
        let mut moved = original.clone();
        moved.copy_within(black_box(from)..black_box(from + length), black_box(to));
        for i in 0..160 {
            let expected = if i >= to && i < to + length { original[from + i - to] } else { original[i] };
            assert_eq!(moved[i], expected, "memmove {from} {to} {length} at {i}");
        }
        let mut copied = vec![0u8; 160];
        copied[to..to + length].copy_from_slice(black_box(&original[from..from + length]));
        for i in 0..160 {
            let expected = if i >= to && i < to + length { original[from + i - to] } else { 0 };
            assert_eq!(copied[i], expected, "memcpy {from} {to} {length} at {i}");
        }
        let byte = random(256) as u8;
        let mut filled = original.clone();
        filled[to..to + length].fill(black_box(byte));
        for i in 0..160 {
            let expected = if i >= to && i < to + length { byte } else { original[i] };
            assert_eq!(filled[i], expected, "memset {to} {length} at {i}");
        }
        let mut other = original[from..from + length].to_vec();
        if length > 0 && random(3) > 0 {
            other[random(length)] ^= 1 << random(8);
        }
        let mut expected = core::cmp::Ordering::Equal;
        for i in (0..length).rev() {
            if other[i] != original[from + i] {
                expected = other[i].cmp(&original[from + i]);
            }
        }
        assert_eq!(black_box(&other[..]).cmp(&original[from..from + length]), expected);
        assert_eq!(black_box(&other[..]) == &original[from..from + length], expected.is_eq());
    }
    write_output(b"ok");
}

/// Pieces of argument[0] bytes, argument[1] of them.
fn output_in_pieces(argument: &[u8]) {
    for i in 0..argument[1] {
        write_output(&vec![i; argument[0] as usize]);
    }
}

fn debug_text() {
    println!("to stdout {}", 1);
    eprintln!("to stderr {:?}", Some(2));
    println!("{}", "long ".repeat(100));
    let _outer = Region::enter("outer");
    region!("inner", println!("inside"));
    write_output(b"ok");
}

/// Uses the stack.
#[inline(never)]
fn deep(depth: u64) -> u64 {
    let frame = core::hint::black_box([depth; 32]);
    if depth == 0 {
        return frame[0];
    }
    deep(depth - 1) + frame[5]
}
