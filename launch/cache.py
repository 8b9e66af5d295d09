"""Shows where decoded images are cached, or empties the cache.

python -m launch.cache [--clear]
"""

import argparse
import sys

from infojax.data import cache


def main(argv: list[str] | None = None) -> int:
    """Prints the cache's directory and size, or the bytes freed; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m launch.cache", description=__doc__)
    parser.add_argument("--clear", action="store_true", help="remove all cached images")
    arguments = parser.parse_args(argv)
    try:
        if arguments.clear:
            print(f"{cache.directory()}: {cache.clear() / 2**20:.1f} MiB freed")
        else:
            files = cache.contents()
            size = sum(path.stat().st_size for path in files)
            print(f"{cache.directory()}: {len(files)} files, {size / 2**20:.1f} MiB")
    except OSError as error:
        print(f"launch.cache: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
