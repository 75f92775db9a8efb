"""A small curl for machines without one: libcurl itself, by the wheel of pycurl, with curl's common options.

The progress meter, proxies and error codes are libcurl's own; the options are those that scripts use most.
"""

import argparse
import importlib
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="curl", description="Transfer a URL, by libcurl.")
    parser.add_argument("url", nargs="+")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("-s", "--silent", action="store_true", help="no meter, no error text")
    parser.add_argument("-S", "--show-error", action="store_true", help="error text in spite of -s")
    parser.add_argument("-f", "--fail", action="store_true", help="no body and exit code 22 from status 400 on")
    parser.add_argument("-L", "--location", action="store_true", help="follow redirects")
    parser.add_argument("-i", "--include", action="store_true", help="print the answer's headers too")
    parser.add_argument("-k", "--insecure", action="store_true", help="do not verify certificates")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what is done, on standard error")
    parser.add_argument("-o", "--output", help="write the body to this file")
    parser.add_argument("-X", "--request", help="the method")
    parser.add_argument("-d", "--data", action="append", default=[], help="post this; @FILE reads it")
    parser.add_argument("-m", "--max-time", type=float, default=0, help="seconds for the whole transfer")
    parser.add_argument("--cacert", help="authorities to trust")
    parser.add_argument("-w", "--write-out", default="", help="print %%{http_code} and \\n afterwards")
    return parser


def _data(arguments: argparse.Namespace) -> bytes | None:
    if not arguments.data:
        return None
    parts = [Path(part[1:]).read_bytes() if part.startswith("@") else part.encode() for part in arguments.data]
    return b"&".join(parts)


def _configure(pycurl: Any, curl: Any, arguments: argparse.Namespace, url: str) -> None:
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.USERAGENT, "curl/" + pycurl.version.split("libcurl/")[1].split()[0])
    curl.setopt(pycurl.HTTPHEADER, arguments.header)
    curl.setopt(pycurl.FAILONERROR, arguments.fail)
    curl.setopt(pycurl.FOLLOWLOCATION, arguments.location)
    curl.setopt(pycurl.VERBOSE, arguments.verbose)
    curl.setopt(pycurl.TIMEOUT_MS, int(arguments.max_time * 1000))
    curl.setopt(pycurl.SSL_VERIFYPEER, not arguments.insecure)
    authorities = arguments.cacert or os.environ.get("CURL_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    if authorities:
        curl.setopt(pycurl.CAINFO, authorities)
    to_terminal = arguments.output is None and sys.stdout.isatty()
    curl.setopt(pycurl.NOPROGRESS, arguments.silent or to_terminal)
    data = _data(arguments)
    if data is not None:
        curl.setopt(pycurl.POSTFIELDS, data)
    if arguments.request:
        curl.setopt(pycurl.CUSTOMREQUEST, arguments.request)


def _transfer(pycurl: Any, arguments: argparse.Namespace, url: str) -> int:
    with ExitStack() as stack:
        out = stack.enter_context(Path(arguments.output).open("wb")) if arguments.output else sys.stdout.buffer
        curl = pycurl.Curl()
        stack.callback(curl.close)
        _configure(pycurl, curl, arguments, url)
        curl.setopt(pycurl.WRITEDATA, out)
        if arguments.include:
            curl.setopt(pycurl.HEADERFUNCTION, out.write)
        try:
            curl.perform()
        except pycurl.error as error:
            code, text = error.args
            if not arguments.silent or arguments.show_error:
                print(f"curl: ({code}) {text}", file=sys.stderr)
            return int(code)
        out.flush()
        status = str(curl.getinfo(pycurl.RESPONSE_CODE))
        sys.stdout.write(arguments.write_out.replace("%{http_code}", status).replace("\\n", "\n"))
    return 0


def main() -> int:
    """Transfer every URL; the exit code is libcurl's of the last that failed."""
    arguments = _parser().parse_intermixed_args()
    pycurl = importlib.import_module("pycurl")
    code = 0
    for url in arguments.url:
        code = _transfer(pycurl, arguments, url) or code
    return code


if __name__ == "__main__":
    sys.exit(main())
