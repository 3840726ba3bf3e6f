// The coefficient files of tuner/coefficients, embedded at build time.
#pragma once

#include <span>

#include "templates/embedded.h"

namespace rtjit {

std::span<const EmbeddedFile> embedded_coefficients();

}  // namespace rtjit
