"""What stored bytes, URLs and templates must never do, as targets for a fuzzer."""
