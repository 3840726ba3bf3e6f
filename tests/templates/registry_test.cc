#include "templates/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "templates/embedded.h"
#include "tests/templates/test_templates.h"

namespace rtjit {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using testing::data_path;
using ::testing::HasSubstr;
using testing::read_file;
using testing::replaced;
using testing::scale_add_manifest;

// A folder of its own that goes with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "rtjit_registry_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { fs::remove_all(path_); }
  void write(const std::string& relative, const std::string& text) {
    fs::create_directories((path_ / relative).parent_path());
    std::ofstream(path_ / relative) << text;
  }
  std::string path(const std::string& relative = "") const { return (path_ / relative).string(); }

 private:
  fs::path path_;
};

std::string source() { return read_file(data_path("templates/scale_add/scale_add.cuh")); }

std::string create_error(const std::string& folder) {
  auto registry = TemplateRegistry::create({folder});
  return registry.ok() ? "no error" : registry.error().message;
}

TEST(Embedded, FilesAreThoseOfTheTree) {
  ASSERT_FALSE(embedded_files().empty());
  for (const EmbeddedFile& file : embedded_files()) {
    EXPECT_EQ(file.content, read_file(RTJIT_SOURCE_DIR "/" + std::string(file.path))) << file.path;
  }
}

TEST(Registry, EveryBuiltInTemplateLoads) {
  auto registry = *TemplateRegistry::create();
  for (const EmbeddedFile& file : embedded_files()) {
    if (!file.path.ends_with("/template.toml")) continue;
    std::string name = fs::path(file.path).parent_path().filename();
    auto found = registry->find(name);
    EXPECT_TRUE(found.ok()) << (found.ok() ? "" : found.error().message);
  }
}

