# The tables of workloads and backends are generated from what the tree holds: no central list to edit, no static registry.

# wb_workload_table(<out.cpp> <workload.cpp>...): gemm.cpp defines `Workload wb::workloads::gemm()`.
function(wb_workload_table out)
  set(declarations "")
  set(rows "")
  foreach(source IN LISTS ARGN)
    get_filename_component(name ${source} NAME_WE)
    string(APPEND declarations "Workload ${name}();\n")
    string(APPEND rows "        workloads::${name}(),\n")
  endforeach()
  file(CONFIGURE OUTPUT ${out} @ONLY CONTENT [[#include "core/tables.hpp"

namespace wb {
namespace workloads {
@declarations@}
const std::vector<Workload>& all_workloads() {
    static const std::vector<Workload> table{
@rows@    };
    return table;
}
}  // namespace wb
]])
endfunction()

define_property(GLOBAL PROPERTY WB_BACKENDS BRIEF_DOCS "name|make|about|missing|on_request" FULL_DOCS "rows of the backend table")
define_property(GLOBAL PROPERTY WB_BACKEND_TARGETS BRIEF_DOCS "libraries" FULL_DOCS "libraries of the built backends")

# wb_add_backend(<name> ABOUT <text> [SOURCES ...] [LINK ...] [ON_REQUEST] [MISSING <reason>])
# The folder defines `std::unique_ptr<wb::Backend> wb::make_<name>()`, unless MISSING says why it was not built.
function(wb_add_backend name)
  cmake_parse_arguments(B "ON_REQUEST" "ABOUT;MISSING" "SOURCES;LINK" ${ARGN})
  set(make "nullptr")
  if(NOT B_MISSING)
    set(make "make_${name}")
    if(NOT B_SOURCES)
      file(GLOB B_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
    endif()
    add_library(wb_backend_${name} STATIC ${B_SOURCES})
    if("OpenMP::OpenMP_CXX" IN_LIST B_LINK)
      wb_precompile(wb_backend_${name} OPENMP)
    else()
      wb_precompile(wb_backend_${name})
    endif()
    target_link_libraries(wb_backend_${name} PUBLIC wb_core PRIVATE ${B_LINK})
    set_property(GLOBAL APPEND PROPERTY WB_BACKEND_TARGETS wb_backend_${name})
  endif()
  set(on_request false)
  if(B_ON_REQUEST)
    set(on_request true)
  endif()
  set_property(GLOBAL APPEND PROPERTY WB_BACKENDS "${name}|${make}|${B_ABOUT}|${B_MISSING}|${on_request}")
endfunction()

# wb_backend_table(<out.cpp>): after all wb_add_backend calls.
function(wb_backend_table out)
  get_property(backends GLOBAL PROPERTY WB_BACKENDS)
  set(declarations "")
  set(rows "")
  foreach(row IN LISTS backends)
    string(REPLACE "|" ";" fields "${row}")
    list(GET fields 0 name)
    list(GET fields 1 make)
    list(GET fields 2 about)
    list(GET fields 3 missing)
    list(GET fields 4 on_request)
    if(NOT make STREQUAL "nullptr")
      string(APPEND declarations "std::unique_ptr<Backend> ${make}();\n")
    endif()
    string(APPEND rows "    rows.push_back({\"${name}\", \"${about}\", ${make}, \"${missing}\", ${on_request}});\n")
  endforeach()
  file(CONFIGURE OUTPUT ${out} @ONLY CONTENT [[#include "core/tables.hpp"

namespace wb {
@declarations@
namespace {
std::vector<BackendRow> rows_of_build() {
    std::vector<BackendRow> rows;
@rows@    return rows;
}
}  // namespace

const std::vector<BackendRow>& all_backends() {
    static const std::vector<BackendRow> table = rows_of_build();
    return table;
}
}  // namespace wb
]])
endfunction()
