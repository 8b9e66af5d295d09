"""One experiment per file, each with a `get_config(variant)`."""
