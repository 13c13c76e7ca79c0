# Benchmarks are no part of the default target, which CI builds: `cmake --build --preset release --target benchmarks`.
add_custom_target(benchmarks)
if(WB_BENCH)
  add_test(NAME benchmarks COMMAND ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR} --target benchmarks)
  set_tests_properties(benchmarks PROPERTIES LABELS nightly TIMEOUT 1800)
endif()

# The folder bench of the caller's folder, if benchmarks are wanted.
macro(wb_add_benchmarks)
  if(WB_BENCH)
    add_subdirectory(bench EXCLUDE_FROM_ALL)
    get_property(programs DIRECTORY bench PROPERTY BUILDSYSTEM_TARGETS)
    add_dependencies(benchmarks ${programs})
  endif()
endmacro()
