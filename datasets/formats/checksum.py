"""The checksum of long records, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from env_adapters.jit import kernel


@kernel
def crc_of(content: Any, tables: Any) -> Any:
    """CRC-32C of uint8[n], eight bytes at a time with the tables uint32[8, 256]."""
    crc = np.uint32(0xFFFFFFFF)
    whole = len(content) // 8 * 8
    for start in range(0, whole, 8):
        mixed = np.uint32(0)
        for byte in range(8):
            value = np.uint32(content[start + byte])
            if byte < 4:
                value ^= (crc >> np.uint32(8 * byte)) & np.uint32(0xFF)
            mixed ^= tables[7 - byte, value]
        crc = mixed
    for place in range(whole, len(content)):
        crc = tables[0, (crc ^ np.uint32(content[place])) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return crc ^ np.uint32(0xFFFFFFFF)
