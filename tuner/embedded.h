// The files of tuner/coefficients and tuner/ceilings, embedded at build time.
#pragma once

#include <span>

#include "templates/embedded.h"

namespace rtjit {

std::span<const EmbeddedFile> embedded_coefficients();
std::span<const EmbeddedFile> embedded_ceilings();

}  // namespace rtjit
