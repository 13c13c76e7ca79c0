#pragma once

#include <string>
#include <vector>

namespace wb {

/// A quantity over the PEs of a mesh: a heat map. Row 0 is north, column 0 is west.
struct Grid {
    std::string name;  ///< lower case words joined by '_': "link_east"
    std::string unit;  ///< UDUNITS: "1", "B"
    std::string about;
    int rows = 0, columns = 0;                    ///< of cells
    int rows_per_cell = 1, columns_per_cell = 1;  ///< PEs; the last cells may cover fewer
    double mean = 0, largest = 0;                 ///< over the PEs, not over the cells
    std::vector<double> values;                   ///< row-major; each the mean of its cell

    double at(int row, int column) const {
        return values[static_cast<std::size_t>(row) * static_cast<std::size_t>(columns) +
                      static_cast<std::size_t>(column)];
    }
};

/// One value for each PE, row-major.
Grid make_grid(std::string name, std::string unit, std::string about, int rows, int columns,
               std::vector<double> values);

/// The same with at most `most` cells in each direction, each the mean over the PEs it covers, to six significant
/// digits: a heat map needs no more, and stays small as text.
Grid thinned(const Grid& grid, int most = 128);

}  // namespace wb