TEST(Registry, ThreadsThatAskForATemplateGetTheSameOne) {
  auto registry = *TemplateRegistry::create();
  const std::string name = (*TemplateRegistry::create())->names().front();
  std::vector<std::shared_ptr<const Template>> found(8);
  std::vector<std::thread> threads;
  for (auto& mine : found) threads.emplace_back([&] { mine = *registry->find(name); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& other : found) EXPECT_EQ(other, found.front());
}

TEST(Registry, EveryPresetMakesAProblemOfEachTemplateItNames) {
  auto registry = *TemplateRegistry::create();
  ASSERT_EQ(registry->presets().size(), 3u);
  for (const Preset& preset : registry->presets()) {
    for (const auto& [name, keys] : preset.problems) {
      auto tmpl = registry->find(name);
      ASSERT_TRUE(tmpl.ok()) << tmpl.error().message;
      auto problem = registry->problem(**tmpl, {{"preset", preset.name}});
      EXPECT_TRUE(problem.ok()) << preset.name << ": " << (problem.ok() ? "" : problem.error().message);
    }
  }
}

TEST(Registry, AFolderOfTemplates) {
  auto registry = TemplateRegistry::create({data_path("templates")});
  ASSERT_TRUE(registry.ok()) << registry.error().message;
  EXPECT_THAT((*registry)->names(), Contains("scale_add"));
  auto tmpl = (*registry)->find("scale_add");
  ASSERT_TRUE(tmpl.ok());
  EXPECT_TRUE((*tmpl)->sources.contains("scale_add/scale_add.cuh"));
}

TEST(Registry, AFolderThatIsATemplate) {
  auto registry = TemplateRegistry::create({data_path("templates/scale_add/")});
  ASSERT_TRUE(registry.ok()) << registry.error().message;
  EXPECT_TRUE((*registry)->find("scale_add").ok());
}

TEST(Registry, LaterFoldersWin) {
  TemporaryFolder folder;
  folder.write("scale_add/template.toml", replaced(scale_add_manifest(), "over vectors of f32", "mine"));
  folder.write("scale_add/scale_add.cuh", source());
  auto registry = *TemplateRegistry::create({data_path("templates"), folder.path()});
  EXPECT_EQ((*registry->find("scale_add"))->summary, "out = a * x + y mine");
}

TEST(Registry, FoldersHaveDeviceHeadersOfTheirOwn) {
  TemporaryFolder folder;
  folder.write("scale_add/template.toml", scale_add_manifest());
  folder.write("scale_add/scale_add.cuh", "#include \"device/mine.cuh\"\n" + source());
  EXPECT_THAT(create_error(folder.path()),
              HasSubstr("scale_add/scale_add.cuh:1: there is no source 'device/mine.cuh'"));
  folder.write("device/mine.cuh", "// shared");
  auto registry = TemplateRegistry::create({folder.path()});
  ASSERT_TRUE(registry.ok()) << registry.error().message;
  std::string hash = (*(*registry)->find("scale_add"))->content_hash;
  folder.write("scale_add/device/mine.cuh", "// its own");
  EXPECT_NE((*(*TemplateRegistry::create({folder.path()}))->find("scale_add"))->content_hash, hash);
}

TEST(Registry, ManifestsIncludeFilesOfTheirFolder) {
  const std::string manifest = scale_add_manifest();
  const size_t variant = manifest.find("[[stage.variant]]"), next = manifest.find("\n[verify]", variant);
  ASSERT_NE(next, std::string::npos);
  TemporaryFolder folder;
  folder.write("scale_add/template.toml",
               "include = [\"variants.toml\"]\n" + manifest.substr(0, variant) + manifest.substr(next));
  folder.write("scale_add/scale_add.cuh", source());
  EXPECT_THAT(create_error(folder.path()), HasSubstr("'variants.toml' is not beside the manifest"));
  const size_t stage = manifest.find("name = ", manifest.find("[[stage]]"));
  const std::string name = manifest.substr(stage, manifest.find('\n', stage) - stage);
  folder.write("scale_add/variants.toml",
               "[[stage]]\n" + name + "\n" + manifest.substr(variant, next - variant));
  auto registry = TemplateRegistry::create({folder.path()});
  ASSERT_TRUE(registry.ok()) << registry.error().message;
  EXPECT_FALSE((*(*registry)->find("scale_add"))->stages[0].variants.empty());
}

TEST(Registry, FolderErrorsNameTheFolder) {
  TemporaryFolder folder;
  EXPECT_THAT(create_error(folder.path("nowhere")), HasSubstr("nowhere: No such file"));
  EXPECT_THAT(create_error(folder.path()), HasSubstr("neither template.toml nor a sub-folder with one"));
  folder.write("other/template.toml", scale_add_manifest());
  folder.write("other/scale_add.cuh", source());
  EXPECT_THAT(create_error(folder.path()), HasSubstr("name = 'scale_add', but its folder is called 'other'"));
}

TEST(Registry, UnknownNames) {
  auto registry = *TemplateRegistry::create({data_path("templates")});
  EXPECT_THAT(registry->find("scale_ad").error().message, HasSubstr("did you mean 'scale_add'?"));
  EXPECT_THAT(registry->find("zebra").error().message, HasSubstr("templates are "));
  EXPECT_THAT(registry->find_preset("gpt-oss-20").error().message, HasSubstr("did you mean 'gpt-oss-20b'?"));
  EXPECT_THAT(registry->find_preset("zebra").error().message,
              HasSubstr("presets are deepseek-v4-flash, gpt-oss-120b, gpt-oss-20b"));
}

TEST(Registry, ProblemsFromPresetsAndKeys) {
  auto registry = *TemplateRegistry::create({data_path("templates")});
  auto tmpl = *registry->find("scale_add");
  EXPECT_EQ(registry->problem(*tmpl, {{"a", "3"}})->canonical(), "a=3");
  EXPECT_THAT(
      registry->problem(*tmpl, {{"preset", "gpt-oss-20b"}}).error().message,
      HasSubstr("preset 'gpt-oss-20b' has no problem for template 'scale_add'; it has one for moe_mxfp4"));
  EXPECT_FALSE(registry->problem(*tmpl, {{"preset", "zebra"}}).ok());
}

TEST(Registry, KeysOverrideThePreset) {
  auto registry = *TemplateRegistry::create();
  auto tmpl = registry->find("moe_mxfp4");
  ASSERT_TRUE(tmpl.ok()) << tmpl.error().message;
  auto problem = registry->problem(**tmpl, {{"top_k", "8"}, {"preset", "gpt-oss-120b"}});
  ASSERT_TRUE(problem.ok()) << problem.error().message;
  EXPECT_EQ(problem->integer("top_k"), 8);
  EXPECT_EQ(problem->integer("experts"), 128);
}

}  // namespace
}  // namespace rtjit
