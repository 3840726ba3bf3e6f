#!/usr/bin/env bash
# Makes the predicted texts of cache/prebuilt/ anew, all or those named:
#   tools/prebuilt/generate.sh [TARGET...]            predicted winners, no GPU needed
#   tools/prebuilt/generate.sh --measured NAME DB     what a GPU measured, such as h200: the winners of a cache that was tuned there
# One text per target: a prediction knows the target, not the board. Takes minutes per target: every config is compiled and
# the winners run on the emulator.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
RTJIT=${RTJIT:-build/${RTJIT_PRESET:-ci}/bin/rtjit}
OUT=cache/prebuilt
# A100; A10; L4, L40S and RTX 4090; H100 and H200; B200; B300; RTX 5090 and RTX PRO 6000; GB10
TARGETS=(sm_80 sm_86 sm_89 sm_90a sm_100a sm_103a sm_120a sm_121a)

die() { echo "generate.sh: $*" >&2; exit 1; }
[ -x "$RTJIT" ] || die "$RTJIT is not there; build it first (./run build)"
mkdir -p "$OUT"

if [ "${1:-}" = --measured ]; then
  [ $# -eq 3 ] || die "--measured needs a name, such as h200, and a database"
  # By way of a pack: winners and the rows that tell about them, without times of writing.
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  target=$(sqlite3 "$3" 'SELECT DISTINCT target FROM winners')
  [[ $target == sm_* && $target != *$'\n'* ]] || die "$3 has winners of these targets, one is needed: ${target:-none}"
  "$RTJIT" pack --target "$target" --db "$3" -o "$work/measured.rtpack" >&2
  "$RTJIT" cache export --db "$work/measured.rtpack" -o "$OUT/measured-$2.txt"
  exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ $# -gt 0 ] && TARGETS=("$@")
for target in "${TARGETS[@]}"; do
  for preset in presets/*.toml; do
    name=$(basename "$preset" .toml)
    # A preset says which templates it has a problem for.
    for template in $(sed -n 's/^\[problem\.\([a-z0-9_]*\)\]$/\1/p' "$preset"); do
      [ -d "templates/$template" ] || continue
      echo "$target $name $template" >&2
      "$RTJIT" tune "$template" --target "$target" --preset "$name" --db "$work/$target.db" --quiet > "$work/log" ||
        { cat "$work/log" >&2; die "$target $name $template: tune failed"; }
    done
  done
  # Rows of losers would be most of the text and serve nobody; what misbehaved on an emulator is no fact of a GPU.
  "$RTJIT" cache export --db "$work/$target.db" -o "$work/$target.txt"
  grep -vE '"kind":"(row|quarantine)"' "$work/$target.txt" | sed -E 's/"updated_unix":[0-9]+/"updated_unix":1/' \
    > "$OUT/predicted-$target.txt"
done
