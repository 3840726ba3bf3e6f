/* librtjit: runtime-specialised, verified, cached CUDA kernels. The C interface.
 *
 * A LIBRARY knows templates, a cache and devices. A KERNEL is a template opened for one problem on one device: every
 * token bucket is resolved, compiled or taken from the cache, and loaded when rtjit_kernel_open returns, so nothing
 * that it accepted fails later for want of a kernel. WEIGHTS are packed once per kernel layout. A launch only launches:
 * it does not compile, allocate, lock, wait for the device or read the environment, and may be captured in a CUDA graph.
 *
 * Ownership: objects are freed by their *_close / *_free function; strings returned belong to the object they came from
 * and live as long as it does. Memory passed in stays the caller's.
 * Threads: a library and a kernel may be used by any number of threads at once. rtjit_last_error() is per thread.
 * Errors: every function that can fail returns rtjit_status; on anything but RTJIT_OK, rtjit_last_error() tells the
 * whole story: the argument, what came, what is allowed, what to do.
 */
#ifndef RTJIT_H_
#define RTJIT_H_

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define RTJIT_API
#else
#define RTJIT_API __attribute__((visibility("default")))
#endif

#define RTJIT_VERSION_MAJOR 0
#define RTJIT_VERSION_MINOR 1
#define RTJIT_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rtjit_status {
  RTJIT_OK = 0,
  RTJIT_INVALID_ARGUMENT = 1, /* the message names the argument, what came and what is allowed */
  RTJIT_UNSUPPORTED = 2,      /* right in itself, but this device, target or toolkit cannot do it */
  RTJIT_NOT_FOUND = 3,        /* no such template, preset or file */
  RTJIT_UNAVAILABLE = 4,      /* no CUDA driver (or no libsodium, where a signature must be checked) */
  RTJIT_COMPILE_FAILED = 5,
  RTJIT_TIMEOUT = 6,
  RTJIT_DEVICE_FAULT = 7,
  RTJIT_OUT_OF_MEMORY = 8,
  RTJIT_IO = 9,
  RTJIT_CORRUPT = 10,
  RTJIT_READ_ONLY = 11,
  RTJIT_CANCELLED = 12,
  RTJIT_INTERNAL = 13,
  RTJIT_DRIVER_TOO_OLD = 14,  /* for librtjit, its kernel module or the NVRTC that made a kernel: update it, then reboot */
  RTJIT_NO_GPU = 15,          /* a driver, but no GPU: check nvidia-smi, CUDA_VISIBLE_DEVICES, the container's --gpus */
  RTJIT_GPU_BAD_STATE = 16,   /* held exclusively by another process, not ready yet, or in need of a reset */
  RTJIT_NO_COMPILER = 17,     /* NVRTC is not there, and the cache lacks a kernel that is needed */
  RTJIT_COMPILER_TOO_OLD = 18 /* the NVRTC that is there is older than 12.8, or than the GPU */
} rtjit_status;

typedef enum rtjit_dtype {
  RTJIT_U8 = 0,
  RTJIT_I8 = 1,
  RTJIT_I16 = 2,
  RTJIT_I32 = 3,
  RTJIT_I64 = 4,
  RTJIT_BF16 = 5,
  RTJIT_F16 = 6,
  RTJIT_F32 = 7,
  RTJIT_F64 = 8,
  RTJIT_E4M3 = 9,
  RTJIT_E8M0 = 10
} rtjit_dtype;

/* What to do when the cache has no winner for a bucket on this device. */
typedef enum rtjit_miss_policy {
  RTJIT_MISS_NEAREST = 0, /* a nearby bucket's or device's winner, else the default config (the default policy) */
  RTJIT_MISS_DEFAULT = 1, /* the default config */
  RTJIT_MISS_TUNE = 2,    /* run `rtjit tune` as a child process and wait for it */
  RTJIT_MISS_FAIL = 3,    /* RTJIT_NOT_FOUND */
  /* serve at once as RTJIT_MISS_NEAREST does, run `rtjit tune` as a child meanwhile; what it finds is taken over by the
   * next rtjit_kernel_freeze or rtjit_kernel_refresh, never by a launch. Closing the kernel ends the child */
  RTJIT_MISS_BACKGROUND = 4
} rtjit_miss_policy;

typedef struct rtjit_library rtjit_library;
typedef struct rtjit_kernel rtjit_kernel;
typedef struct rtjit_weights rtjit_weights;
typedef struct rtjit_frozen rtjit_frozen;

/* A tensor argument. Zero strides mean dense row-major. An absent optional argument: leave it out, or data = NULL. */
typedef struct rtjit_tensor {
  const char* name;
  void* data; /* device memory */
  rtjit_dtype dtype;
  int32_t rank; /* 0 to 4 */
  int64_t shape[4];
  int64_t stride[4]; /* in elements */
} rtjit_tensor;

