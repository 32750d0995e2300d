"""How much a compressed file may unpack to, so that a small one cannot fill the memory."""

from tinygrad_nn.errors import DatasetError


def allowed(size: int, max_bytes: int | None) -> int:
    """Return how many bytes arrays may take that come from a file of `size` bytes."""
    return max(100 * size, 64_000_000) if max_bytes is None else max_bytes


def check_size(total: int, limit: int, reader: str) -> None:
    """Raise `DatasetError` for an array of more bytes than are allowed, before any of it is unpacked."""
    if total > limit:
        raise DatasetError(
            f"{total:,} bytes, where {max(limit, 0):,} are allowed\n"
            f"  hint   {reader}(path, max_bytes=...) if you trust it"
        )
