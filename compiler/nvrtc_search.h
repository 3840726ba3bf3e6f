// Where NVRTC may be on this machine. Finds files only; nothing is opened or executed.
#pragma once

#include <string>
#include <vector>

namespace rtjit {

struct NvrtcSearch {
  std::vector<std::string> candidates;  // what to open, in order; bare names are for the loader's own search
  std::vector<std::string> places;      // everything that was looked at, for people
};

// RTJIT_NVRTC alone when it is set; else the loader's path, CUDA_HOME, CUDA_PATH, /usr/local/cuda*, and the
// wheels in the Python environments: VIRTUAL_ENV, CONDA_PREFIX, that of the python3 on PATH, the user's and
// the system's. Within one place the newest version comes first.
NvrtcSearch search_nvrtc();

}  // namespace rtjit
