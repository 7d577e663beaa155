//! `stateless [--post-state] FILE...`: the verdict on each input file, natively: path, the 43 bytes in hex, the reason
//! where flag 0. With --post-state the new nodes and codes of a block under an unbound revision come first, a line each.

use blockproof_stateless::{validate, Platform, Silent, StatePart, Verdict};
use revm::primitives::hex;

/// Prints post-states as the block guest does on its debug channel.
struct Printing;

impl Platform for Printing {
    fn post_state(&self, part: StatePart<'_>) {
        match part {
            StatePart::Node(node) => println!("node {}", hex::encode(node)),
            StatePart::Code(code) => println!("code {}", hex::encode(code)),
        }
    }
}

fn main() {
    let mut platform: &dyn Platform = &Silent;
    for path in std::env::args().skip(1) {
        if path == "--post-state" {
            platform = &Printing;
            continue;
        }
        let input = match std::fs::read(&path) {
            Ok(input) => input,
            Err(error) => {
                eprintln!("{path}: {error}");
                std::process::exit(2);
            }
        };
        let verdict = validate(&input, platform);
        let hex = hex::encode(verdict.output());
        let reason = match &verdict {
            Verdict::Undecodable => "undecodable".into(),
            Verdict::Decoded { validity: Err(reason), .. } => format!("invalid: {reason}"),
            Verdict::Decoded { .. } => "valid".into(),
        };
        println!("{path} {hex} {reason}");
    }
}
