// Runs a fuzz target without libFuzzer: every file of a corpus, and variations of each that are the same in
// every run.
//   replay CORPUS_FOLDER
// RTJIT_TEST_FUZZ_ROUNDS: how many variations of each file (200).
#include <algorithm>
#include <filesystem>
#include <iterator>
#include <random>
#include <vector>

#include "fuzz/fuzz.h"

namespace {

using Bytes = std::vector<uint8_t>;

Bytes vary(Bytes bytes, std::mt19937& random) {
  const auto below = [&](size_t limit) {
    return std::uniform_int_distribution<size_t>(0, limit - 1)(random);
  };
  for (size_t step = 0, steps = 1 + below(4); step < steps; ++step) {
    if (bytes.empty()) return bytes;
    const size_t at = below(bytes.size()), length = std::min(bytes.size() - at, 1 + below(64));
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(at),
               end = begin + static_cast<std::ptrdiff_t>(length);
    switch (below(6)) {
      case 0:
        bytes[at] = static_cast<uint8_t>(bytes[at] ^ (1u << below(8)));
        break;
      case 1:
        bytes[at] = static_cast<uint8_t>(below(256));
        break;
      case 2:
        bytes.erase(begin, end);
        break;
      case 3:
        bytes.resize(at);
        break;
      case 4: {  // a piece once more, elsewhere
        const Bytes piece(begin, end);
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(below(bytes.size())), piece.begin(),
                     piece.end());
        break;
      }
      case 5:
        std::fill(begin, end, static_cast<uint8_t>(below(2) * 255));
        break;
    }
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
    return 1;
  }
  const char* wanted = std::getenv("RTJIT_TEST_FUZZ_ROUNDS");
  const int rounds = wanted == nullptr ? 200 : std::atoi(wanted);
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    std::fprintf(stderr, "%s: an empty corpus tests nothing\n", argv[1]);
    return 1;
  }
  std::mt19937 random(20261127);
  for (const auto& file : files) {
    std::ifstream stream(file, std::ios::binary);
    const Bytes seed((std::istreambuf_iterator<char>(stream)), {});
    LLVMFuzzerTestOneInput(seed.data(), seed.size());
    for (int i = 0; i < rounds; ++i) {
      const Bytes varied = vary(seed, random);
      LLVMFuzzerTestOneInput(varied.data(), varied.size());
    }
  }
  std::printf("%zu files, %d variations of each\n", files.size(), rounds);
  return 0;
}
