// The test program is also the measuring worker of its own tests: `test_tuner worker [misbehaviour]`, and a
// tuning process that they kill: `test_tuner tune DATABASE MISBEHAVIOUR STRATEGY PASSES`.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "tests/tuner/fake_device.h"
#include "tests/tuner/misbehaving_rig.h"
#include "tests/tuner/tune_once.h"
#include "tuner/worker.h"

int main(int argc, char** argv) {
  int exit_code = 0;
  if (rtjit::test::is_misbehaving_worker(argc, argv, &exit_code)) return exit_code;
  if (argc >= 2 && std::strcmp(argv[1], "worker") == 0) {
    std::string misbehaviour = argc >= 3 ? argv[2] : "";
    return rtjit::run_worker(
        STDIN_FILENO, STDOUT_FILENO, [&](int) -> rtjit::Result<std::unique_ptr<rtjit::Device>> {
          return rtjit::test::make_fake_device("sm_90a", rtjit::test::parse_misbehaviour(misbehaviour));
        });
  }
  if (argc == 6 && std::strcmp(argv[1], "tune") == 0) {
    return rtjit::test::tune_once(argv[2], argv[3], argv[4], std::atoi(argv[5]));
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
