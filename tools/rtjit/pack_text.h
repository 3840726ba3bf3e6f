// What a pack says it holds, for people.
#pragma once

#include "cache/pack.h"

namespace rtjit {

void print_manifest(const PackManifest& manifest);

}  // namespace rtjit
