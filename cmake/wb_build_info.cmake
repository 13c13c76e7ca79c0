# The library wb_build_info: what core/build_info.hpp declares, with the git revision asked anew at every build.
# Its source is rewritten only if something changed, so an unchanged tree compiles and links nothing.
set(wb_build_info_folder ${CMAKE_BINARY_DIR}/generated)

# Appends "name=version" to wb_libraries. The version is read from the header itself: the packages' own CMake files name
# none (hwloc), or stop where they are only asked (oneDNN of Debian wants OpenCL's headers).
function(wb_header_version name header)
  file(GLOB places /usr/include/*/openblas-*)
  find_file(found ${header} NO_CACHE PATHS ${places} PATH_SUFFIXES hdf5/serial hdf5 openblas-openmp openblas-pthread openblas)
  if(NOT found)
    return()
  endif()
  set(parts)
  foreach(macro ${ARGN})
    file(STRINGS ${found} lines REGEX "#define +${macro} ")
    string(REGEX MATCH "${macro}[^0-9]+([0-9.]+)" all "${lines}")
    list(APPEND parts ${CMAKE_MATCH_1})
  endforeach()
  list(JOIN parts "." version)
  set(wb_libraries ${wb_libraries} "${name}=${version}" PARENT_SCOPE)
endfunction()

function(wb_library_versions out)
  set(wb_libraries)
  foreach(package fmt tomlplusplus CLI11 nlohmann_json)
    find_package(${package} QUIET)
    if(${package}_FOUND)
      list(APPEND wb_libraries "${package}=${${package}_VERSION}")
    endif()
  endforeach()
  wb_header_version(HDF5 H5public.h H5_VERS_MAJOR H5_VERS_MINOR H5_VERS_RELEASE)
  wb_header_version(oneDNN oneapi/dnnl/dnnl_version.h DNNL_VERSION_MAJOR DNNL_VERSION_MINOR DNNL_VERSION_PATCH)
  wb_header_version(OpenBLAS openblas_config.h OPENBLAS_VERSION)
  wb_header_version(hwloc hwloc/autogen/config.h HWLOC_VERSION)
  set(${out} ${wb_libraries} PARENT_SCOPE)
endfunction()

# Called when all folders have been read, since only then the options of every target are known.
function(wb_write_build_info_settings)
  string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
  get_target_property(options wb_options INTERFACE_COMPILE_OPTIONS)
  list(JOIN options " " options)
  string(STRIP "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${type}} ${options}" flags)
  wb_library_versions(libraries)
  set(text "")
  foreach(setting "version ${PROJECT_VERSION}" "compiler ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}"
                  "build_type ${CMAKE_BUILD_TYPE}" "flags ${flags}" "libraries ${libraries}")
    string(REGEX MATCH "^([a-z_]+) (.*)$" all "${setting}")
    string(APPEND text "set(${CMAKE_MATCH_1} [==[${CMAKE_MATCH_2}]==])\n")
  endforeach()
  file(WRITE ${wb_build_info_folder}/wb_build_settings.cmake "${text}")
endfunction()
cmake_language(DEFER DIRECTORY ${CMAKE_SOURCE_DIR} CALL wb_write_build_info_settings)

add_custom_target(wb_build_info_source
  COMMAND ${CMAKE_COMMAND} -D source=${CMAKE_SOURCE_DIR} -D folder=${wb_build_info_folder}
          -P ${CMAKE_CURRENT_LIST_DIR}/wb_write_build_info.cmake
  BYPRODUCTS ${wb_build_info_folder}/wb_build_info.cpp
  COMMENT "Asking git for the revision")
add_library(wb_build_info STATIC ${wb_build_info_folder}/wb_build_info.cpp)
target_link_libraries(wb_build_info PUBLIC wb_options)
add_dependencies(wb_build_info wb_build_info_source)
