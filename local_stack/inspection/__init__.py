"""Looks at what runs: states, links of the chain, the machine."""
