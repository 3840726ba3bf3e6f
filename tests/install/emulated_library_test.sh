#!/bin/sh
# librtjit_emulated.so has the very functions of librtjit.so, and holds the emulator in the place of the CUDA driver.
# (That librtjit.so holds no emulator is library_contents_test.sh's.)
#   emulated_library_test.sh LIBRTJIT_EMULATED LIBRTJIT [sanitized]
set -eu
emulated=$1 library=$2 sanitized=${3:-}
fail() { echo "FAILED: $*" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for file in "$emulated" "$library"; do
  nm -D --defined-only "$file" | awk '{ print $3 }' | sort > "$work/$(basename "$file").exported"
done
[ -s "$work/$(basename "$library").exported" ] || fail "$library exports nothing"
diff "$work/$(basename "$emulated").exported" "$work/$(basename "$library").exported" || fail "they differ in what they export"
nm -C "$emulated" > "$work/symbols"
grep -q 'rtjit::emu::' "$work/symbols" || fail "$emulated has no emulator"
# Sanitizers keep functions that nothing calls.
if [ -z "$sanitized" ] && grep -m 3 'rtjit::open_cuda_device' "$work/symbols"; then fail "$emulated has the CUDA driver's device too"; fi
