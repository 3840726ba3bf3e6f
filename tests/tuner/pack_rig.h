// Packs of tests/data/templates/packed_scale, made right and then spoiled: one binary computes something else
// than its template says, under the right name and with all hashes right, as a vendor's broken build would
// leave it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cache/contents.h"
#include "templates/registry.h"
#include "tuner/pack_check.h"
#include "tuner/pack_results.h"

namespace rtjit::test {

class PackRig {
 public:
  // Tunes for the target on the emulator and keeps what a pack is made of. Files go to a folder of its own.
  static Result<std::unique_ptr<PackRig>> create(const std::string& target);
  ~PackRig();

  // In what is packed from now on, the binary that holds `kernel` ("scale::turn") is compiled from a source
  // in which `from` reads `to`.
  Status spoil(const std::string& kernel, const std::string& from, const std::string& to);
  // The oracle's own config wins in every bucket; its binary goes into the pack.
  Status let_the_oracle_win();
  void restore();

  // The pack as it is now, in a file that goes with the rig.
  Result<std::string> write(bool with_ptx = true);
  static std::string template_folder();

  // Of that pack.
  Result<PackReport> check_without_running();
  Result<PackResults> check(const DeviceInfo& device, std::vector<std::string> worker);

 private:
  PackRig() = default;
  Result<Binary> compile_altered(const Binary& binary, const std::string& from, const std::string& to);

  std::filesystem::path folder_;
  std::shared_ptr<const TemplateRegistry> registry_;
  std::shared_ptr<const Template> tmpl_;
  Target target_ = *Target::parse("sm_90a");
  Contents whole_, contents_;
};

// A right pack passes, and one with a wrong kernel is found out, wherever that kernel stands.
void expect_wrong_kernels_to_be_found(PackRig& rig, const DeviceInfo& device,
                                      const std::vector<std::string>& worker);

}  // namespace rtjit::test
