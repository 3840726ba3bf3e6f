// Records what a GPU returns for the cases of this folder, and compares; kUsage has the commands.
#include <fmt/format.h>

#include <cstdio>
#include <cstring>

#include "runtime/cuda_device.h"
#include "tests/silicon/record.h"
#include "tests/silicon/runner.h"

namespace rtjit::silicon {
namespace {

const char kUsage[] =
    "silicon list                   the cases\n"
    "silicon ptx                    their kernels, for an assembler\n"
    "silicon bounds                 the table of bounds for docs/emulator.md\n"
    "silicon record FULL [FILTER]   runs the cases on the GPU and adds what it returned to the file FULL\n"
    "silicon pack FULL OUT          what of it goes into tests/data/silicon\n"
    "silicon compare FILE [FILTER]  runs the cases on the emulator and compares with either file\n"
    "silicon dump FULL FILTER       the same, and the words that differ";

int fail(const std::string& message) {
  fmt::print(stderr, "{}\n", message);
  return 1;
}

int record(const std::string& path, const std::string& filter) {
  Result<std::unique_ptr<Device>> device = open_cuda_device(0);
  if (!device.ok()) return fail(device.error().message);
  RecordFile file;
  if (Result<RecordFile> earlier = load_records(path); earlier.ok()) file = std::move(*earlier);
  file.device = (*device)->info().name;
  file.driver = (*device)->info().driver_version;
  std::string failure;
  for (const Case& c : all_cases()) {
    if (c.name.find(filter) == std::string::npos) continue;
    auto known = file.records.find(c.name);
    if (known != file.records.end() && known->second.fingerprint == fingerprint(c)) continue;
    Result<std::vector<uint8_t>> results = run_case(**device, c);
    file.records[c.name] = make_record(c, results.ok() ? *results : std::vector<uint8_t>(), true);
    if (results.ok()) continue;
    // A fault makes the context useless. The empty record keeps the next run from trying this case again.
    failure = fmt::format("{}: {}", c.name, results.error().message);
    break;
  }
  if (Status status = save(file, path); !status) return fail(status.error().message);
  fmt::print("{}: {} records\n", file.device, file.records.size());
  return failure.empty() ? 0 : fail(failure + "\nRun this again for the other cases.");
}

int pack(const std::string& path, const std::string& out) {
  Result<RecordFile> file = load_records(path);
  if (!file.ok()) return fail(file.error().message);
  RecordFile packed{file->device, file->driver, {}};
  for (const Case& c : all_cases()) {
    auto full = file->records.find(c.name);
    if (full == file->records.end() || full->second.fingerprint != fingerprint(c) ||
        full->second.bytes.empty())
      fmt::print("{}: no record\n", c.name);
    else
      packed.records[c.name] = make_record(c, full->second.bytes);
  }
  Status status = save(packed, out);
  return status ? 0 : fail(status.error().message);
}

int compare_file(const std::string& path, const std::string& filter, bool dump) {
  Result<RecordFile> file = load_records(path);
  if (!file.ok()) return fail(file.error().message);
  Result<std::unique_ptr<Device>> device = silicon_emulator();
  if (!device.ok()) return fail(device.error().message);
  int wrong = 0, missing = 0, count = 0;
  for (const Case& c : all_cases()) {
    if (c.name.find(filter) == std::string::npos) continue;
    ++count;
    auto stored = file->records.find(c.name);
    Result<std::vector<uint8_t>> results = run_case(**device, c);
    if (!results.ok()) {
      ++wrong;
      fmt::print("{}\n    {}\n", c.name, results.error().message);
      continue;
    }
    if (stored == file->records.end() || stored->second.fingerprint != fingerprint(c)) {
      ++missing;
      continue;
    }
    double worst = 0;
    std::string difference = compare(c, stored->second, *results, &worst);
    if (!difference.empty()) ++wrong, fmt::print("{}\n    {}\n", c.name, difference);
    if (worst > 0) fmt::print("{}\n    at most {} ulp\n", c.name, worst);
    for (size_t at = 0; dump && at + 4 <= std::min(results->size(), stored->second.bytes.size()); at += 4) {
      uint32_t x = 0, y = 0;
      std::memcpy(&x, &stored->second.bytes[at], 4);
      std::memcpy(&y, &(*results)[at], 4);
      if (x != y) fmt::print("{:5} {:08x} {:08x}\n", at / 4, x, y);
    }
  }
  fmt::print("{} cases, {} differ or fail, {} without a record\n", count, wrong, missing);
  return wrong || missing ? 1 : 0;
}

int run(const std::vector<std::string>& arguments) {
  std::string command = arguments.empty() ? "" : arguments[0];
  if (command == "list") {
    for (const Case& c : all_cases()) fmt::print("{}\n", c.name);
    return 0;
  }
  if (command == "ptx") {
    for (const Case& c : all_cases()) fmt::print("//// {}\n{}", c.name, c.ptx);
    return 0;
  }
  if (command == "bounds") return fmt::print("{}", bounds_table()), 0;
  if (arguments.size() < 2) return fail(kUsage);
  std::string third = arguments.size() > 2 ? arguments[2] : "";
  if (command == "record") return record(arguments[1], third);
  if (command == "pack" && !third.empty()) return pack(arguments[1], third);
  if (command == "compare" || command == "dump") return compare_file(arguments[1], third, command == "dump");
  return fail(kUsage);
}

}  // namespace
}  // namespace rtjit::silicon

int main(int count, char** arguments) { return rtjit::silicon::run({arguments + 1, arguments + count}); }
