#!/usr/bin/env bash
# ./run in a tree that its user may not write says what to do, in one message and before any work.
set -euo pipefail
source=$1
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cp "$source/run" "$tree/run"
chmod 555 "$tree" "$tree/run"
as_user=()
if [ "$(id -u)" -eq 0 ]; then
  command -v setpriv > /dev/null || { echo "setpriv is not here: skipped"; exit 77; }
  as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
if said=$("${as_user[@]}" "$tree/run" build 2>&1); then
  echo "it succeeded: $said"
  exit 1
fi
for part in "may not write to $tree/build" "cp -r $tree ~/librtjit && cd ~/librtjit && ./run build" "sudo chown -R"; do
  [[ $said == *"$part"* ]] || { echo "'$part' is not in: $said"; exit 1; }
done
[[ $said != *mkdir* ]] || { echo "a bare error of mkdir: $said"; exit 1; }
