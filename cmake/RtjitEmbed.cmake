# rtjit_embed(<output.cc> <files relative to the source root...>): writes a .cc that holds the files' contents.
# Made anew at build time whenever one of them changes.
function(rtjit_embed output)
  set(paths)
  foreach(file ${ARGN})
    list(APPEND paths ${PROJECT_SOURCE_DIR}/${file})
  endforeach()
  string(REPLACE ";" "," joined "${ARGN}")
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DOUTPUT=${output} -DROOT=${PROJECT_SOURCE_DIR} -DFILES=${joined}
            -P ${PROJECT_SOURCE_DIR}/cmake/embed_files.cmake
    DEPENDS ${paths} ${PROJECT_SOURCE_DIR}/cmake/embed_files.cmake
    COMMENT "Embedding templates and presets"
    VERBATIM)
endfunction()
