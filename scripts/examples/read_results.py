#!/usr/bin/env python3
"""Reads a results file with h5py and pandas alone and prints a table. usage: read_results.py FILE.h5 [TABLE]"""
import sys

import h5py
import pandas as pd

path, name = (sys.argv[1:] + ["cases"])[:2]
with h5py.File(path, "r") as file:
    group = file[name]
    columns = {c: group[c].asstr()[()] if h5py.check_string_dtype(group[c].dtype) else group[c][()]
               for c in group.attrs["waferbench_columns"]}
table = pd.DataFrame(columns)  # the unit of a column: group[c].attrs["units"]
if name == "cases":
    table = table[["label", "system", "units", "backend", "kind", "status", "time_s", "noise", "verified"]]
print(table.to_string(index=False, float_format="{:.4g}".format))
