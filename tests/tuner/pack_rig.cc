#include "tests/tuner/pack_rig.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "compiler/compile_pool.h"
#include "compiler/nvrtc.h"
#include "emulator/emulated_device.h"

namespace rtjit::test {
namespace {

using ::testing::HasSubstr;

Result<std::shared_ptr<CompilePool>> open_compiler() {
  auto nvrtc = Nvrtc::open();
  if (!nvrtc) return nvrtc.error();
  return std::make_shared<CompilePool>(*nvrtc);
}

bool holds(const Binary& binary, const std::string& kernel) {
  return std::any_of(binary.kernels.begin(), binary.kernels.end(), [&](const Binary::Kernel& entry) {
    return entry.name_expression.find(kernel) != std::string::npos;
  });
}

}  // namespace

std::string PackRig::template_folder() {
  const char* data = std::getenv("RTJIT_TEST_DATA");
  return std::string(data == nullptr ? RTJIT_SOURCE_DIR "/tests/data" : data) + "/templates/packed_scale";
}

Result<std::unique_ptr<PackRig>> PackRig::create(const std::string& target) {
  std::unique_ptr<PackRig> rig(new PackRig());
  rig->folder_ = std::filesystem::temp_directory_path() / fmt::format("rtjit_pack_rig_{}", ::getpid());
  std::filesystem::remove_all(rig->folder_);
  std::filesystem::create_directories(rig->folder_);
  auto parsed = Target::parse(target);
  if (!parsed) return parsed.error();
  rig->target_ = *parsed;
  auto registry = TemplateRegistry::create({template_folder()});
  if (!registry) return registry.error();
  rig->registry_ = *registry;
  auto tmpl = (*registry)->find("packed_scale");
  if (!tmpl) return tmpl.error();
  rig->tmpl_ = *tmpl;
  auto problem = make_problem(**tmpl, {});
  if (!problem) return problem.error();
  StoreOptions options;
  options.path = (rig->folder_ / "cache.db").string();
  auto store = Store::open(options);
  if (!store) return store.error();
  TuneRequest request;
  request.tmpl = *tmpl;
  request.problem = *problem;
  request.target = *parsed;
  request.store = store->get();
  request.compiler = open_compiler;
  request.emulator = [](const Target& wanted) { return make_emulated_device(wanted); };
  if (auto report = tune(request); !report) return report.error();
  auto contents = read_contents(**store);
  if (!contents) return contents.error();
  rig->whole_ = rig->contents_ = std::move(*contents);
  return rig;
}

PackRig::~PackRig() { std::filesystem::remove_all(folder_); }

void PackRig::restore() { contents_ = whole_; }

Result<Binary> PackRig::compile_altered(const Binary& binary, const std::string& from,
                                        const std::string& to) {
  auto altered = std::make_shared<Template>(*tmpl_);
  std::string& text = altered->sources.at(tmpl_->pack_source);
  const size_t at = text.find(from);
  if (at == std::string::npos)
    return make_error(ErrorCode::not_found, "'{}' is not in {}", from, tmpl_->pack_source);
  text.replace(at, from.size(), to);
  CompileRequest request;
  request.tmpl = altered;
  request.source = tmpl_->pack_source;  // all kernels are in it
  request.target = target_;
  for (const Binary::Kernel& kernel : binary.kernels)
    request.name_expressions.push_back(kernel.name_expression);
  auto nvrtc = Nvrtc::open();
  if (!nvrtc) return nvrtc.error();
  auto outcome = compile(**nvrtc, request);
  if (!outcome) return outcome.error();
  if (!outcome->binary) return make_error(ErrorCode::compile_failed, "{}", outcome->reject.reason);
  Binary result = *outcome->binary;
  result.key = binary.key;
  return result;
}

Status PackRig::spoil(const std::string& kernel, const std::string& from, const std::string& to) {
  bool found = false;
  for (StoredBinary& stored : contents_.binaries) {
    auto binary = decode_binary(stored);
    if (!binary) return binary.error();
    if (!holds(*binary, kernel)) continue;
    auto altered = compile_altered(*binary, from, to);
    if (!altered) return altered.error();
    auto encoded = encode_binary(*altered, stored.target, stored.label);
    if (!encoded) return encoded.error();
    stored = std::move(*encoded);
    found = true;
  }
  if (found) return {};
  return make_error(ErrorCode::not_found, "no binary holds {}", kernel);
}

Status PackRig::let_the_oracle_win() {
  for (WinnerRow& winner : contents_.winners) {
    winner.variant = "reference";
    winner.config = "";
  }
  for (const TuningRow& row : contents_.rows) {
    if (row.key.variant != "reference" || row.binary_key.empty()) continue;
    Binary binary;
    binary.key = row.binary_key;
    binary.kernels.emplace_back().name_expression = "rtjit::packed_scale::reference";
    auto compiled = compile_altered(binary, "#pragma once", "#pragma once");
    if (!compiled) return compiled.error();
    auto encoded = encode_binary(*compiled, target_.name(), "reference");
    if (!encoded) return encoded.error();
    contents_.binaries.push_back(std::move(*encoded));
    return {};
  }
  return make_error(ErrorCode::not_found, "no row tells of the oracle's binary");
}

Result<std::string> PackRig::write(bool with_ptx) {
  PackRequest request{tmpl_->name, tmpl_->content_hash, contents_.winners.front().problem, "", {}};
  for (const StoredBinary& stored : contents_.binaries) {
    if (auto binary = decode_binary(stored); binary && holds(*binary, "scale::turn"))
      request.other_binaries.push_back(stored.key);
  }
  auto pack = select_for_pack(contents_, target_.name(), {request}, with_ptx);
  if (!pack) return pack.error();
  const std::string path = (folder_ / "a.rtpack").string();
  if (Status status = write_pack(*pack, path, std::nullopt); !status) return status.error();
  return path;
}

Result<PackReport> PackRig::check_without_running() {
  auto path = write();
  if (!path) return path.error();
  auto info = read_pack(*path);
  if (!info) return info.error();
  return check_pack(*path, info->manifest, *registry_);
}

Result<PackResults> PackRig::check(const DeviceInfo& device, std::vector<std::string> worker) {
  auto path = write();
  if (!path) return path.error();
  auto info = read_pack(*path);
  if (!info) return info.error();
  PackRun run;
  run.device = device;
  run.worker_command = std::move(worker);
  run.template_folders = {template_folder()};
  run.compiler = open_compiler;
  return check_pack_results(*path, info->manifest, *registry_, run);
}

void expect_wrong_kernels_to_be_found(PackRig& rig, const DeviceInfo& device,
                                      const std::vector<std::string>& worker) {
  struct Case {
    const char *name, *kernel, *from, *to;
    bool oracle_wins;
    std::vector<Verdict> verdicts;  // packing, buckets 4 and 64
    const char* reason;
  };
  const std::vector<Verdict> packing_only = {Verdict::wrong, Verdict::ok, Verdict::ok},
                             launches_only = {Verdict::ok, Verdict::wrong, Verdict::wrong};
  const std::vector<Case> cases = {
      {"right", "", "", "", false, {Verdict::ok, Verdict::ok, Verdict::ok}, ""},
      {"the winner", "scale::blocked", "raised[i] * turned", "1.001f * raised[i] * turned", false,
       launches_only, "out has"},
      {"a stage that is not tuned", "scale::raise", "x[i] + 1.0f", "x[i] + 1.01f", false, launches_only,
       "out has"},
      {"the last row only", "scale::blocked", "out[i] =", "out[i] = (i == n - 1 ? 2.0f : 1.0f) *", false,
       launches_only, "out has"},
      {"packing", "scale::turn", "[width - 1 - i] = w[i]", "[i] = w[i]", false, packing_only,
       "of 512 B of the packed weights"},
      {"the oracle's own kernel", "scale::reference", "* raised[i];", "* raised[i] * 1.001f;", true,
       launches_only, "out has"},
  };
  for (const Case& entry : cases) {
    SCOPED_TRACE(entry.name);
    rig.restore();
    if (entry.oracle_wins) {
      const Status status = rig.let_the_oracle_win();
      ASSERT_TRUE(status.ok()) << status.error().message;
    }
    if (entry.kernel[0] != '\0') {
      const Status status = rig.spoil(entry.kernel, entry.from, entry.to);
      ASSERT_TRUE(status.ok()) << status.error().message;
    }
    auto report = rig.check_without_running();
    ASSERT_TRUE(report.ok()) << report.error().message;
    EXPECT_THAT(report->findings, ::testing::IsEmpty());  // nothing but running it shows it
    auto found = rig.check(device, worker);
    ASSERT_TRUE(found.ok()) << found.error().message;
    EXPECT_THAT(found->not_checked, ::testing::IsEmpty());
    ASSERT_EQ(found->results.size(), entry.verdicts.size());
    for (size_t i = 0; i < found->results.size(); ++i) {
      const PackResult& result = found->results[i];
      SCOPED_TRACE(result.bucket);
      EXPECT_STREQ(to_string(result.outcome.verdict), to_string(entry.verdicts[i])) << result.outcome.reason;
      EXPECT_THAT(result.not_in_pack, ::testing::IsEmpty());
      EXPECT_EQ(result.bucket, (std::vector<int64_t>{0, 4, 64})[i]);
      EXPECT_EQ(result.pipeline.empty(), i == 0);
      EXPECT_THAT(result.outcome.reason, HasSubstr(entry.verdicts[i] == Verdict::ok ? "" : entry.reason));
      EXPECT_GT(result.outcome.compared, 0);
      if (i > 0 && entry.verdicts[i] == Verdict::ok) {
        EXPECT_EQ(result.outcome.cases, 6);
        EXPECT_LE(result.outcome.rel_l2, result.rel_l2_limit);
        EXPECT_EQ(result.max_err_limit, 5e-6) << "of the case that holds for the problem";
      }
    }
  }
}

}  // namespace rtjit::test
