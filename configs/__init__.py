"""One experiment a file: `get_config(variant)`."""
