#include "base/files.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace rtjit {
namespace {

class Files : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "rtjit-files-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(Files, ParentDirectory) {
  EXPECT_EQ(parent_directory("a/b.db"), "a");
  EXPECT_EQ(parent_directory("b.db"), ".");
  EXPECT_EQ(parent_directory("/b.db"), "/");
  EXPECT_EQ(parent_directory("/a/b/"), "/a");
}

TEST_F(Files, MakesAllMissingFolders) {
  const std::string path = folder_ + "/a/b/c";
  ASSERT_TRUE(make_directories(path).ok());
  EXPECT_TRUE(std::filesystem::is_directory(path));
  EXPECT_TRUE(make_directories(path).ok());
  EXPECT_TRUE(directory_is_writable(path));
  EXPECT_EQ(std::filesystem::status(path).permissions() & std::filesystem::perms::others_write,
            std::filesystem::perms::none);
}

TEST_F(Files, SaysWhatIsInTheWay) {
  std::ofstream(folder_ + "/file") << "x";
  const Status status = make_directories(folder_ + "/file/below");
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find(folder_ + "/file"), std::string::npos);
  EXPECT_FALSE(make_directories("/proc/rtjit/below").ok());
}

TEST_F(Files, IdentityFollowsTheFileNotThePath) {
  const std::string path = folder_ + "/file";
  EXPECT_FALSE(file_identity(path).has_value());
  EXPECT_EQ(file_bytes(path), 0);
  std::ofstream(path) << "abc";
  std::ofstream(path + "2") << "abc";
  const auto identity = file_identity(path);
  EXPECT_EQ(file_bytes(path), 3);
  std::filesystem::rename(path + "2", path);
  EXPECT_NE(file_identity(path), identity);
}

TEST_F(Files, KnowsNetworkFileSystems) {
  EXPECT_EQ(network_file_system_name(0x6969), "nfs");
  EXPECT_EQ(network_file_system_name(0xFFFFFFFFFF534D42), "smb") << "sign-extended";
  EXPECT_EQ(network_file_system_name(0xEF53), "") << "ext4";
  EXPECT_EQ(network_file_system_name(0x794C7630), "") << "overlayfs";
  EXPECT_EQ(network_file_system("/proc"), "");
  EXPECT_EQ(network_file_system(folder_ + "/missing"), "");
}

TEST_F(Files, UtcStamp) {
  EXPECT_EQ(utc_stamp(0), "19700101T000000Z");
  EXPECT_EQ(utc_stamp(1760000000), "20251009T085320Z");
}

TEST_F(Files, ALockExcludesOthersUntilItsHolderDies) {
  const std::string path = folder_ + "/lock";
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const FileLock lock(path);
    if (write(ready[1], "x", 1) != 1) _exit(1);
    pause();
    _exit(2);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_FALSE(FileLock(path, std::chrono::milliseconds(20)).held());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(FileLock(path, std::chrono::milliseconds(20)).held());
  EXPECT_FALSE(FileLock(folder_ + "/missing/lock").held());
}

}  // namespace
}  // namespace rtjit
