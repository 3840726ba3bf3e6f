// A consumer in C++17: exceptions carry the status and the message; tensors are described in one line each.
#include <cstdio>
#include <rtjit.hpp>

int main() {
  std::printf("version %s\n", rtjit_version());
  rtjit_tensor x = rtjit::tensor("x", nullptr, RTJIT_BF16, {7, 2880}, {2944, 1});
  if (x.rank != 2 || x.shape[1] != 2880 || x.stride[0] != 2944) return 1;
  try {
    rtjit::tensor("x", nullptr, RTJIT_BF16, {1, 2}, {1});
    return 1;
  } catch (const rtjit::Error& error) {
    if (error.status() != RTJIT_INVALID_ARGUMENT) return 1;
  }
  try {
    rtjit::LibraryOptions options;
    options.database = ":memory:";
    rtjit::Library library(options);
    std::printf("status ok\n");
    try {
      library.open("no_such_template", "");
      return 1;
    } catch (const rtjit::Error& error) {
      return error.status() == RTJIT_NOT_FOUND ? 0 : 1;
    }
  } catch (const rtjit::Error& error) {
    std::printf("status %s\nmessage %s\n", rtjit_status_name(error.status()), error.what());
    return error.status() == RTJIT_UNAVAILABLE || error.status() == RTJIT_NO_GPU ? 0 : 1;
  }
}
