"""The collector: a block and its execution witness from a node's JSON-RPC."""
