# LibTorch from the PyPI wheel. Its own CMake package wants a CUDA toolkit even on the CPU, hence this file.
# Defines LibTorch::cpu and, with the component cuda, LibTorch::cuda (which needs CUDA's headers and libtorch_cuda).
#   LIBTORCH_ROOT: the folder that holds torch/ and nvidia/. Default: where ./troupe setup puts it.
if(DEFINED ENV{TROUPE_CACHE})
  set(_cache $ENV{TROUPE_CACHE})
elseif(DEFINED ENV{XDG_CACHE_HOME})
  set(_cache $ENV{XDG_CACHE_HOME}/troupe)
else()
  set(_cache $ENV{HOME}/.cache/troupe)
endif()
set(LIBTORCH_ROOT ${_cache}/libtorch-2.11.0 CACHE PATH "Folder with the unpacked torch wheel (holds torch/ and nvidia/)")

# Not find_library: its cached answers would outlive a change of LIBTORCH_ROOT.
set(LibTorch_CPU_LIBRARY ${LIBTORCH_ROOT}/torch/lib/libtorch_cpu.so)
if(NOT EXISTS ${LibTorch_CPU_LIBRARY})
  set(LibTorch_CPU_LIBRARY LibTorch_CPU_LIBRARY-NOTFOUND)
endif()

foreach(_c IN LISTS LibTorch_FIND_COMPONENTS)
  if(_c STREQUAL cuda)
    find_package(CUDAToolkit 13.0 REQUIRED)
    if(EXISTS ${LIBTORCH_ROOT}/torch/lib/libtorch_cuda.so)
      set(LibTorch_cuda_FOUND TRUE)
    endif()
  endif()
endforeach()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch REQUIRED_VARS LibTorch_CPU_LIBRARY HANDLE_COMPONENTS
  REASON_FAILURE_MESSAGE
    "no LibTorch 2.11.0 in LIBTORCH_ROOT=${LIBTORCH_ROOT} (./troupe setup fetches it, ./troupe setup --cuda with its CUDA libraries)")

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  add_library(LibTorch::c10 SHARED IMPORTED)
  set_target_properties(LibTorch::c10 PROPERTIES IMPORTED_LOCATION ${LIBTORCH_ROOT}/torch/lib/libc10.so)
  add_library(LibTorch::cpu SHARED IMPORTED) # IMPORTED: its include folders are SYSTEM
  set_target_properties(LibTorch::cpu PROPERTIES
    IMPORTED_LOCATION ${LibTorch_CPU_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES "${LIBTORCH_ROOT}/torch/include;${LIBTORCH_ROOT}/torch/include/torch/csrc/api/include"
    INTERFACE_LINK_LIBRARIES LibTorch::c10)
endif()
if(LibTorch_cuda_FOUND AND NOT TARGET LibTorch::cuda)
  # Its static initialisers register the kernels, and no symbol of ours asks for it: --no-as-needed keeps it. Its own
  # libraries (cuBLAS, cuDNN, NCCL) are looked for when it is loaded, not when it is linked.
  add_library(LibTorch::cuda INTERFACE IMPORTED)
  target_include_directories(LibTorch::cuda SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(LibTorch::cuda INTERFACE LibTorch::cpu
    -Wl,--push-state,--no-as-needed ${LIBTORCH_ROOT}/torch/lib/libtorch_cuda.so
    ${LIBTORCH_ROOT}/torch/lib/libc10_cuda.so -Wl,--pop-state)
endif()