/* All fields may be zero. struct_size must be sizeof(rtjit_library_options); a program built with an older rtjit.h, whose
 * structure was shorter, goes on working: fields it does not have count as zero. */
typedef struct rtjit_library_options {
  size_t struct_size;
  const char* database;              /* user database; NULL: RTJIT_CACHE, else the XDG cache folder */
  const char* const* read_only;      /* databases and packs beneath it, NULL-terminated; RTJIT_PACKS adds to them */
  const char* const* template_paths; /* folders with templates, NULL-terminated */
  int32_t device;                    /* CUDA device ordinal */
  void (*log)(void* user, int32_t level, const char* message); /* level 0 error, 1 warning, 2 info; may be NULL */
  void* log_user;
  /* File of public keys: databases beneath the user's one must be packs signed by one of them. NULL: RTJIT_TRUST; neither
   * is set: no such demand. */
  const char* trusted_keys;
} rtjit_library_options;

/* All fields may be zero. struct_size must be sizeof(rtjit_open_options). */
typedef struct rtjit_open_options {
  size_t struct_size;
  rtjit_miss_policy miss_policy;
  int64_t max_bucket; /* largest value of the bucket scalar (tokens) that will be launched; 0: the template's largest */
  const char* const* configs; /* overrides "stage=variant:key=value,...", NULL-terminated; for experiments */
} rtjit_open_options;

/* "0.1.0" */
RTJIT_API const char* rtjit_version(void);
RTJIT_API const char* rtjit_status_name(rtjit_status status);
/* The message of the last call on this thread that failed; "" if none did. Valid until the next call that fails. */
RTJIT_API const char* rtjit_last_error(void);

/* Opens the library on a CUDA device. RTJIT_UNAVAILABLE without a driver, RTJIT_NO_GPU without a GPU,
 * RTJIT_DRIVER_TOO_OLD or RTJIT_GPU_BAD_STATE where there are both and they cannot be used. One library per GPU: a program
 * with several opens several. */
RTJIT_API rtjit_status rtjit_library_open(const rtjit_library_options* options, rtjit_library** library);
RTJIT_API void rtjit_library_close(rtjit_library* library); /* kernels opened from it stay valid; NULL is fine */

/* `problem`: "preset=gpt-oss-20b", "hidden=2880,intermediate=2880,...", or both (keys win). May compile and load;
 * everything up to options->max_bucket is ready when it returns. */
RTJIT_API rtjit_status rtjit_kernel_open(rtjit_library* library, const char* template_name, const char* problem,
                                         const rtjit_open_options* options, rtjit_kernel** kernel);
/* Another reference to a kernel that is open in this library: the first that was opened with the same template name and
 * the same text as problem, or with a text of the same meaning as rtjit_kernel_problem() gives it. RTJIT_NOT_FOUND when there
 * is none. About 50 ns: an engine may keep texts instead of handles. Options are not compared. */
RTJIT_API rtjit_status rtjit_kernel_find(rtjit_library* library, const char* template_name, const char* problem,
                                         rtjit_kernel** kernel);
/* Gives one reference back; the last one closes the kernel. NULL is fine; the caller has synchronised its streams. */
RTJIT_API void rtjit_kernel_close(rtjit_kernel* kernel);
/* All keys of the problem with their values, in the template's order: "hidden=2880,intermediate=2880,..." */
RTJIT_API const char* rtjit_kernel_problem(const rtjit_kernel* kernel);

/* Bytes of workspace that a launch with the bucket scalar up to `bucket_value` needs. Align to 256 bytes. */
RTJIT_API rtjit_status rtjit_kernel_workspace_size(const rtjit_kernel* kernel, int64_t bucket_value, size_t* bytes);
/* Bytes of packed weights (0: the template packs none). Align to 256 bytes. */
RTJIT_API rtjit_status rtjit_kernel_packed_size(const rtjit_kernel* kernel, size_t* bytes);
/* Identity of the packed layout: equal text, interchangeable bytes. It names what packing depends on, so kernels that
 * differ in anything else (an activation, a type of the inputs) share weights. "" when nothing is packed. */
RTJIT_API const char* rtjit_kernel_layout(const rtjit_kernel* kernel);

/* Packs weights into `packed` (device memory of the caller, which must outlive `weights`) on the stream. The
 * inputs may be freed once the stream has done the work. */
RTJIT_API rtjit_status rtjit_kernel_pack_weights(const rtjit_kernel* kernel, const rtjit_tensor* inputs, size_t count,
                                                 void* packed, size_t packed_bytes, void* stream,
                                                 rtjit_weights** weights);
/* Weights that were packed earlier (for example read from a file): `layout` must equal rtjit_kernel_layout(). */
RTJIT_API rtjit_status rtjit_weights_adopt(const rtjit_kernel* kernel, const char* layout, void* packed,
                                           size_t packed_bytes, rtjit_weights** weights);
RTJIT_API void rtjit_weights_free(rtjit_weights* weights); /* frees the handle, not the memory */

