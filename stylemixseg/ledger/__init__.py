"""The reproduction ledger: the paper's numbers and claims beside ours."""
