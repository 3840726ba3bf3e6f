// Rows, folders and warnings for the tests of the cache.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "cache/store.h"

namespace rtjit {

// A fresh folder that goes with the object.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rtjit-cache-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all, ignored);
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A store and what it warned of.
struct WatchedStore {
  std::vector<std::string> warnings;
  std::unique_ptr<Store> store;

  explicit WatchedStore(StoreOptions options) {
    options.warn = [this](const std::string& text) { warnings.push_back(text); };
    Result<std::unique_ptr<Store>> opened = Store::open(options);
    if (!opened.ok()) throw std::runtime_error(opened.error().message);
    store = *std::move(opened);
  }
  explicit WatchedStore(const std::string& path) : WatchedStore(StoreOptions{.path = path}) {}
  Store* operator->() { return store.get(); }
  Store& operator*() { return *store; }
};

TuningRow sample_row(int number);
WinnerRow sample_winner(int64_t bucket);
Binary sample_binary(const std::string& key, size_t bytes = 20000);
RowKey any_row();        // the pattern that fits every row
WinnerRow any_winner();  // the pattern that fits every winner

// All fields, as text: equality with a message that can be read.
std::string describe(const TuningRow& row);
std::string describe(const WinnerRow& row);

std::vector<std::string> files_in(const std::string& folder);
int count_set_aside(const std::string& folder);
std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& bytes);

// Runs `body` in a child process; its return value is the exit status. 128 + n: killed by signal n.
pid_t start_child(const std::function<int()>& body);
int wait_child(pid_t child);

}  // namespace rtjit
