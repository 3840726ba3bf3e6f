# rtjit_embed(<output.cc> HEADER <header> FUNCTION <name> FILES <files relative to the source root...>): writes a .cc
# that holds the files' contents and defines the function, which the header declares, that lists them. Made anew at
# build time whenever one of them changes.
function(rtjit_embed output)
  cmake_parse_arguments(ARG "" "HEADER;FUNCTION" "FILES" ${ARGN})
  set(paths)
  foreach(file ${ARG_FILES})
    list(APPEND paths ${PROJECT_SOURCE_DIR}/${file})
  endforeach()
  string(REPLACE ";" "," joined "${ARG_FILES}")
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DOUTPUT=${output} -DROOT=${PROJECT_SOURCE_DIR} -DFILES=${joined}
            -DHEADER=${ARG_HEADER} -DFUNCTION=${ARG_FUNCTION}
            -P ${PROJECT_SOURCE_DIR}/cmake/embed_files.cmake
    DEPENDS ${paths} ${PROJECT_SOURCE_DIR}/cmake/embed_files.cmake
    COMMENT "Embedding the files of ${ARG_FUNCTION}()"
    VERBATIM)
  # Each names its tables alike.
  set_source_files_properties(${output} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()
