// The test program is also the measuring worker of its own tests: `test_device worker --cuda`.
#include <gtest/gtest.h>

#include "tests/tuner/misbehaving_rig.h"

int main(int argc, char** argv) {
  int exit_code = 0;
  if (rtjit::test::is_misbehaving_worker(argc, argv, &exit_code)) return exit_code;
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
