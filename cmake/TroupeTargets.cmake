# The few functions by which every target of Troupe is made.
find_package(Threads REQUIRED)

option(TROUPE_WERROR "Warnings are errors" ON)
set(TROUPE_SANITIZE "" CACHE STRING "Sanitizers, for example address,undefined")

function(troupe_flags target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow=local -Wno-missing-field-initializers
    $<$<BOOL:${TROUPE_WERROR}>:-Werror>)
  # CAF's headers make vectors of registered enums, which g++ 12 takes for uninitialised (facts: -O2 only).
  target_compile_options(${target} PRIVATE -Wno-error=maybe-uninitialized)
  if(TROUPE_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${TROUPE_SANITIZE} -fno-sanitize=null,vptr -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=${TROUPE_SANITIZE})
  endif()
endfunction()

# troupe_library(NAME FOLDER [EXCLUDE folder...] [EXCLUDE_FILE file...] [PUBLIC libs] [PRIVATE libs])
# A static library troupe_NAME of every .cpp below FOLDER.
function(troupe_library name folder)
  cmake_parse_arguments(ARG "" "" "EXCLUDE;EXCLUDE_FILE;PUBLIC;PRIVATE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.cpp)
  foreach(skip IN LISTS ARG_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "^${CMAKE_SOURCE_DIR}/${skip}/")
  endforeach()
  foreach(skip IN LISTS ARG_EXCLUDE_FILE)
    list(REMOVE_ITEM sources ${CMAKE_SOURCE_DIR}/${skip})
  endforeach()
  add_library(troupe_${name} STATIC ${sources})
  set_target_properties(troupe_${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_include_directories(troupe_${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_include_directories(troupe_${name} SYSTEM PUBLIC ${TL_EXPECTED_INCLUDE_DIR})
  target_link_libraries(troupe_${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
  troupe_flags(troupe_${name})
endfunction()

# troupe_plugin(NAME FOLDER LINK libs): a shared object of every .cpp below FOLDER, opened by dlopen.
function(troupe_plugin name folder)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.cpp)
  add_library(${name} MODULE ${sources})
  target_link_libraries(${name} PRIVATE ${ARG_LINK})
  troupe_flags(${name})
endfunction()

# troupe_test(NAME FOLDER LINK libs): one GoogleTest program of every .cpp below FOLDER, each test known to CTest.
function(troupe_test name folder)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.cpp)
  if(NOT sources)
    return()
  endif()
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gtest GTest::gmock GTest::gtest_main)
  troupe_flags(${name})
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 900)
endfunction()
