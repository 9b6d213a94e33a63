"""Makes tests/data/table with pyarrow and NumPy. Run: python tests/data/make_table.py

Every table has N points, of which point i has the coordinates (i // 30, i % 7 + 0.5, -i), the value
(i * 37 % 101) / 8 in float32 and the channel i % 3. In files called nulls, every fifth value is
absent. The blobs are MagellanMapper's: the radius is the value + 1, flags are -1, the region is i.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent / "table"
N = 240


def table(nulls=False):
    i = np.arange(N)
    value = ((i * 37 % 101) / 8).astype("f4")
    return pa.table(
        {
            "axis-0": pa.array(i // 30, "int32"),
            "axis-1": pa.array(i % 7 + 0.5),
            "value": pa.array(value, mask=(i % 5 == 0) if nulls else None),
            "axis-2": pa.array(-i, "int64"),
            "channel": pa.array(i % 3, "uint8"),
        }
    )


def save(name, table, **options):
    pq.write_table(table, HERE / f"{name}.parquet", **options)


def blobs(columns):
    i = np.arange(N)
    value = ((i * 37 % 101) / 8).astype("f4")
    unset = np.full(N, -1.0)
    of = {
        "z": i // 30, "y": i % 7 + 0.5, "x": -i, "radius": value + 1, "confirmed": unset,
        "truth": unset, "channel": i % 3, "region": i,
    }
    return np.stack([of[c].astype("f8") for c in columns], axis=1)


def main():
    HERE.mkdir(exist_ok=True)
    for old in HERE.iterdir():
        old.unlink()
    for codec in ("none", "snappy", "gzip", "zstd"):
        save(codec, table(), compression=codec)
    save("plain", table(), use_dictionary=False, row_group_size=50)
    save("pages", table(), data_page_size=100, write_batch_size=10, row_group_size=100)
    save("nulls", table(nulls=True))
    save("nulls-plain", table(nulls=True), use_dictionary=False)
    save("no-rows", table()[:0])
    save("version-2", table(), data_page_version="2.0", compression="snappy")
    save("version-2-nulls", table(nulls=True), data_page_version="2.0", compression="zstd")
    save("unknown-text", table().append_column("name", pa.array(["a"] * N)))
    save("unknown-list", table().append_column("list", pa.array([[1]] * N)))
    save("unknown-codec", table(), compression="brotli")
    save("unknown-encoding", table(), use_dictionary=False, column_encoding="BYTE_STREAM_SPLIT")

    columns = ["z", "y", "x", "radius", "confirmed", "truth", "channel", "region"]
    whole = {
        "ver": 5, "segments": blobs(columns), "resolutions": np.array([[5.0, 2.0, 1.5]]),
        "basename": "brain", "offset": np.zeros(3, int), "roi_size": np.array([9, 8, 300]),
        "colocs": None, "columns": columns,
    }
    np.savez(HERE / "whole_blobs.npz", **whole)
    np.savez(HERE / "oldest_blobs.npz", segments=blobs(columns[:7]))
    np.savez(HERE / "big-endian_blobs.npz", segments=blobs(columns).astype(">f8"))
    # Version 4 named columns that it did not have.
    named = columns[:7] + ["abs_z", "abs_y", "abs_x"]
    np.savez(HERE / "version-4_blobs.npz", ver=4, segments=blobs(columns[:7]), columns=named)
    np.savez_compressed(HERE / "unknown-compressed_blobs.npz", **whole)
    np.savez(HERE / "unknown-none_blobs.npz", segments=None)


main()
