"""Reads a results file the way a user does, with h5py and pandas alone, and checks that it holds what it promises.

usage: read_store.py FILE TABLE     exit code 0: as promised, 1: not, 77: h5py or pandas is not installed
"""

import sys

try:
    import h5py
    import pandas as pd
except ImportError as missing:
    print(missing)
    sys.exit(77)


def frame(group):
    return pd.DataFrame({c: (group[c].asstr() if h5py.check_string_dtype(group[c].dtype) else group[c])[()]
                         for c in group.attrs["waferbench_columns"]})


def problems(file, name):
    group = file[name]
    table = frame(group)
    if len(table) != len(group["row_id"]) or list(table.columns) != list(group.attrs["waferbench_columns"]):
        yield "the frame has another shape than the group"
    for column in table.columns:
        dataset = group[column]
        if h5py.check_string_dtype(dataset.dtype) and not all(isinstance(text, str) for text in table[column]):
            yield f"{column}: not text"
        if not h5py.check_string_dtype(dataset.dtype) and not dataset.attrs["units"]:
            yield f"{column}: no units"
        if not dataset.attrs["kind"]:
            yield f"{column}: no kind"
        if dataset.dims[0][0].name != f"/{name}/row_id":
            yield f"{column}: no dimension scale"
        if len(dataset.attrs) >= 8:
            yield f"{column}: {len(dataset.attrs)} attributes, dense storage may begin"
        if dataset.dtype != object and len(table) and not (dataset.fletcher32 and dataset.shuffle and
                                                           dataset.compression == "gzip"):
            yield f"{column}: filters are {dataset.compression}, {dataset.shuffle}, {dataset.fletcher32}"
    if file["integrity"].attrs["closed"] != 1:
        yield "closed is not 1"
    integrity = frame(file["integrity"])
    if f"/{name}" not in set(integrity.path):
        yield "the table is not in /integrity"


def main():
    path, name = sys.argv[1:]
    with h5py.File(path, "r") as file:
        found = list(problems(file, name))
        print(frame(file[name]).to_string())
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
