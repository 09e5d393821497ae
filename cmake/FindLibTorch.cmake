# LibTorch from the PyPI wheel. Its own CMake package wants a CUDA toolkit even on the CPU, hence this file.
# Defines LibTorch::cpu and, where libtorch_cuda can be linked, LibTorch::cuda.
#   LIBTORCH_ROOT: the folder that holds torch/ and nvidia/ (the wrapper sets it).
set(LIBTORCH_ROOT "" CACHE PATH "Folder with the unpacked torch wheel (holds torch/ and nvidia/)")
find_path(LibTorch_INCLUDE_DIR NAMES torch/script.h PATHS ${LIBTORCH_ROOT}/torch/include NO_DEFAULT_PATH)
find_library(LibTorch_CPU_LIBRARY NAMES torch_cpu PATHS ${LIBTORCH_ROOT}/torch/lib NO_DEFAULT_PATH)
find_library(LibTorch_C10_LIBRARY NAMES c10 PATHS ${LIBTORCH_ROOT}/torch/lib NO_DEFAULT_PATH)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "set LIBTORCH_ROOT to the unpacked wheel (./troupe setup fetches it)")
if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  add_library(LibTorch::c10 SHARED IMPORTED)
  set_target_properties(LibTorch::c10 PROPERTIES IMPORTED_LOCATION "${LibTorch_C10_LIBRARY}")
  add_library(LibTorch::cpu SHARED IMPORTED) # IMPORTED: its include folders are SYSTEM
  set_target_properties(LibTorch::cpu PROPERTIES
    IMPORTED_LOCATION "${LibTorch_CPU_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${LibTorch_INCLUDE_DIR};${LibTorch_INCLUDE_DIR}/torch/csrc/api/include"
    INTERFACE_LINK_LIBRARIES LibTorch::c10)
endif()
