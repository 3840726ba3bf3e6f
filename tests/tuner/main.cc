// The test program is also the measuring worker of its own tests: `test_tuner worker [misbehaviour]`.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "tests/tuner/fake_device.h"
#include "tuner/worker.h"

int main(int argc, char** argv) {
  if (argc >= 2 && std::strcmp(argv[1], "worker") == 0) {
    std::string misbehaviour = argc >= 3 ? argv[2] : "";
    return rtjit::run_worker(
        STDIN_FILENO, STDOUT_FILENO, [&](int) -> rtjit::Result<std::unique_ptr<rtjit::Device>> {
          return rtjit::test::make_fake_device("sm_90a", rtjit::test::parse_misbehaviour(misbehaviour));
        });
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
