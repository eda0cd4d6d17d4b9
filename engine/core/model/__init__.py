"""The nouns, frozen: what the core is told, what it decides, and the language compiled.

Plain data without behaviour. Read in this order: `instants`, `conditions`, `steps`, `campaigns`,
`people`, `gates`, `effects`; then `engine.core.segments`, `journeys`, `policy` and `play`.
"""
