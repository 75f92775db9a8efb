"""A small jq for machines without one: a filter over standard input, by the jq library's own engine."""

import argparse
import json
import sys

import jq


def main() -> int:
    """Run one filter, as `jq [-r] [-c] FILTER [FILE]` does."""
    parser = argparse.ArgumentParser(prog="jq", description="A filter over JSON.")
    parser.add_argument("-r", "--raw-output", action="store_true", help="strings without quotes")
    parser.add_argument("-c", "--compact-output", action="store_true", help="one line a result")
    parser.add_argument("filter")
    parser.add_argument("file", nargs="?", type=argparse.FileType(), default=sys.stdin)
    arguments = parser.parse_args()
    try:
        results = jq.compile(arguments.filter).input_text(arguments.file.read())
        for result in results:
            if arguments.raw_output and isinstance(result, str):
                print(result)
            else:
                print(json.dumps(result, indent=None if arguments.compact_output else 2, ensure_ascii=False))
    except ValueError as error:
        print(f"jq: error: {error}", file=sys.stderr)
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
