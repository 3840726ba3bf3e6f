# The texts of cache/prebuilt/ become one database, which runtime/prebuilt.cc takes into the library.
add_executable(rtjit_make_prebuilt ${PROJECT_SOURCE_DIR}/tools/prebuilt/make_prebuilt.cc)
target_link_libraries(rtjit_make_prebuilt PRIVATE rtjit_cache rtjit_templates rtjit_flags)
file(GLOB RTJIT_PREBUILT_TEXTS CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cache/prebuilt/*.txt)
set(RTJIT_PREBUILT_FILE ${PROJECT_BINARY_DIR}/prebuilt.db)
add_custom_command(
  OUTPUT ${RTJIT_PREBUILT_FILE}
  COMMAND rtjit_make_prebuilt ${RTJIT_PREBUILT_FILE} ${RTJIT_PREBUILT_TEXTS}
  DEPENDS rtjit_make_prebuilt ${RTJIT_PREBUILT_TEXTS}
  COMMENT "Making the prebuilt cache"
  VERBATIM)
add_custom_target(rtjit_prebuilt DEPENDS ${RTJIT_PREBUILT_FILE})
add_dependencies(rtjit_runtime rtjit_prebuilt)
set_source_files_properties(${PROJECT_SOURCE_DIR}/runtime/prebuilt.cc TARGET_DIRECTORY rtjit_runtime PROPERTIES
  OBJECT_DEPENDS ${RTJIT_PREBUILT_FILE} COMPILE_DEFINITIONS "RTJIT_PREBUILT_FILE=\"${RTJIT_PREBUILT_FILE}\"")
