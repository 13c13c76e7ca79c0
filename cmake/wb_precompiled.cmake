# wb_precompile(<target> [OPENMP] [TESTS]): its files find the headers that most files include already compiled.
# One set for each of the flags that g++ does not let differ: OpenMP, and the tests' doctest. Every file still includes
# what it uses: -DWB_PRECOMPILED=OFF builds the same.
set(wb_common_headers <algorithm> <array> <cmath> <cstdint> <functional> <limits> <map> <memory> <optional> <set> <span>
  <string> <string_view> <utility> <vector> <fmt/format.h>)

function(wb_precompile target)
  if(NOT WB_PRECOMPILED)
    return()
  endif()
  cmake_parse_arguments(P "OPENMP;TESTS" "" "" ${ARGN})
  set(from wb_headers)
  if(P_TESTS)
    set(from wb_headers_tests)
  elseif(P_OPENMP)
    set(from wb_headers_openmp)
  endif()
  if(NOT TARGET ${from})
    file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/${from}.cpp CONTENT "// Precompiles headers.\n")
    add_library(${from} OBJECT ${CMAKE_BINARY_DIR}/generated/${from}.cpp)
    target_link_libraries(${from} PRIVATE wb_options fmt::fmt)
    target_precompile_headers(${from} PRIVATE ${wb_common_headers})
    if(NOT from STREQUAL wb_headers)
      target_link_libraries(${from} PRIVATE OpenMP::OpenMP_CXX)
    endif()
    if(P_TESTS)
      target_link_libraries(${from} PRIVATE doctest::doctest)
      target_precompile_headers(${from} PRIVATE <doctest/doctest.h>)
      target_compile_options(${from} PRIVATE $<$<CONFIG:Release>:-O1>)
    endif()
  endif()
  target_precompile_headers(${target} REUSE_FROM ${from})
endfunction()

if(WB_PRECOMPILED)
  # As -Wno-restrict: g++ 12 warns of its own std::string, and of a precompiled one these too. The preset dev has them.
  target_compile_options(wb_options INTERFACE -Wno-stringop-overflow -Wno-array-bounds)
endif()
