#include "tuner/ceilings.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>

#include "compiler/features.h"
#include "tuner/cost_model.h"
#include "tuner/embedded.h"
#include "tuner/guarded_memory.h"

namespace rtjit {
namespace {

constexpr const char* kFolder = "tuner/ceilings/";
constexpr int kStreamThreads = 512;
constexpr int kMostIterations = 1 << 24;
constexpr int kStreamLaunches = 4;  // between two events, so that the gap before the first does not count
constexpr uint8_t kFill = 0x5A;

// A loop that multiplies: one unit's kernel for one type.
struct MathLoop {
  const char *type, *unit, *source, *kernel;
  const char* feature;  // that the target must have; "" = none
  int threads, blocks_per_sm;
  double flops_per_iteration;  // of a block
};
constexpr double kWarpProduct = 2.0 * 16 * 8 * 16, kGroupProduct = 2.0 * 64 * 256 * 16;
constexpr MathLoop kLoops[] = {
    {"fma", "fma", "math.cuh", "fma", "", 512, 2, 512 * 64 * 2},
    {"bf16", "mma.sync", "math.cuh", "mma<rtjit::ceilings::Bf16>", "mma.bf16", 512, 2, 16 * 8 * kWarpProduct},
    {"fp8", "mma.sync", "math.cuh", "mma<rtjit::ceilings::E4m3>", "mma.fp8", 512, 2,
     16 * 8 * 2 * kWarpProduct},
    {"bf16", "wgmma", "wgmma.cuh", "wgmma<rtjit::ceilings::Bf16>", "wgmma", 256, 1, 2 * 4 * kGroupProduct},
    {"fp8", "wgmma", "wgmma.cuh", "wgmma<rtjit::ceilings::E4m3>", "wgmma", 256, 1, 2 * 4 * 2 * kGroupProduct},
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::shared_ptr<const Template> kernel_sources() {
  auto tmpl = std::make_shared<Template>();
  tmpl->name = "ceilings";
  for (const EmbeddedFile& file : embedded_ceilings()) tmpl->sources[std::string(file.path)] = file.content;
  constexpr std::string_view kTemplates = "templates/", kHeaders = "templates/device/";
  for (const EmbeddedFile& file : embedded_files()) {
    if (file.path.starts_with(kHeaders))
      tmpl->sources[std::string(file.path.substr(kTemplates.size()))] = file.content;
  }
  return tmpl;
}

class CeilingRun {
 public:
  CeilingRun(Device& device, CompilePool& compiler, const CeilingOptions& options)
      : device_(device), compiler_(compiler), options_(options), sources_(kernel_sources()) {
    sms_ = options.sms > 0 ? options.sms : std::max(1, device.info().sm_count);
  }
  ~CeilingRun() {
    if (stream_ != nullptr) device_.destroy_stream(stream_);
  }
  CeilingRun(const CeilingRun&) = delete;
  CeilingRun& operator=(const CeilingRun&) = delete;

  Result<Ceilings> run(const std::set<std::string>& types);

 private:
  struct Loaded {
    std::unique_ptr<Module> module;
    const Kernel* kernel = nullptr;
  };
  Result<Loaded> load(const char* source, const std::string& kernel);
  Status make_buffers();
  Result<double> stream(const char* kernel, bool writes);
  Result<double> multiply(const MathLoop& loop);
  Status launch(const Kernel& kernel, int blocks, int threads, std::array<void*, 3> arguments,
                StreamHandle stream) {
    LaunchConfig config;
    config.grid[0] = static_cast<uint32_t>(blocks);
    config.block[0] = static_cast<uint32_t>(threads);
    return device_.launch(kernel, config, arguments.data(), stream);
  }
  bool has(const char* feature) const { return *feature == '\0' || supports(device_.info().target, feature); }

  Device& device_;
  CompilePool& compiler_;
  const CeilingOptions& options_;
  std::shared_ptr<const Template> sources_;
  int sms_ = 1;
  int64_t pieces_ = 0;  // of 16 bytes, of one buffer
  StreamHandle stream_ = nullptr;
  GuardedMemory from_, to_, out_;
};

Result<CeilingRun::Loaded> CeilingRun::load(const char* source, const std::string& kernel) {
  CompileRequest request;
  request.tmpl = sources_;
  request.source = std::string(kFolder) + source;
  request.name_expressions = {"rtjit::ceilings::" + kernel};
  request.target = device_.info().target;
  request.time_limit = std::chrono::milliseconds(60000);
  const Result<CompileOutcome> outcome = compiler_.submit(request).get();
  if (!outcome) return outcome.error().with_context("measuring the device's ceilings");
  if (outcome->binary == nullptr) {
    return make_error(ErrorCode::compile_failed,
                      "measuring the device's ceilings: {} does not compile: {}\n{}", request.source,
                      outcome->reject.reason, outcome->reject.log);
  }
  auto module = device_.load(*outcome->binary);
  if (!module) return module.error();
  auto found = (*module)->kernel(outcome->binary->kernels.front().symbol);
  if (!found) return found.error();
  return Loaded{std::move(*module), *found};
}

Status CeilingRun::make_buffers() {
  const DeviceInfo& info = device_.info();
  int64_t bytes = options_.buffer_bytes;
  if (bytes <= 0) {
    bytes = std::max<int64_t>(int64_t{1} << 30, 8 * info.l2_bytes);
    // There are two buffers.
    if (info.total_memory > 0) bytes = std::min(bytes, info.total_memory / 8);
  }
  // What the kernels' steps divide, whatever their form.
  const int64_t step = int64_t{16} * kStreamThreads * 8;
  bytes = std::max(bytes / step, int64_t{1}) * step;
  pieces_ = bytes / 16;
  auto stream = device_.create_stream();
  if (!stream) return stream.error();
  stream_ = *stream;
  for (GuardedMemory* memory : {&from_, &to_, &out_}) {
    auto made = GuardedMemory::allocate(device_, memory == &out_ ? 16 : bytes);
    if (!made) return made.error().with_context("buffers to measure the memory with");
    *memory = std::move(*made);
    if (Status s = memory->fill(kFill); !s) return s;
  }
  // Memory is filled on the default stream, for which launches on another do not wait.
  return device_.synchronize(nullptr);
}

// Bytes per microsecond of the fastest form.
Result<double> CeilingRun::stream(const char* kernel, bool writes) {
  double best = 0;
  DevicePtr from = from_.data(), to = writes ? to_.data() : out_.data();
  for (int unroll : {4, 8}) {
    auto loaded = load("stream.cuh", fmt::format("{}<{}>", kernel, unroll));
    if (!loaded) return loaded.error();
    for (int blocks_per_sm : {1, 2, 4}) {
      std::vector<double> times;
      for (int round = 0; round <= options_.rounds; ++round) {
        auto ms = device_.elapsed_ms(stream_, [&](StreamHandle stream) -> Status {
          for (int i = 0; i < kStreamLaunches; ++i) {
            Status s =
                launch(*loaded->kernel, sms_ * blocks_per_sm, kStreamThreads, {&from, &pieces_, &to}, stream);
            if (!s) return s;
          }
          return {};
        });
        if (!ms) return ms.error();
        if (round > 0) times.push_back(*ms * 1000 / kStreamLaunches);  // the first warms up
      }
      const double bytes = static_cast<double>(pieces_) * 16 * (writes ? 2 : 1);
      if (const double us = median(std::move(times)); us > 0) best = std::max(best, bytes / us);
    }
  }
  return best;
}

// Operations per microsecond, at the clock that the device can hold while it does nothing else.
Result<double> CeilingRun::multiply(const MathLoop& loop) {
  auto loaded = load(loop.source, loop.kernel);
  if (!loaded) return loaded.error();
  DevicePtr out = out_.data();
  const int blocks = sms_ * loop.blocks_per_sm;
  int iterations = options_.first_iterations;
  auto time = [&]() {
    return device_.elapsed_ms(stream_, [&](StreamHandle stream) {
      return launch(*loaded->kernel, blocks, loop.threads, {&iterations, &out, nullptr}, stream);
    });
  };
  auto first = time();
  if (first) first = time();  // the one before it loaded the kernel
  if (!first) return first.error();
  const double wanted = options_.launch_us / std::max(*first * 1000, 1.0) * iterations;
  iterations = static_cast<int>(std::clamp<double>(wanted, 1, kMostIterations));
  std::vector<double> times;
  for (int round = 0; round < 2 * options_.rounds; ++round) {
    auto ms = time();
    if (!ms) return ms.error();
    if (round >= options_.rounds) times.push_back(*ms * 1000);
  }
  const double us = median(std::move(times));
  return us > 0 ? loop.flops_per_iteration * blocks * iterations / us : 0;
}

Result<Ceilings> CeilingRun::run(const std::set<std::string>& types) {
  if (Status s = make_buffers(); !s) return s.error();
  Ceilings ceilings;
  ceilings.measured = true;
  auto read = stream("read", false);
  if (!read) return read.error();
  ceilings.read_bytes_per_us = *read;
  auto copy = stream("copy", true);
  if (!copy) return copy.error();
  ceilings.copy_bytes_per_us = *copy;

  const GpuFacts gpu = gpu_facts(device_.info().target, device_.info());
  const Ceilings nominal = nominal_ceilings(gpu, types);
  std::set<std::string> wanted = types;
  wanted.insert("bf16");
  // mma.sync is not what these chips' tensor cores are built for, and no loop of ours uses tcgen05.
  const bool only_data_sheet = has("tcgen05.mma.f16");
  for (const std::string& type : wanted) {
    MathCeiling best;
    best.type = type;
    for (const MathLoop& loop : kLoops) {
      if (type != loop.type || !has(loop.feature) || (only_data_sheet && type != "fma")) continue;
      auto rate = multiply(loop);
      if (!rate) return rate.error();
      if (*rate > best.flops_per_us) best = {type, loop.unit, *rate, true};
    }
    if (!best.measured) {
      if (const MathCeiling* sheet = nominal.find(type)) best = *sheet;
    }
    ceilings.math.push_back(std::move(best));
  }
  // Types that no loop measures here: where there are loops, this chip has no unit for them and their values
  // are widened; where there are none, they are as much faster than bf16 as on paper.
  const MathCeiling bf16 = *ceilings.find("bf16");
  for (MathCeiling& math : ceilings.math) {
    if (math.measured || !bf16.measured || math.type == "fma") continue;
    const bool has_loop = std::any_of(std::begin(kLoops), std::end(kLoops),
                                      [&](const MathLoop& loop) { return math.type == loop.type; });
    const double factor = has_loop ? 1 : relative_rate("mma." + math.type);
    math.flops_per_us = factor * bf16.flops_per_us;
    math.unit = fmt::format("{:g} times bf16", factor);
  }
  return ceilings;
}

}  // namespace

const MathCeiling* Ceilings::find(std::string_view type) const {
  for (const MathCeiling& ceiling : math) {
    if (ceiling.type == type) return &ceiling;
  }
  return nullptr;
}

std::string math_type(std::string_view rate) {
  if (rate == "fma") return "fma";
  const double relative = relative_rate(rate);
  return relative >= 4 ? "fp4" : relative >= 2 ? "fp8" : relative < 1 ? "tf32" : "bf16";
}

Result<Ceilings> measure_ceilings(Device& device, CompilePool& compiler, const std::set<std::string>& types,
                                  const CeilingOptions& options) {
  return CeilingRun(device, compiler, options).run(types);
}

Ceilings nominal_ceilings(const GpuFacts& gpu, const std::set<std::string>& types) {
  Ceilings ceilings;
  ceilings.read_bytes_per_us = gpu.dram_bytes_per_us;
  ceilings.copy_bytes_per_us = gpu.dram_bytes_per_us;
  std::set<std::string> wanted = types;
  wanted.insert("bf16");
  for (const std::string& type : wanted) {
    const double fma = gpu.sm_count * CostCoefficients().fma_lanes_per_clock_sm * 2 * gpu.clock_ghz * 1e3;
    const double rate = type == "fma" ? fma : gpu.bf16_flops_per_us * relative_rate("mma." + type);
    ceilings.math.push_back({type, "data sheet", rate, false});
  }
  return ceilings;
}

}  // namespace rtjit
