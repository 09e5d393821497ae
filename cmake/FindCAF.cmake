# Debian ships no CMake package for CAF 0.17. Defines CAF::core, CAF::io, CAF::openssl.
#   find_package(CAF 0.17.6 EXACT REQUIRED COMPONENTS core io openssl)
find_path(CAF_INCLUDE_DIR NAMES caf/all.hpp HINTS ${CAF_ROOT}/include)
if(CAF_INCLUDE_DIR)
  file(STRINGS ${CAF_INCLUDE_DIR}/caf/config.hpp _line REGEX "^#define CAF_VERSION [0-9]+")
  string(REGEX MATCH "[0-9]+" _n "${_line}") # 1706 = MAJOR*10000 + MINOR*100 + PATCH
  math(EXPR _maj "${_n} / 10000")
  math(EXPR _min "(${_n} / 100) % 100")
  math(EXPR _pat "${_n} % 100")
  set(CAF_VERSION "${_maj}.${_min}.${_pat}")
endif()
find_package(Threads REQUIRED)
foreach(_c IN LISTS CAF_FIND_COMPONENTS)
  find_library(CAF_${_c}_LIBRARY NAMES caf_${_c} HINTS ${CAF_ROOT}/lib)
  if(CAF_${_c}_LIBRARY)
    set(CAF_${_c}_FOUND TRUE)
  endif()
endforeach()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(CAF REQUIRED_VARS CAF_INCLUDE_DIR VERSION_VAR CAF_VERSION HANDLE_COMPONENTS)
if(CAF_FOUND)
  foreach(_c IN LISTS CAF_FIND_COMPONENTS)
    if(NOT TARGET CAF::${_c})
      add_library(CAF::${_c} SHARED IMPORTED)   # IMPORTED => include dir is SYSTEM
      set_target_properties(CAF::${_c} PROPERTIES
        IMPORTED_LOCATION "${CAF_${_c}_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${CAF_INCLUDE_DIR}"
        INTERFACE_COMPILE_DEFINITIONS "CAF_ENABLE_TYPE_ID_CHECKS"
        INTERFACE_LINK_LIBRARIES Threads::Threads)
    endif()
  endforeach()
  if(TARGET CAF::io)
    set_property(TARGET CAF::io APPEND PROPERTY INTERFACE_LINK_LIBRARIES CAF::core)
  endif()
  if(TARGET CAF::openssl)
    set_property(TARGET CAF::openssl APPEND PROPERTY INTERFACE_LINK_LIBRARIES CAF::io)
  endif()
endif()
