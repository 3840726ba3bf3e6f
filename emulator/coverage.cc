#include "emulator/coverage.h"

#include <algorithm>
#include <map>

#include "emulator/program_builder.h"

namespace rtjit {

bool Coverage::complete() const {
  return problems.empty() &&
         std::none_of(forms.begin(), forms.end(), [](const CoverageForm& form) { return form.missing; });
}

Result<Coverage> ptx_coverage(const std::string& ptx) {
  auto memory = emu::GlobalMemory::create(uint64_t(16) << 30);
  if (!memory) return memory.error();
  auto loaded = emu::load_module(ptx, **memory);
  if (!loaded) return loaded.error();

  Coverage coverage;
  coverage.target = loaded->module->target;
  std::map<std::string, CoverageForm> forms;
  for (const ptx::Function& function : loaded->module->functions) {
    for (const ptx::Instruction& in : function.body) {
      CoverageForm& form = forms[in.opcode()];
      if (form.count++ == 0) form.first_line = in.line;
    }
  }
  for (const ptx::Function& function : loaded->module->functions) {
    if (!function.is_entry) continue;
    coverage.kernels++;
    std::vector<emu::UnsupportedInstruction> missing;
    auto program = emu::build_program(*loaded, function.name, &missing);
    if (!program.ok() && missing.empty()) coverage.problems.push_back(program.error().message);
    for (const emu::UnsupportedInstruction& use : missing) {
      CoverageForm& form = forms[use.form];
      if (form.missing) continue;
      form.missing = true;
      form.first_line = use.line;
      form.reason = use.reason;
    }
  }
  for (auto& [name, form] : forms) {
    form.form = name;
    coverage.forms.push_back(std::move(form));
  }
  std::stable_sort(coverage.forms.begin(), coverage.forms.end(),
                   [](const CoverageForm& a, const CoverageForm& b) {
                     return a.missing != b.missing ? a.missing : a.count > b.count;
                   });
  return coverage;
}

}  // namespace rtjit
