"""One case list, tolerances and the machinery that holds any backend against the reference."""
