//! `stateless FILE...`: the verdict on each input file, natively: path, the 43 bytes in hex, the reason where flag 0.

use blockproof_stateless::{validate, Silent, Verdict};

fn main() {
    for path in std::env::args().skip(1) {
        let input = match std::fs::read(&path) {
            Ok(input) => input,
            Err(error) => {
                eprintln!("{path}: {error}");
                std::process::exit(2);
            }
        };
        let verdict = validate(&input, &Silent);
        let hex: String = verdict.output().iter().map(|byte| format!("{byte:02x}")).collect();
        let reason = match &verdict {
            Verdict::Undecodable => "undecodable".into(),
            Verdict::Decoded { validity: Err(reason), .. } => format!("invalid: {reason}"),
            Verdict::Decoded { .. } => "valid".into(),
        };
        println!("{path} {hex} {reason}");
    }
}
