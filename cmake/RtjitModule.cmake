# rtjit_module(<name> [DEPENDS <targets...>] [EXCLUDE <sources...>])
# One static library per folder: every .cc directly in it. A new file needs no edit here.
function(rtjit_module name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;EXCLUDE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  foreach(excluded ${ARG_EXCLUDE})
    list(REMOVE_ITEM sources ${CMAKE_CURRENT_SOURCE_DIR}/${excluded})
  endforeach()
  if(sources)
    add_library(rtjit_${name} STATIC ${sources})
    target_link_libraries(rtjit_${name} PUBLIC ${ARG_DEPENDS} PRIVATE rtjit_flags)
    target_include_directories(rtjit_${name} PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/runtime/include)
  else()
    add_library(rtjit_${name} INTERFACE)
    target_link_libraries(rtjit_${name} INTERFACE ${ARG_DEPENDS})
  endif()
endfunction()

# LeakSanitizer's own tracer sometimes crashes in a program that loaded NVRTC (seen once in a thousand). Such a test counts
# as skipped, and only if it had passed before: one that fails, or leaks, fails.
set(RTJIT_TEST_PROPERTIES)
if(RTJIT_SANITIZE)
  set(RTJIT_TEST_PROPERTIES SKIP_REGULAR_EXPRESSION
      "(.  SKIPPED .|.  PASSED  . 1 test.*LeakSanitizer has encountered a fatal error)")
endif()

# rtjit_tests(<folder> [DEPENDS <targets...>]): tests/<folder>/*_test.cc as one program, one CTest entry per test.
function(rtjit_tests folder)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  if(sources)
    add_executable(test_${folder} ${sources})
    target_link_libraries(test_${folder} PRIVATE ${ARG_DEPENDS} GTest::gmock GTest::gtest_main rtjit_flags)
    target_compile_definitions(test_${folder} PRIVATE RTJIT_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    if(RTJIT_SANITIZE)
      target_compile_options(test_${folder} PRIVATE -O0)  # what runs once; optimising it takes half of this build
    endif()
    gtest_discover_tests(test_${folder} TEST_PREFIX ${folder}/ DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600 ${RTJIT_TEST_PROPERTIES})
  endif()
endfunction()
