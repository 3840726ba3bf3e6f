// A file layer for SQLite that works until it is told to fail: how the tests fill a disk or break it at any
// write.
#pragma once

#include <string>

namespace rtjit {

struct FaultPlan {
  int fail_at = -1;      // the first operation that changes a file and fails, counted from 0; -1: none
  bool for_good = true;  // whether all later ones fail too
  bool partly = false;   // a failing write leaves half of its bytes
  int sqlite_code = 13;  // SQLITE_FULL
};

// Registers the layer (once) and sets the plan; the count of operations begins anew. Returns its name for
// StoreOptions::vfs. One plan per process.
std::string set_fault_plan(const FaultPlan& plan);

// Operations since the plan was set.
int fault_operations();

}  // namespace rtjit
