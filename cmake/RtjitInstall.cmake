# librtjit.so from the modules that a model executor needs, and what `cmake --install` puts where: the library, the two
# headers, the command, and what find_package(rtjit) and pkg-config need. The library is shared only: the static
# modules are internals whose C++ symbols must not meet those of the program that links them.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(RTJIT_EXPORTS ${PROJECT_SOURCE_DIR}/cmake/rtjit.map)
# The C interface pulls in what it needs of the modules.
set(RTJIT_C_API_SOURCES ${PROJECT_SOURCE_DIR}/runtime/c_api.cc ${PROJECT_SOURCE_DIR}/runtime/c_api_device.cc)
add_library(rtjit SHARED ${RTJIT_C_API_SOURCES})
add_library(rtjit::rtjit ALIAS rtjit)
target_link_libraries(rtjit PRIVATE rtjit_runtime rtjit_flags)
target_link_options(rtjit PRIVATE -Wl,--version-script=${RTJIT_EXPORTS} -Wl,--as-needed)
if(NOT RTJIT_SANITIZE)
  target_link_options(rtjit PRIVATE -Wl,--no-undefined)
endif()
target_include_directories(rtjit INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/runtime/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
set_target_properties(rtjit PROPERTIES
  VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}
  LINK_DEPENDS ${RTJIT_EXPORTS})

install(TARGETS rtjit EXPORT rtjit-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library)
install(FILES ${PROJECT_SOURCE_DIR}/runtime/include/rtjit.h ${PROJECT_SOURCE_DIR}/runtime/include/rtjit.hpp
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library)
if(TARGET rtjit_command)
  install(TARGETS rtjit_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT command)
endif()

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/rtjit)
install(EXPORT rtjit-targets NAMESPACE rtjit:: DESTINATION ${package_folder} COMPONENT library)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/rtjit-config.cmake.in
  ${PROJECT_BINARY_DIR}/rtjit-config.cmake INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/rtjit-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/rtjit-config.cmake ${PROJECT_BINARY_DIR}/rtjit-config-version.cmake
        DESTINATION ${package_folder} COMPONENT library)

# prefix is relative to the .pc file, so that an installed tree may be moved.
file(RELATIVE_PATH RTJIT_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${PROJECT_SOURCE_DIR}/cmake/rtjit.pc.in ${PROJECT_BINARY_DIR}/rtjit.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/rtjit.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT library)
