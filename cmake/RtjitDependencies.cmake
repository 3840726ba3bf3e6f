# Third-party libraries, each as one imported target `rtjit_dep_<name>`.
# All come from the distribution's packages (see ./run); with RTJIT_STATIC_DEPS they are linked from their
# archives, so that a binary built here runs on a machine that has none of them.
find_package(Threads REQUIRED)

function(rtjit_library_dependency name header library)
  find_path(RTJIT_${name}_INCLUDE ${header} REQUIRED)
  if(RTJIT_STATIC_DEPS)
    find_library(RTJIT_${name}_LIBRARY NAMES lib${library}.a REQUIRED)
  else()
    find_library(RTJIT_${name}_LIBRARY NAMES ${library} REQUIRED)
  endif()
  add_library(rtjit_dep_${name} INTERFACE)
  target_include_directories(rtjit_dep_${name} SYSTEM INTERFACE ${RTJIT_${name}_INCLUDE})
  target_link_libraries(rtjit_dep_${name} INTERFACE ${RTJIT_${name}_LIBRARY} ${CMAKE_DL_LIBS} Threads::Threads)
endfunction()

function(rtjit_header_dependency name header)
  find_path(RTJIT_${name}_INCLUDE ${header} REQUIRED)
  add_library(rtjit_dep_${name} INTERFACE)
  target_include_directories(rtjit_dep_${name} SYSTEM INTERFACE ${RTJIT_${name}_INCLUDE})
endfunction()

if(RTJIT_STATIC_DEPS)
  # Distributions package fmt without its archive; its headers are complete.
  rtjit_header_dependency(fmt fmt/format.h)
  target_compile_definitions(rtjit_dep_fmt INTERFACE FMT_HEADER_ONLY=1)
else()
  rtjit_library_dependency(fmt fmt/format.h fmt)
endif()
rtjit_library_dependency(sqlite sqlite3.h sqlite3)
rtjit_library_dependency(zstd zstd.h zstd)
rtjit_header_dependency(json nlohmann/json.hpp)
rtjit_header_dependency(toml toml++/toml.h)
rtjit_header_dependency(cli11 CLI/CLI.hpp)
rtjit_header_dependency(sodium sodium.h)  # the library itself is opened at run time, by what signs or checks
target_link_libraries(rtjit_dep_sqlite INTERFACE m)

# LLVM's object-file reader (never its code generator), always from archives: --gc-sections keeps what is used.
find_path(RTJIT_LLVM_INCLUDE llvm/Object/ELF.h PATHS /usr/lib/llvm-19/include NO_DEFAULT_PATH REQUIRED)
add_library(rtjit_dep_llvm_object INTERFACE)
target_include_directories(rtjit_dep_llvm_object SYSTEM INTERFACE ${RTJIT_LLVM_INCLUDE})
set(RTJIT_LLVM_LIBDIR ${RTJIT_LLVM_INCLUDE}/../lib)
set(_llvm_archives)
foreach(lib LLVMObject LLVMIRReader LLVMAsmParser LLVMBitReader LLVMMCParser LLVMMC LLVMDebugInfoCodeView
        LLVMDebugInfoMSF LLVMTextAPI LLVMCore LLVMRemarks LLVMBitstreamReader LLVMBinaryFormat LLVMTargetParser
        LLVMSupport LLVMDemangle)
  list(APPEND _llvm_archives ${RTJIT_LLVM_LIBDIR}/lib${lib}.a)
endforeach()
find_library(RTJIT_Z_LIBRARY NAMES libz.a z REQUIRED)
target_link_libraries(rtjit_dep_llvm_object INTERFACE
  -Wl,--start-group ${_llvm_archives} -Wl,--end-group ${RTJIT_Z_LIBRARY} rtjit_dep_zstd Threads::Threads
  ${CMAKE_DL_LIBS})
