// Makes the database that the library carries from texts of `rtjit cache export`:
//   rtjit_make_prebuilt [--check] OUTPUT.db TEXT...
// What belongs to another version of a template than the one here would never be served: it is left out and
// reported, with
// --check as exit status 1. No clock and no machine goes in: the same texts give the same file.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <span>
#include <string>

#include "cache/pack.h"
#include "cache/pack_meta.h"
#include "cache/row_fields.h"
#include "cache/text_form.h"
#include "templates/registry.h"

namespace rtjit {
namespace {

// Keeps what the templates here can use; counts the rest by template.
template <typename Row, typename NameOf>
void keep_current(const TemplateRegistry& registry, std::vector<Row>* rows, std::map<std::string, int>* stale,
                  NameOf&& name_of) {
  std::erase_if(*rows, [&](const Row& row) {
    const auto [name, hash] = name_of(row);
    const auto tmpl = registry.find(name);
    if (tmpl.ok() && (*tmpl)->content_hash == hash) return false;
    ++(*stale)[name];
    return true;
  });
}

Result<bool> run(const std::string& output, std::span<char*> texts) {
  auto registry = TemplateRegistry::create();
  if (!registry) return registry.error();
  PackContents pack;
  pack.manifest.target = "all";
  bool fresh = true;
  for (const char* path : texts) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return make_error(ErrorCode::io, "{} cannot be read", path);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    auto contents = parse_text(text);
    if (!contents) return contents.error().with_context(path);
    std::map<std::string, int> stale;
    keep_current(**registry, &contents->rows, &stale, [](const TuningRow& row) {
      return std::pair(row.key.template_name, row.key.template_hash);
    });
    keep_current(**registry, &contents->winners, &stale,
                 [](const WinnerRow& row) { return std::pair(row.template_name, row.template_hash); });
    for (const auto& [name, count] : stale) {
      fresh = false;
      fmt::print(stderr,
                 "{}: {} lines are about another version of {} and are left out; tools/prebuilt/generate.sh "
                 "makes them anew\n",
                 path, count, name);
    }
    std::move(contents->rows.begin(), contents->rows.end(), std::back_inserter(pack.contents.rows));
    std::move(contents->winners.begin(), contents->winners.end(), std::back_inserter(pack.contents.winners));
  }
  const auto by_identity = [](const auto& a, const auto& b) { return row_identity(a) < row_identity(b); };
  std::sort(pack.contents.rows.begin(), pack.contents.rows.end(), by_identity);
  std::sort(pack.contents.winners.begin(), pack.contents.winners.end(), by_identity);
  pack.manifest.content_sha256 = pack_content_hash(pack.contents);
  if (Status status = write_pack(pack, output, std::nullopt); !status) return status.error();
  return fresh;
}

}  // namespace
}  // namespace rtjit

int main(int argc, char** argv) {
  const bool check = argc > 1 && std::strcmp(argv[1], "--check") == 0;
  const int first = check ? 2 : 1;
  if (argc <= first) {
    fmt::print(stderr, "usage: rtjit_make_prebuilt [--check] OUTPUT.db TEXT...\n");
    return 2;
  }
  const auto fresh = rtjit::run(argv[first], std::span(argv + first + 1, argv + argc));
  if (!fresh) {
    fmt::print(stderr, "rtjit_make_prebuilt: {}\n", fresh.error().message);
    return 2;
  }
  return *fresh || !check ? 0 : 1;
}
