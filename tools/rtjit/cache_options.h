// What the sub-verbs of `rtjit cache` share. They are registered in groups, one file each.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "base/result.h"
#include "cache/store.h"
#include "tools/rtjit/command.h"
#include "tools/rtjit/scope_options.h"

namespace rtjit {

struct CacheOptions {
  std::string database;
  bool json = false;

  void add_to(CLI::App& verb);  // --db and --json

  // The path of the user database, given or found.
  Result<std::string> path() const;

  // What is written must not take the place of the cache that is read: an error when `output` is one of its
  // files.
  static Status check_output(const std::string& output, const std::string& database);

  // For sub-verbs that only look or take away: a file that --db names must be there, and a slip of the pen is
  // not made one.
  Result<std::unique_ptr<Store>> open_existing() const;
};

void add_cache_show(CLI::App& cache, Action* action);      // show
void add_cache_exchange(CLI::App& cache, Action* action);  // merge, export, import
void add_cache_care(CLI::App& cache, Action* action);      // verify, gc

}  // namespace rtjit
