#!/bin/sh
# Installs to a temporary prefix and builds programs against what is there, in C and C++, by CMake and by pkg-config.
#   install_test.sh BUILD_FOLDER SOURCE_FOLDER [LINK_FLAGS]
set -eu
build=$1 source=$2 flags=${3:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

# The prefix is not the one that was configured: an installed tree may be moved. Only the library's component, so that
# the test needs no more than the library to be built.
cmake --install "$build" --prefix "$work/first" --component library > "$work/install.log"
mv "$work/first" "$work/prefix"
library=$(find "$work/prefix" -name 'librtjit.so' | head -1)
[ -n "$library" ] || fail "no librtjit.so was installed"
folder=$(dirname "$library")

# Programs end as expected and say what they found.
check() {
  LD_LIBRARY_PATH=$folder "$1" > "$work/out" 2>&1 || { cat "$work/out"; fail "$1 exited with $?"; }
  grep -qx 'version 0\.1\.0' "$work/out" || { cat "$work/out"; fail "$1 printed no version"; }
  grep -qx 'status ok' "$work/out" && return
  grep -qx 'status \(unavailable\|no_gpu\)' "$work/out" || { cat "$work/out"; fail "$1 printed no status"; }
  grep -q 'message .*\(CUDA driver\|GPU\)' "$work/out" || { cat "$work/out"; fail "$1 does not say what is missing"; }
}
export RTJIT_CACHE="$work/cache.db"

cmake -S "$source/tests/install/consumer" -B "$work/by-cmake" -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DCMAKE_EXE_LINKER_FLAGS="$flags" > "$work/cmake.log" 2>&1 || { cat "$work/cmake.log"; fail "find_package"; }
cmake --build "$work/by-cmake" > "$work/cmake.log" 2>&1 || { cat "$work/cmake.log"; fail "building by CMake"; }
check "$work/by-cmake/use_c"
check "$work/by-cmake/use_cpp"

PKG_CONFIG_PATH=$folder/pkgconfig
export PKG_CONFIG_PATH
[ "$(pkg-config --modversion rtjit)" = 0.1.0 ] || fail "pkg-config does not know the version"
# shellcheck disable=SC2046,SC2086
gcc -std=c99 -Wall -Wextra -pedantic -Werror "$source/tests/install/consumer/use_c.c" -o "$work/use_c" \
  $(pkg-config --cflags --libs rtjit) $flags
# shellcheck disable=SC2046,SC2086
g++ -std=c++17 -Wall -Wextra -pedantic -Werror "$source/tests/install/consumer/use_cpp.cc" -o "$work/use_cpp" \
  $(pkg-config --cflags --libs rtjit) $flags
# An engine that is built without exceptions uses the C interface.
# shellcheck disable=SC2046,SC2086
g++ -std=c++11 -fno-exceptions -fno-rtti -Wall -Wextra -pedantic -Werror -x c++ "$source/tests/install/consumer/use_c.c" \
  -x none -o "$work/use_c_as_cpp" $(pkg-config --cflags --libs rtjit) $flags
check "$work/use_c"
check "$work/use_c_as_cpp"
check "$work/use_cpp"

# Nothing but the C interface is visible, all of it, and only libraries that every machine has are needed.
nm -D --defined-only "$library" | awk '$2 != "A" { print $3 }' | sort > "$work/versioned"
sed 's/@@\{0,1\}.*//' "$work/versioned" > "$work/exported"
grep -n '^RTJIT_API' "$source/runtime/include/rtjit.h" | grep -o 'rtjit_[a-z_]*(' | tr -d '(' | sort -u > "$work/declared"
diff "$work/declared" "$work/exported" || fail "exported (>) and declared (<) functions differ"
# The interface is frozen: what a version of it has, later ones have too, under the same symbol version.
grep -v '^#' "$source/tests/install/abi-symbols.txt" | sort > "$work/frozen"
diff "$work/frozen" "$work/versioned" || fail "the exported symbols (>) are not those of tests/install/abi-symbols.txt (<); \
new functions are added there under the version that brings them, none is ever taken away"
readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' > "$work/needed"
if [ -z "$flags" ]; then
  while read -r name; do
    case $name in
      libsqlite3.so.*|libfmt.so.*|libzstd.so.*|libstdc++.so.*|libgcc_s.so.*|libm.so.*|libc.so.*|libz.so.*) ;;
      libdl.so.*|libpthread.so.*|ld-linux*) ;;
      *) fail "librtjit.so needs $name" ;;
    esac
  done < "$work/needed"
fi
readelf -d "$library" | grep -q 'SONAME.*librtjit\.so\.0' || fail "the SONAME is not librtjit.so.0"
echo "librtjit.so: $(stat -L -c %s "$library") bytes, needs $(tr '\n' ' ' < "$work/needed")"
