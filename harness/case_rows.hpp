#pragma once

#include <vector>

#include "harness/result.hpp"
#include "harness/table_builder.hpp"

namespace wb {

/// A table with a row for each entry of one list of every case, the case's number first; `put` fills in the rest.
template <class T, class Put>
Table case_rows(const ResultSet& set, TableBuilder t, std::vector<T> Measurement::*entries, const Put& put) {
    std::int64_t id = -1;
    for (const Result& r : set.results) {
        ++id;
        for (const T& entry : r.m.*entries) {
            t.whole({"case_id", "1", "row of cases", "input"}, id);
            put(t, entry, id);
            t.end_row();
        }
    }
    return t.take();
}

}  // namespace wb
