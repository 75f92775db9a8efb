"""A TCP tunnel: what arrives at one end is written at the other, no faster than it is taken."""

import asyncio


class End(asyncio.Protocol):
    """Gives what it receives to the transport `other`.

    One end may close its half for writing and still receive; the tunnel is closed when both have.
    """

    def __init__(self, other: asyncio.Transport) -> None:
        self._other = other
        self.has_ended = False

    def data_received(self, data: bytes) -> None:
        """Pass the data on."""
        self._other.write(data)

    def eof_received(self) -> bool:
        """Pass the end of the data on; keep this end open for what is still to be written to it."""
        other = self._other.get_protocol()
        self.has_ended = True
        if isinstance(other, End) and other.has_ended:
            self._other.close()
            return False
        self._other.write_eof()
        return True

    def pause_writing(self) -> None:
        """This end is slow: read no more at the other."""
        self._other.pause_reading()

    def resume_writing(self) -> None:
        """This end has caught up."""
        self._other.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """An end that is gone takes the other with it, after what was written to that."""
        self._other.close()