/* Launches on the stream. `weights` may be NULL for a template that packs none. */
RTJIT_API rtjit_status rtjit_kernel_launch(const rtjit_kernel* kernel, const rtjit_weights* weights,
                                           const rtjit_tensor* arguments, size_t count, void* workspace,
                                           size_t workspace_bytes, void* stream);

/* Decides a launch ahead: names, types, shapes and strides are checked, formulas evaluated, addresses looked at.
 * rtjit_frozen_launch then only calls the driver, at most 150 ns besides what the driver takes. `stream`: one that it will
 * be launched on. Unless that is being captured, winners that a background tune has found are taken over first. The frozen
 * launch stays as it is whatever becomes of the kernel, which may even be closed; the caller frees it, and keeps weights'
 * memory and workspace. */
RTJIT_API rtjit_status rtjit_kernel_freeze(rtjit_kernel* kernel, const rtjit_weights* weights,
                                           const rtjit_tensor* arguments, size_t count, void* workspace,
                                           size_t workspace_bytes, void* stream, rtjit_frozen** frozen);
/* Launches with the addresses of rtjit_kernel_freeze. Any number of threads and streams at once, as far as their results
 * and workspace are not the same. */
RTJIT_API rtjit_status rtjit_frozen_launch(const rtjit_frozen* frozen, void* stream);
/* Launches with other addresses: data[i] takes the place of arguments[i].data, `count` as in rtjit_kernel_freeze. Shapes,
 * types and strides stay. NULL where it was NULL, and nowhere else. */
RTJIT_API rtjit_status rtjit_frozen_launch_at(const rtjit_frozen* frozen, void* const* data, size_t count, void* stream);
/* NULL is fine; launches that were enqueued have been waited for. */
RTJIT_API void rtjit_frozen_free(rtjit_frozen* frozen);

/* Where the choice for this bucket value came from, per stage, as text for people and logs: "gemm1: mma
 * block_m=16,... (measured here, 12.3 us); gemm2: ...". Belongs to the kernel. */
RTJIT_API const char* rtjit_kernel_provenance(const rtjit_kernel* kernel, int64_t bucket_value);

/* Looks the cache up again and takes newer winners over. Other threads may launch meanwhile: their launches use the former
 * or the new choice. Not on a thread whose stream is being captured: it may compile and load. */
RTJIT_API rtjit_status rtjit_kernel_refresh(rtjit_kernel* kernel);
/* 1 while a tune that RTJIT_MISS_BACKGROUND started still runs, else 0. */
RTJIT_API int32_t rtjit_kernel_is_tuning(const rtjit_kernel* kernel);

/* ---- What bindings and small programs need -------------------------------------------------------------------------
 * An engine has its own allocator and knows its templates; a binding to another language asks. */

/* struct_size must be sizeof(rtjit_device_info) before the call. The strings live as long as the library's kernels. */
typedef struct rtjit_device_info {
  size_t struct_size;
  const char* name;   /* "NVIDIA H200" */
  const char* target; /* "sm_90a" */
  int32_t ordinal;
  int32_t emulated; /* 1: the device is emulated on the CPU; its memory is not that of the program */
  int32_t sm_count;
  int32_t reserved;
  int64_t total_memory;
} rtjit_device_info;
RTJIT_API rtjit_status rtjit_library_device(const rtjit_library* library, rtjit_device_info* info);

/* Memory of the library's device, aligned to 256 bytes. Not during capture. Writing and reading wait for the device. */
RTJIT_API rtjit_status rtjit_memory_allocate(rtjit_library* library, size_t bytes, void** memory);
RTJIT_API void rtjit_memory_free(rtjit_library* library, void* memory); /* NULL is fine */
RTJIT_API rtjit_status rtjit_memory_write(rtjit_library* library, void* memory, const void* host, size_t bytes);
RTJIT_API rtjit_status rtjit_memory_read(rtjit_library* library, void* host, const void* memory, size_t bytes);

/* struct_size must be sizeof(rtjit_argument_info) before the call. The strings live as long as the kernel. */
typedef struct rtjit_argument_info {
  size_t struct_size;
  const char* name;
  const char* doc;
  int32_t packed;   /* 1: taken by rtjit_kernel_pack_weights, 0: by rtjit_kernel_launch */
  int32_t written;  /* 1: the launch writes it */
  int32_t optional; /* 1: may be left out, for this kernel's problem */
  int32_t rank;
  uint32_t dtypes;          /* bit n: rtjit_dtype n is accepted, for this kernel's problem */
  int32_t bucket_dimension; /* the dimension of its shape that is the bucket scalar (tokens), or -1 */
} rtjit_argument_info;
/* The arguments in the order of the template's manifest; RTJIT_NOT_FOUND past the last one. */
RTJIT_API rtjit_status rtjit_kernel_argument(const rtjit_kernel* kernel, size_t index, rtjit_argument_info* info);

#ifdef __cplusplus
}
#endif
#endif /* RTJIT_H_ */
