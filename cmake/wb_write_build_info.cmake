# cmake -D source=TREE -D folder=FOLDER -P this: writes FOLDER/wb_build_info.cpp if its text would change.
include(${folder}/wb_build_settings.cmake)

function(ask_git out)
  execute_process(COMMAND git --no-optional-locks ${ARGN} WORKING_DIRECTORY ${source}
                  OUTPUT_VARIABLE answer ERROR_QUIET RESULT_VARIABLE code OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT code EQUAL 0)
    set(answer "")
  endif()
  set(${out} "${answer}" PARENT_SCOPE)
endfunction()

set(revision unknown)
set(dirty false)
ask_git(top rev-parse --show-toplevel)
file(REAL_PATH ${source} real_source)
if(top STREQUAL real_source)  # an unpacked archive may lie inside a repository of something else
  ask_git(revision rev-parse HEAD)
  ask_git(changes status --porcelain --untracked-files=no)
  if(changes)
    set(dirty true)
  endif()
endif()

function(quoted out text)
  set(${out} "R\"wb(${text})wb\"" PARENT_SCOPE)
endfunction()

set(pairs "")
foreach(library IN LISTS libraries)
  string(REGEX MATCH "^([^=]+)=(.*)$" all "${library}")
  set(number "${CMAKE_MATCH_2}")
  quoted(name "${CMAKE_MATCH_1}")
  if(NOT number)
    set(number unknown)
  endif()
  quoted(number "${number}")
  string(APPEND pairs "        {${name}, ${number}},\n")
endforeach()
foreach(text version revision compiler flags build_type)
  quoted(${text} "${${text}}")
endforeach()

set(code "// Written by cmake/wb_write_build_info.cmake.
#include \"core/build_info.hpp\"

const wb::BuildInfo& wb::build_info() {
    static const BuildInfo info{
        ${version}, ${revision}, ${dirty},
        ${compiler},
        ${flags},
        ${build_type},
        {
${pairs}        }};
    return info;
}
")
set(old "")
if(EXISTS ${folder}/wb_build_info.cpp)
  file(READ ${folder}/wb_build_info.cpp old)
endif()
if(NOT old STREQUAL code)
  file(WRITE ${folder}/wb_build_info.cpp "${code}")
endif()
