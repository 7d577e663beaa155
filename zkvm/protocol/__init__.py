"""The proof system: transcript, commitments, FRI, prover and verifier. Read verify.py first."""
