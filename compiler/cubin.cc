#include "compiler/cubin.h"

#include <llvm/Object/ELF.h>

#include <cstring>
#include <map>

namespace rtjit {
namespace {

using Elf = llvm::object::ELFFile<llvm::object::ELF64LE>;
using Section = Elf::Elf_Shdr;
using Bytes = llvm::ArrayRef<uint8_t>;

constexpr unsigned kEntryFlag = 0x10;  // in st_other: the symbol is a kernel

// Records of .nv.info: one byte how the value is stored, one byte which attribute, then the value.
enum Format : uint8_t { kNoValue = 1, kByteValue = 2, kHalfValue = 3, kSizedValue = 4 };
enum Attribute : uint8_t {
  kMaxThreads = 0x05,
  kFrameSize = 0x11,      // per function symbol
  kRegisterCount = 0x2f,  // per function symbol
  kBarrierCount = 0x4c,
};

constexpr std::string_view kNotACubin = "not a cubin";

// The sm_90 generation on: every block has 1,024 bytes of shared memory that the system uses, and sections
// count them.
constexpr int64_t kReservedSharedBytes = 1024;

template <typename T>
bool take(llvm::Expected<T> expected, T& value) {
  if (!expected) {
    llvm::consumeError(expected.takeError());
    return false;
  }
  value = *expected;
  return true;
}

uint32_t word_at(Bytes bytes, size_t offset) {
  uint32_t word;
  std::memcpy(&word, bytes.data() + offset, sizeof(word));
  return word;
}

// Visits the records: visit(attribute, value bytes). False when they do not fill the section exactly.
template <typename Visitor>
bool each_record(Bytes info, Visitor visit) {
  size_t at = 0;
  while (at < info.size()) {
    if (info.size() - at < 4) return false;
    uint8_t format = info[at], attribute = info[at + 1];
    Bytes inline_value = info.slice(at + 2, 2);
    at += 4;
    if (format == kSizedValue) {
      size_t size = inline_value[0] | inline_value[1] << 8;
      if (info.size() - at < size) return false;
      visit(attribute, info.slice(at, size));
      at += size;
    } else if (format == kByteValue) {
      visit(attribute, inline_value.slice(0, 1));
    } else if (format == kHalfValue) {
      visit(attribute, inline_value);
    } else if (format != kNoValue) {
      return false;
    }
  }
  return true;
}

struct Tables {
  std::map<std::string_view, const Section*> sections;
  std::map<uint32_t, int> registers, frames;  // by symbol index
};

Error corrupt(std::string_view what) { return make_error(ErrorCode::corrupt, "{}: {}", kNotACubin, what); }

Result<Tables> read_tables(const Elf& elf) {
  Tables tables;
  Elf::Elf_Shdr_Range sections;
  if (!take(elf.sections(), sections)) return corrupt("its section table is damaged");
  for (const Section& section : sections) {
    llvm::StringRef name;
    if (!take(elf.getSectionName(section), name)) return corrupt("a section name is damaged");
    tables.sections.emplace(std::string_view(name.data(), name.size()), &section);
  }
  auto info = tables.sections.find(".nv.info");
  if (info == tables.sections.end()) return corrupt("it has no .nv.info");
  Bytes bytes;
  if (!take(elf.getSectionContents(*info->second), bytes)) return corrupt(".nv.info is damaged");
  bool whole = each_record(bytes, [&](uint8_t attribute, Bytes value) {
    if (value.size() < 8) return;
    if (attribute == kRegisterCount)
      tables.registers[word_at(value, 0)] = static_cast<int>(word_at(value, 4));
    if (attribute == kFrameSize) tables.frames[word_at(value, 0)] = static_cast<int>(word_at(value, 4));
  });
  if (!whole) return corrupt(".nv.info is damaged");
  return tables;
}

Result<KernelResources> read_kernel(const Elf& elf, const Tables& tables, std::string_view name,
                                    uint32_t symbol) {
  auto section = [&](std::string_view prefix) -> const Section* {
    auto found = tables.sections.find(std::string(prefix) + std::string(name));
    return found == tables.sections.end() ? nullptr : found->second;
  };
  KernelResources kernel;
  kernel.symbol = name;
  auto registers = tables.registers.find(symbol);
  if (registers == tables.registers.end()) return corrupt("a kernel has no register count");
  kernel.registers = registers->second;
  if (auto frame = tables.frames.find(symbol); frame != tables.frames.end()) kernel.stack = frame->second;
  kernel.spill_stores = kernel.spill_loads = kernel.stack;

  const Section* text = section(".text.");
  if (!text) return corrupt("a kernel has no code");
  // Sizes are compared as they are: a damaged one need not fit a signed number.
  if (text->sh_size > elf.getBufSize()) return corrupt("its code has an impossible size");
  kernel.code_bytes = static_cast<int64_t>(text->sh_size);
  if (const Section* shared = section(".nv.shared.")) {
    const uint64_t reserved = tables.sections.count(".nv.shared.reserved.0") ? kReservedSharedBytes : 0;
    if (shared->sh_size < reserved || shared->sh_size - reserved > INT32_MAX) {
      return corrupt("its shared memory has an impossible size");
    }
    kernel.static_smem = static_cast<int>(shared->sh_size - reserved);
  }
  if (const Section* info = section(".nv.info.")) {
    Bytes bytes;
    if (!take(elf.getSectionContents(*info), bytes)) return corrupt("a kernel's .nv.info is damaged");
    bool whole = each_record(bytes, [&](uint8_t attribute, Bytes value) {
      if (attribute == kBarrierCount && !value.empty()) kernel.barriers = value[0];
      if (attribute == kMaxThreads && value.size() >= 12) {
        uint64_t threads = uint64_t{word_at(value, 0)} * word_at(value, 4) * word_at(value, 8);
        kernel.max_threads = threads <= 1024 ? static_cast<int>(threads) : 0;
      }
    });
    if (!whole) return corrupt("a kernel's .nv.info is damaged");
  }
  if (kernel.registers < 0 || kernel.registers > 65536 || kernel.stack < 0)
    return corrupt("impossible resources");
  return kernel;
}

}  // namespace

Result<std::vector<KernelResources>> read_cubin(std::string_view bytes) {
  constexpr std::string_view kElf64Little = "\177ELF\2\1";
  if (bytes.substr(0, kElf64Little.size()) != kElf64Little) return corrupt("it is no 64-bit ELF file");
  // LLVM's reader wants the headers aligned; a view into other data may not be.
  std::string aligned(bytes);
  llvm::Expected<Elf> opened = Elf::create(llvm::StringRef(aligned.data(), aligned.size()));
  if (!opened) {
    llvm::consumeError(opened.takeError());
    return corrupt("its header is damaged");
  }
  const Elf& elf = *opened;
  if (elf.getHeader().e_machine != llvm::ELF::EM_CUDA)
    return corrupt("it is an ELF file for another machine");
  Result<Tables> tables = read_tables(elf);
  if (!tables) return tables.error();

  auto symtab = tables->sections.find(".symtab");
  if (symtab == tables->sections.end()) return corrupt("it has no symbols");
  Elf::Elf_Sym_Range symbols;
  llvm::StringRef strings;
  if (!take(elf.symbols(symtab->second), symbols) ||
      !take(elf.getStringTableForSymtab(*symtab->second), strings))
    return corrupt("its symbol table is damaged");

  std::vector<KernelResources> kernels;
  uint32_t index = 0;
  for (const Elf::Elf_Sym& symbol : symbols) {
    uint32_t own_index = index++;
    if (symbol.getType() != llvm::ELF::STT_FUNC || !(symbol.st_other & kEntryFlag)) continue;
    llvm::StringRef name;
    if (!take(symbol.getName(strings), name) || name.empty()) return corrupt("a kernel's name is damaged");
    Result<KernelResources> kernel =
        read_kernel(elf, *tables, std::string_view(name.data(), name.size()), own_index);
    if (!kernel) return kernel.error();
    kernels.push_back(*std::move(kernel));
  }
  if (kernels.empty()) return corrupt("it has no kernels");
  return kernels;
}

}  // namespace rtjit
