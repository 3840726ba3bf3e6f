// rtjit emulate: runs any PTX file on the CPU and judges every access. Needs no GPU.
#include <cxxabi.h>
#include <fmt/format.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/npy.h"
#include "base/text.h"
#include "emulator/coverage.h"
#include "emulator/emulated_device.h"
#include "emulator/ptx_parser.h"
#include "tools/rtjit/command.h"
#include "tools/rtjit/kernel_argument.h"
#include "tools/rtjit/table.h"

namespace rtjit {
namespace {

struct EmulateOptions {
  std::string file, kernel, target;
  std::string grid = "1", block = "1", cluster = "1";
  uint32_t shared = 0;
  uint64_t steps = emu::Strictness().steps_per_block;
  int threads = 0;
  std::vector<std::string> arguments;
  bool no_races = false, no_tensor_fences = false, allow_uninitialised = false, coverage = false,
       json = false;
};

std::string plain_name(const std::string& symbol) {
  int status = 0;
  char* text = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
  std::string name = status == 0 && text ? text : symbol;
  std::free(text);
  return name;
}

// "scale(float*, int)" -> "scale"; "void scale<float>(float*)" -> "scale<float>".
std::string without_parameters(const std::string& name) {
  std::string out = name.substr(0, name.find('('));
  return out.starts_with("void ") ? out.substr(5) : out;
}

// By its symbol, or by its C++ name where only one kernel has it.
const ptx::Function* find_kernel(const ptx::Module& module, const std::string& name) {
  const ptx::Function* found = nullptr;
  for (const ptx::Function& function : module.functions) {
    if (!function.is_entry) continue;
    if (function.name == name) return &function;
    const std::string plain = plain_name(function.name);
    if (plain != name && without_parameters(plain) != name) continue;
    if (found) return nullptr;
    found = &function;
  }
  return found;
}

int list_kernels(const ptx::Module& module, bool json) {
  nlohmann::json out = nlohmann::json::array();
  Table table({{"kernel"}, {"C++ name"}, {"parameters"}});
  for (const ptx::Function& function : module.functions) {
    if (!function.is_entry) continue;
    std::vector<std::string> parameters;
    nlohmann::json described = nlohmann::json::array();
    for (const ptx::Variable& p : function.parameters) {
      parameters.push_back(describe_parameter(p));
      described.push_back({{"name", p.name},
                           {"type", fmt::format("{}{}", p.type.kind, p.type.bits)},
                           {"bytes", p.bytes},
                           {"align", p.align}});
    }
    const std::string plain = plain_name(function.name);
    out.push_back({{"kernel", function.name}, {"name", plain}, {"parameters", described}});
    table.add({function.name, plain == function.name ? "" : plain, join(parameters, ", ")});
  }
  fmt::print("{}", json ? out.dump(1) + "\n" : table.render());
  return 0;
}

int print_coverage(const std::string& ptx, const EmulateOptions& options) {
  auto coverage = ptx_coverage(ptx);
  if (!coverage) return fail(coverage.error().with_context(options.file));
  int missing = 0;
  if (options.json) {
    nlohmann::json forms = nlohmann::json::array();
    for (const CoverageForm& form : coverage->forms)
      forms.push_back({{"form", form.form},
                       {"count", form.count},
                       {"line", form.first_line},
                       {"missing", form.missing},
                       {"reason", form.reason}});
    fmt::print("{}\n", nlohmann::json{{"file", options.file},
                                      {"target", coverage->target},
                                      {"kernels", coverage->kernels},
                                      {"complete", coverage->complete()},
                                      {"problems", coverage->problems},
                                      {"forms", forms}}
                           .dump(1));
  } else {
    Table table({{"instruction"},
                 {"count", Table::Align::right},
                 {"first line", Table::Align::right},
                 {"emulator"},
                 {"reason"}});
    for (const CoverageForm& form : coverage->forms) {
      table.add({form.form, fmt::format("{}", form.count), fmt::format("{}", form.first_line),
                 form.missing ? "MISSING" : "yes", form.reason});
      missing += form.missing;
    }
    fmt::print("{}\n{} for {}: {} kernels, {} instruction forms, {} missing\n", table.render(), options.file,
               coverage->target, coverage->kernels, coverage->forms.size(), missing);
    for (const std::string& problem : coverage->problems) fmt::print("{}\n", problem);
  }
  return coverage->complete() ? 0 : 1;
}

Result<std::array<uint32_t, 3>> parse_extent(std::string_view option, const std::string& text) {
  std::array<uint32_t, 3> out{1, 1, 1};
  const std::vector<std::string> parts = split(text, ',');
  bool right = !parts.empty() && parts.size() <= 3;
  uint64_t total = 1;
  for (size_t i = 0; right && i < parts.size(); i++) {
    const auto value = parse_int(trim(parts[i]));
    right = value && *value >= 1 && *value <= INT32_MAX;
    if (!right) break;
    out[i] = static_cast<uint32_t>(*value);
    total *= out[i];
    right = total <= UINT32_MAX;
  }
  if (right) return out;
  return make_error(
      ErrorCode::invalid_argument,
      "{} {}: needed are one to three numbers from 1 up, such as 128 or 16,16,1, whose product is below "
      "2^32",
      option, text);
}

Result<Target> choose_target(const EmulateOptions& options, const ptx::Module& module) {
  if (!options.target.empty()) return Target::parse(options.target);
  auto target = Target::parse(module.target);
  if (target) return target;
  return make_error(ErrorCode::invalid_argument,
                    "the PTX is for {}: name the GPU to emulate with --target ({})", module.target,
                    target.error().message);
}

struct Emulated {
  Status launched;
  EmulatorStatistics statistics;
  nlohmann::json outputs = nlohmann::json::array();
};

Result<Emulated> launch(const EmulateOptions& options, const Target& target, const std::string& ptx,
                        const std::string& kernel_name, const LaunchConfig& config,
                        const std::vector<KernelArgument>& arguments) {
  EmulatorOptions emulator;
  emulator.host_threads = options.threads;
  emulator.strictness.races = !options.no_races;
  emulator.strictness.tensor_fences = !options.no_tensor_fences;
  emulator.strictness.uninitialised_global = !options.allow_uninitialised;
  emulator.strictness.steps_per_block = options.steps;
  auto device = make_emulated_device_with(target, emulator);
  if (!device) return device.error();
  auto module = (*device)->load_ptx(ptx);
  if (!module) return module.error().with_context(options.file);
  auto kernel = (*module)->kernel(kernel_name);
  if (!kernel) return kernel.error().with_context(options.file);

  std::vector<DevicePtr> addresses(arguments.size());
  std::vector<std::string> values(arguments.size());
  std::vector<void*> pointers;
  for (size_t i = 0; i < arguments.size(); i++) {
    const KernelArgument& argument = arguments[i];
    values[i] = argument.bytes;
    if (argument.is_buffer) {
      auto address = (*device)->allocate(argument.buffer_bytes());
      if (!address) return address.error();
      addresses[i] = *address;
      values[i] = std::string(reinterpret_cast<const char*>(&addresses[i]), sizeof addresses[i]);
      if (argument.initialised) {
        Status copied = (*device)->copy_to_device(*address, argument.bytes.data(), argument.bytes.size());
        if (!copied.ok()) return copied.error();
      }
    }
    pointers.push_back(values[i].data());
  }
  Emulated outcome;
  outcome.launched = (*device)->launch(**kernel, config, pointers.data(), nullptr);
  outcome.statistics = (*device)->statistics();
  if (!outcome.launched.ok()) return outcome;
  for (size_t i = 0; i < arguments.size(); i++) {
    const KernelArgument& argument = arguments[i];
    if (argument.out.empty()) continue;
    NpyArray array{argument.format.npy, argument.shape, std::string(argument.buffer_bytes(), '\0')};
    Status status = (*device)->copy_to_host(array.data.data(), addresses[i], array.data.size());
    if (status.ok()) status = write_whole_file(argument.out, format_npy(array));
    if (!status.ok()) return status.error();
    outcome.outputs.push_back({{"argument", i + 1},
                               {"file", argument.out},
                               {"type", argument.format.name},
                               {"shape", argument.shape}});
  }
  return outcome;
}

// PTX says its version before anything else; what does not is another kind of file.
Status check_is_ptx(const EmulateOptions& options, const std::string& text) {
  const bool binary = text.starts_with(
      "\x7f"
      "ELF");
  if (!binary && text.find(".version") != std::string::npos) return {};
  const std::string& file = options.file;
  const std::string allowed = "allowed is PTX, a text with a line such as `.version 8.7`";
  if (!binary &&
      (text.find("__global__") != std::string::npos || file.ends_with(".cu") || file.ends_with(".cuh"))) {
    const std::string ptx = file.substr(0, std::min(file.rfind('.'), file.size())) + ".ptx";
    return make_error(
        ErrorCode::invalid_argument,
        "{} is CUDA source, {}. Compile it first:\n  nvcc -ptx -arch={} {} -o {}\n  rtjit emulate {}", file,
        allowed, options.target.empty() ? "sm_90a" : options.target, file, ptx, ptx);
  }
  if (binary) {
    return make_error(
        ErrorCode::invalid_argument,
        "{} is a binary (a cubin or an object file), {}. Where it holds PTX beside its machine code, "
        "`cuobjdump -ptx {}` prints it",
        file, allowed, file);
  }
  return make_error(ErrorCode::invalid_argument, "{} is not PTX: {}", file, allowed);
}

int run(const EmulateOptions& options) {
  auto text = read_whole_file(options.file);
  if (!text) return fail(text.error());
  if (Status status = check_is_ptx(options, *text); !status.ok()) return fail(status.error());
  if (options.coverage) return print_coverage(*text, options);
  auto module = ptx::parse(*text);
  if (!module) return fail(module.error().with_context(options.file));
  if (options.kernel.empty()) return list_kernels(*module, options.json);
  const ptx::Function* kernel = find_kernel(*module, options.kernel);
  if (!kernel) {
    fail(make_error(ErrorCode::not_found,
                    "{} has no kernel '{}', or several of that name; it has:", options.file, options.kernel));
    for (const ptx::Function& function : module->functions) {
      if (!function.is_entry) continue;
      std::vector<std::string> parameters;
      for (const ptx::Variable& p : function.parameters) parameters.push_back(describe_parameter(p));
      fmt::print(stderr, "  {}: {}\n", function.name, join(parameters, ", "));
    }
    return 2;
  }
  auto target = choose_target(options, *module);
  if (!target) return fail(target.error());
  LaunchConfig config;
  config.dynamic_smem = options.shared;
  for (auto [name, value, into] : {std::tuple("--grid", &options.grid, &config.grid),
                                   std::tuple("--block", &options.block, &config.block),
                                   std::tuple("--cluster", &options.cluster, &config.cluster)}) {
    auto extent = parse_extent(name, *value);
    if (!extent) return fail(extent.error());
    *into = *extent;
  }
  std::vector<KernelArgument> arguments;
  for (const std::string& argument : options.arguments) {
    auto parsed = parse_kernel_argument(argument);
    if (!parsed) return fail(parsed.error());
    arguments.push_back(std::move(*parsed));
  }
  if (Status status = check_arguments(*kernel, arguments); !status.ok()) return fail(status.error());

  auto outcome = launch(options, *target, *text, kernel->name, config, arguments);
  if (!outcome) return fail(outcome.error());
  const EmulatorStatistics& statistics = outcome->statistics;
  const bool right = outcome->launched.ok();
  if (!right) fmt::print(stderr, "rtjit: {}\n", outcome->launched.error().message);
  if (options.json) {
    nlohmann::json out{{"kernel", kernel->name},
                       {"target", target->name()},
                       {"ok", right},
                       {"seconds", statistics.seconds},
                       {"warp_instructions", statistics.warp_steps},
                       {"lane_instructions", statistics.lane_instructions},
                       {"outputs", outcome->outputs}};
    if (!right)
      out["fault"] = {{"code", to_string(outcome->launched.error().code)},
                      {"message", outcome->launched.error().message}};
    fmt::print("{}\n", out.dump(1));
  } else if (right) {
    fmt::print("{} on the emulator as {}: no fault, {} lane-instructions in {:.3f} s\n", kernel->name,
               target->name(), with_thousands(static_cast<int64_t>(statistics.lane_instructions)),
               statistics.seconds);
    for (const auto& output : outcome->outputs)
      fmt::print("argument {} written to {}\n", output["argument"].get<int>(),
                 output["file"].get<std::string>());
  }
  return right ? 0 : 1;
}

}  // namespace

void add_emulate(CLI::App& app, Action* action) {
  auto options = std::make_shared<EmulateOptions>();
  CLI::App* verb = app.add_subcommand("emulate", "Run a PTX file on the CPU and judge every access");
  verb->add_option("file", options->file, "PTX that nvcc, NVRTC, Triton or another compiler wrote")
      ->required();
  verb->add_option("--kernel", options->kernel,
                   "Kernel to run, by symbol or C++ name. Default: list the kernels");
  verb->add_option("--grid", options->grid, "Blocks: X,Y,Z")->capture_default_str();
  verb->add_option("--block", options->block, "Threads per block: X,Y,Z")->capture_default_str();
  verb->add_option("--cluster", options->cluster, "Blocks per cluster: X,Y,Z")->capture_default_str();
  verb->add_option("--shared", options->shared, "Dynamic shared memory in bytes")->capture_default_str();
  verb->add_option("--arg", options->arguments, "One argument of the kernel, see below")
      ->allow_extra_args(false);
  verb->add_option("--target", options->target,
                   "GPU to emulate, such as sm_120a. Default: the file's .target");
  verb->add_option("--steps", options->steps, "Warp instructions a block may need at most")
      ->capture_default_str();
  verb->add_option("--threads", options->threads, "Host threads, 0: one per core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  verb->add_flag("--no-races", options->no_races, "Do not look for data races on shared memory (faster)");
  verb->add_flag("--no-tensor-fences", options->no_tensor_fences,
                 "Do not ask for tcgen05.fence where threads hand tensor memory to each other");
  verb->add_flag("--allow-uninitialised", options->allow_uninitialised,
                 "Global memory that nobody wrote may be read");
  verb->add_flag("--coverage", options->coverage,
                 "Instead: list the instruction forms of the file and whether the emulator has them");
  verb->add_flag("--json", options->json, "The result as JSON on standard output");
  verb->footer(std::string(kKernelArgumentHelp) +
               "A fault is reported on standard error with exit code 1; 2 stands for wrong arguments.\n"
               "Example:\n"
               "  rtjit emulate add.ptx --kernel add --grid 4 --block 256 --arg buffer=f32,1000,seed=1 \\\n"
               "      --arg buffer=f32,1000,value=1 --arg buffer=f32,1000,out=sum.npy --arg s32=1000\n");
  verb->callback([options, action] { *action = [options] { return run(*options); }; });
}

}  // namespace rtjit
