#!/bin/sh
# examples/engine_loop.cc builds against an installed librtjit, without a CUDA toolkit, and goes through all its steps on
# the driver's double. That computes nothing, so the program must notice that replays write nothing: each of its
# comparisons is seen to fail. On a GPU it must end with 0.
#   engine_loop_test.sh BUILD_FOLDER SOURCE_FOLDER FAKE_LIBCUDA [LINK_FLAGS]
set -eu
build=$1 source=$2 fake=$3 flags=${4:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { cat "$work"/*.log >&2; echo "FAILED: $*" >&2; exit 1; }

cmake --install "$build" --prefix "$work/prefix" --component library > "$work/install.log"
folder=$(dirname "$(find "$work/prefix" -name 'librtjit.so')")
PKG_CONFIG_PATH=$folder/pkgconfig
export PKG_CONFIG_PATH
# shellcheck disable=SC2046,SC2086
g++ -std=c++17 -Wall -Wextra -Wshadow -Werror "$source/examples/engine_loop.cc" -o "$work/engine_loop" \
  $(pkg-config --cflags --libs rtjit) -ldl $flags > "$work/build.log" 2>&1 || fail "building"

mkdir "$work/driver"
ln -s "$fake" "$work/driver/libcuda.so.1"
RTJIT_CACHE=$work/cache.db LD_LIBRARY_PATH=$work/driver:$folder
export RTJIT_CACHE LD_LIBRARY_PATH
# ended STATUS ARGUMENTS...: the program must end with it
ended() {
  expected=$1 status=0
  shift
  "$work/engine_loop" "$@" > "$work/run.log" 2>&1 || status=$?
  [ "$status" = "$expected" ] || fail "engine_loop $*: ended with $status, $expected is due"
}
ended 1 "hidden=64,intermediate=64,experts=4,top_k=2" 4
for tokens in 1 2 4; do
  grep -q "^ *$tokens tokens .* a step  replay DIFFERS FROM eager  .*gemm1" "$work/run.log" || fail "no line for $tokens tokens"
done
grep -q '^opened in' "$work/run.log" || fail "it did not come to its end"
ended 2 a b c d
ended 1 "hiden=64"
grep -q 'hiden' "$work/run.log" || fail "the library's words are lost"
