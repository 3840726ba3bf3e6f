# Compiler settings shared by every target of the project.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 99)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

# -O3 buys this code nothing and costs build time.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

add_library(rtjit_flags INTERFACE)
target_compile_options(rtjit_flags INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor
                                             -ffunction-sections -fdata-sections)
if(RTJIT_WERROR)
  target_compile_options(rtjit_flags INTERFACE -Werror)
endif()
target_link_options(rtjit_flags INTERFACE -Wl,--gc-sections)
if(CMAKE_UNITY_BUILD)
  # Several files of a target are compiled as one, which takes less than half of the time. So what one of them keeps in
  # its anonymous namespace is seen by the others, and names there are unique within a folder. This warning means headers.
  target_compile_options(rtjit_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()
if(RTJIT_SANITIZE)
  # With sanitizers GCC 12 takes the inactive members of a std::variant for uninitialised values.
  target_compile_options(rtjit_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_compile_options(rtjit_flags INTERFACE -fsanitize=${RTJIT_SANITIZE} -fno-omit-frame-pointer
                                               -fno-sanitize-recover=all)
  target_link_options(rtjit_flags INTERFACE -fsanitize=${RTJIT_SANITIZE})
endif()
if(RTJIT_BUILD_FUZZERS)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "RTJIT_BUILD_FUZZERS needs clang (libFuzzer); use the preset fuzz, or: ./run fuzz")
  endif()
  target_compile_options(rtjit_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
target_include_directories(rtjit_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/runtime/include)
